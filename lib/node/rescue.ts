// The last resort when too many members of a ring are lost for good: makes a new ring from what one directory holds, or
// gives a directory to such a ring. Works on the store of a daemon that is stopped; asks no peer.
// Invariants: the change of the membership is one batch, so a crash leaves the old ring or the new one. The new ring
// has an id of its own, and the directory a new member id and key: no lost member can come back into it.
// What can be missing then is told before: nobody can know what the lost members alone had taken.

import { type DurableMembership, readMembership, readStoreId } from '../actors/membership/membership-records.js'
import {
  type ReplicaRecords,
  readReplicaRecords,
  writeClosed,
  writeClosing
} from '../actors/replica/replica-records.js'
import { type Bytes, toHex } from '../bytes.js'
import { checkEnvelope, type Envelope, versionOf } from '../entry/envelope.js'
import { allHints, decodeHint } from '../entry/hint.js'
import { dataKey, metaKey, parseDataKey, slotScan } from '../entry/keys.js'
import { newest } from '../entry/merge.js'
import { isBefore } from '../entry/purge-bounds.js'
import { versionMs } from '../entry/version.js'
import { RingdError } from '../errors.js'
import { MiB } from '../limits.js'
import type { MemberId } from '../member.js'
import type { Random } from '../random.js'
import { SLOTS, slotOf } from '../ring/slots.js'
import { chunks } from '../storage/chunks.js'
import { GuardedStore } from '../storage/guarded-store.js'
import type { MetaWrite } from '../storage/meta.js'
import type { Store, StoreWrite } from '../storage/store.js'
import { RESCUED_RANDOM_BYTES, rescuedRingId } from '../views/rescued-ring.js'
import { metaReader, renounce } from './store-identity.js'

/** What a directory holds of its ring. Counts of slots add up to 16384. */
export interface RescueFindings {
  /** The former ring; undefined when the directory has given up its membership before. */
  readonly ringId: string | undefined
  /** Copies of an entry in the former ring; 3 when it is not known. */
  readonly replicas: number
  /** All members of the newest view that the directory knows, its own included. */
  readonly members: readonly MemberId[]
  readonly self: MemberId | undefined
  readonly slots: {
    /** The directory was an owner that held everything when it took them over. */
    readonly held: number
    /** It was taking these over. */
    readonly partly: number
    /** It was no owner: keys in them are missing until other directories hand them over. */
    readonly absent: number
  }
  readonly entries: number
  /** Writes kept for other members. They become entries. */
  readonly hints: number
  /** The wall clock of the newest write, ms since 1970; undefined in an empty store. */
  readonly newestMs: number | undefined
}

const SCAN_BYTES = MiB
const REPLICAS = 3

/** Throws BAD_CONFIG when the store was never a member of a ring, DATA_DAMAGED. */
export async function examineForRescue(store: Store): Promise<RescueFindings> {
  const meta = metaReader(store)
  const membership = await readMembership(meta)
  const { view } = membership.ring
  if (view === undefined && membership.formerPeers === undefined) {
    throw new RingdError('BAD_CONFIG', 'this directory was never a member of a ring; start the daemon with --join')
  }
  const self = readStoreId(meta)
  const held = self === undefined ? [] : heldSlots(membership, readReplicaRecords(meta), self)
  const count = (state: SlotState) => held.filter((one) => one === state).length
  let [entries, newestMs] = [0, 0]
  for await (const chunk of chunks(store.scan(slotScan(0, SLOTS - 1)), SCAN_BYTES)) {
    for (const [stored, value] of chunk) {
      const place = parseDataKey(stored)
      if (place === undefined || !checkEnvelope(place.key, value)) continue
      entries += 1
      newestMs = Math.max(newestMs, versionMs(versionOf(value)))
    }
  }
  let hints = 0
  for await (const chunk of chunks(store.scan(allHints()), SCAN_BYTES)) hints += chunk.length
  return {
    ringId: view?.founding.ringId,
    replicas: view?.founding.replicas ?? REPLICAS,
    members: [...(view?.members.keys() ?? [])],
    self,
    slots: { held: count('held'), partly: count('partly'), absent: SLOTS - count('held') - count('partly') },
    entries,
    hints,
    newestMs: entries === 0 ? undefined : newestMs
  }
}

