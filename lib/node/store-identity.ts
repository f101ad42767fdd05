// The identity of a store, read before anything is built on it: its id, its clock, its membership. And how a store
// gives it up.

import {
  type DurableMembership,
  dropNewIdentity,
  needsNewIdentity,
  type RenounceOptions,
  readMembership,
  readStoreId,
  STORE_ID,
  writeRenunciation
} from '../actors/membership/membership-records.js'
import { type KeptTransfers, readTransfers } from '../actors/migration/transfer-records.js'
import { readAgreedMoment } from '../actors/replica/agreed-moment.js'
import type { StandingPromise } from '../actors/replica/replica-messages.js'
import {
  promiseKeys,
  REPLICA_RECORDS,
  type ReplicaRecords,
  readPromises,
  readReplicaRecords
} from '../actors/replica/replica-records.js'
import { readCeiling } from '../actors/router/version-minter.js'
import { SCRUB_PROGRESS } from '../actors/scrub.js'
import { type Bytes, fromText, toHex, toText } from '../bytes.js'
import type { Clock } from '../clock.js'
import { HybridClock } from '../entry/hybrid-clock.js'
import { metaKey } from '../entry/keys.js'
import { RingTime } from '../entry/ring-time.js'
import { latestVersion, versionMember } from '../entry/version.js'
import { MiB } from '../limits.js'
import type { MemberId } from '../member.js'
import type { Random } from '../random.js'
import { chunks } from '../storage/chunks.js'
import type { MetaReader, MetaWrite } from '../storage/meta.js'
import type { Store, StoreWrite } from '../storage/store.js'
import { PeerClock } from './peer-clock.js'

export interface StoreIdentity {
  readonly storeId: MemberId
  readonly ringTime: RingTime
  readonly hlc: HybridClock
  /** The clock for the network. */
  readonly peerClock: PeerClock
  readonly membership: DurableMembership
  readonly replica: ReplicaRecords
  readonly promises: readonly StandingPromise[]
  /** How far the scrub has come. */
  readonly scrub?: Bytes | undefined
  /** The last transfers that have ended. */
  readonly transfers: KeptTransfers
  /** The store gave up its membership: its peer must take a new key, then call `confirmNewIdentity`. */
  readonly needsNewKey: boolean
}

const STORE_ID_BYTES = 16

/** Reads an open store. A new store gets its id, which is on disk when this resolves. Throws DATA_DAMAGED. */
export async function readStoreIdentity(store: Store, clock: Clock, random: Random): Promise<StoreIdentity> {
  const meta = metaReader(store)
  const membership = await readMembership(meta)
  const storeId = readStoreId(meta) ?? (await nameStore(store, random))
  const ringTime = new RingTime(
    { now: () => clock.now(), elapsed: () => clock.elapsed() },
    { agreedMs: readAgreedMoment(meta) }
  )
  const hlc = new HybridClock(
    { now: () => ringTime.now(), agreedMs: () => ringTime.agreedMs(), leastAgreedMs: () => ringTime.leastAgreedMs },
    { member: versionMember(storeId), ceilingMs: readCeiling(meta) }
  )
  return {
    storeId,
    ringTime,
    hlc,
    peerClock: new PeerClock(hlc),
    membership,
    replica: readReplicaRecords(meta),
    promises: await readPromises(store, latestVersion(hlc.latestMs)),
    scrub: meta.get(SCRUB_PROGRESS),
    transfers: readTransfers(meta),
    needsNewKey: needsNewIdentity(meta)
  }
}

async function nameStore(store: Store, random: Random): Promise<MemberId> {
  const storeId = toHex(random.bytes(STORE_ID_BYTES))
  await store.write([{ type: 'put', key: metaKey(STORE_ID), value: fromText(storeId) }])
  return storeId
}

/**
 * The peer has a new key, and the key is on disk. Before this it must not speak to any peer: after a crash it takes
 * another key.
 */
export async function confirmNewIdentity(store: Store): Promise<void> {
  await store.write(writesOf([dropNewIdentity()]))
}

/**
 * Gives up the membership of a store that lost acknowledged writes, is an old copy, or is out of its ring. The next
 * peer that opens it joins as a new member, under a new key. All is one batch, with the writes of `also` at its end.
 * `store` is open, and nothing else writes to it. Throws what `write` throws.
 */
export async function renounce(
  store: Store,
  random: Random,
  how: Omit<RenounceOptions, 'alsoDrop'>,
  also: readonly MetaWrite[] = []
): Promise<void> {
  const options = { ...how, alsoDrop: REPLICA_RECORDS }
  const writes = await writeRenunciation(metaReader(store), toHex(random.bytes(STORE_ID_BYTES)), options)
  const promises = (await promiseKeys(store)).map((key): StoreWrite => ({ type: 'del', key }))
  await store.write([...promises, ...writesOf([...writes, ...also])])
}

function writesOf(writes: readonly MetaWrite[]): StoreWrite[] {
  return writes.map(({ name, value }) =>
    value === undefined ? { type: 'del', key: metaKey(name) } : { type: 'put', key: metaKey(name), value }
  )
}

/** Reads the named records of an open store. */
export function metaReader(store: Pick<Store, 'get' | 'scan'>): MetaReader {
  return {
    get: (name) => store.get(metaKey(name)),
    async names(prefix) {
      const from = metaKey(prefix)
      const range = { from, to: Buffer.concat([from, Uint8Array.of(0xff)]) }
      const names: string[] = []
      for await (const chunk of chunks(store.scan(range), MiB)) {
        for (const [key] of chunk) names.push(toText(key.subarray(metaKey('').length)))
      }
      return names
    }
  }
}