type SlotState = 'held' | 'partly' | 'absent'

/** By slot. */
function heldSlots({ ring, ready }: DurableMembership, records: ReplicaRecords, self: MemberId): readonly SlotState[] {
  return (
    ring.configs?.windows.map((window, slot): SlotState => {
      const own = window.filter(({ begin, owners }) => owners.includes(self) && begin > records.released[slot]!)
      if (own.length === 0) return 'absent'
      const isReady = own.some(({ begin }) => ready[slot] === begin) && records.incomplete[slot] === 0
      return isReady ? 'held' : 'partly'
    }) ?? []
  )
}

/**
 * Makes the next start of this directory found a new ring with what it holds. Resolves with the id of the ring when
 * that is on disk. Throws what a write throws; then the directory is as it was, and the call may be repeated.
 */
export async function rescueRing(store: Store, random: Random, nowMs: number): Promise<string> {
  const { replicas } = await examineForRescue(store)
  await importHints(store)
  const ringId = rescuedRingId(nowMs, random.bytes(RESCUED_RANDOM_BYTES))
  await renounce(store, random, { mayReturn: false, rescue: { ringId, replicas } }, await keptBounds(store))
  return ringId
}

/**
 * Makes the next starts of this directory join the rescued ring `ringId`, and no other, as a new member that hands over
 * what it holds. Throws what a write throws; then the directory is as it was.
 */
export async function giveToRing(store: Store, random: Random, ringId: string): Promise<void> {
  await examineForRescue(store)
  await importHints(store)
  await renounce(store, random, { mayReturn: false, wantedRing: ringId })
}

/**
 * The purge bounds of the slots that this directory holds: what all owners had purged stays purged. For other slots it
 * keeps none, as others hold entries below them.
 */
async function keptBounds(store: Store): Promise<readonly MetaWrite[]> {
  const meta = metaReader(store)
  const records = readReplicaRecords(meta)
  const self = readStoreId(meta)
  const states = self === undefined ? [] : heldSlots(await readMembership(meta), records, self)
  const kept = (bounds: Uint32Array) => bounds.map((bound, slot) => (states[slot] === 'held' ? bound : 0))
  return [writeClosing(kept(records.closing)), writeClosed(kept(records.closed))]
}

/** Makes entries of the hints: their members will not come for them. What the owners have purged is left out. */
async function importHints(store: Store): Promise<void> {
  const guarded = new GuardedStore(store)
  const { closed } = readReplicaRecords({ get: (name) => store.get(metaKey(name)) })
  for await (const chunk of chunks(store.scan(allHints()), SCAN_BYTES)) {
    const newer = new Map<string, StoreWrite & { readonly value: Envelope }>()
    for (const [, value] of chunk) {
      const hint = decodeHint(value)
      if (hint === undefined) continue
      const slot = slotOf(hint.key)
      const key = dataKey(slot, hint.key)
      const known = newer.get(toHex(key))?.value ?? storedEntry(store, key, hint.key)
      if (isBefore(versionOf(hint.envelope), closed[slot]!) || newest(hint.envelope, known) === known) continue
      newer.set(toHex(key), { type: 'put', key, value: hint.envelope })
    }
    await guarded.write([...newer.values(), ...chunk.map(([key]): StoreWrite => ({ type: 'del', key }))])
  }
}

/** Undefined also for a damaged entry: a sound one may take its place. */
function storedEntry(store: Store, stored: Bytes, key: Bytes): Envelope | undefined {
  const value = store.get(stored)
  return value !== undefined && checkEnvelope(key, value) ? value : undefined
}
