// The replica actor alone, on a store with faults. A test makes its ring view and sends its messages.

import { Replica } from '../../../lib/actors/replica/replica.js'
import type {
  PrepareResult,
  ReadResult,
  ReplicaMessage,
  StandingPromise,
  WriteResult
} from '../../../lib/actors/replica/replica-messages.js'
import { SlotStats } from '../../../lib/actors/replica/slot-stats.js'
import { toHex } from '../../../lib/bytes.js'
import { Conditions } from '../../../lib/conditions.js'
import { type Envelope, encodeEnvelope } from '../../../lib/entry/envelope.js'
import { HybridClock } from '../../../lib/entry/hybrid-clock.js'
import { dataKey, type StoredKey } from '../../../lib/entry/keys.js'
import { noBounds } from '../../../lib/entry/purge-bounds.js'
import { makeVersion, type Version, versionMember } from '../../../lib/entry/version.js'
import { isPromisedAbove } from '../../../lib/entry/write-rule.js'
import { RingdError } from '../../../lib/errors.js'
import { silent } from '../../../lib/logger.js'
import { noMetrics } from '../../../lib/metrics.js'
import type { Link } from '../../../lib/network/network.js'
import { SLOTS, slotOf } from '../../../lib/ring/slots.js'
import { type Spawned, spawn } from '../../../lib/runtime/actor.js'
import { GuardedStore } from '../../../lib/storage/guarded-store.js'
import { FaultyStore } from '../seams/faulty-store.js'
import { VirtualClock } from '../seams/virtual-clock.js'
import { type HandMade, idOf, linkOf, ringView } from './ring-views.js'

/** A reply that may not have come yet. */
export interface Kept<R> {
  /** How often the reply came; more than once is an error. */
  count: number
  result: R | RingdError | undefined
}

/** The code of an error, the result itself otherwise, 'nothing' before it came. */
export function answerOf(kept: Kept<unknown>): unknown {
  if (kept.count === 0) return 'nothing'
  if (kept.count > 1) return `answered ${kept.count} times`
  return kept.result instanceof RingdError ? kept.result.code : kept.result
}

/** The refusal of a write with its versions in hex; anything else as `answerOf`. */
export function refusalOf(kept: Kept<unknown>): unknown {
  const { count, result } = kept as Kept<WriteResult>
  if (count !== 1 || result === undefined || result instanceof RingdError) return answerOf(kept)
  return isPromisedAbove(result)
    ? { promised: toHex(result.promised) }
    : { newer: toHex(result.newer), had: result.had }
}

/** The refusal of an owner that holds, or wants, a newer version and never had the written one. */
export function newer(version: Version, had = false): unknown {
  return { newer: toHex(version), had }
}

type Rest<T extends ReplicaMessage['type']> = Omit<Extract<ReplicaMessage, { type: T }>, 'type' | 'reply'>

export class ReplicaHarness {
  readonly clock: VirtualClock
  readonly disk: FaultyStore
  readonly slotStats = new SlotStats()
  readonly bounds = noBounds()
  readonly conditions = new Conditions({ log: silent, metrics: noMetrics })
  readonly hlc: HybridClock
  /** Free space of the disk. The replica reads it every second. */
  freeBytes = Number.MAX_SAFE_INTEGER
  readonly catchUps: string[] = []
  readonly lost: RingdError[] = []
  readonly damaged: string[] = []
  readonly disputed: string[] = []
  readonly ref: Spawned<ReplicaMessage>

  /** `promises`: those that a restarted replica has found on its disk. */
  constructor(
    clock = new VirtualClock(),
    disk = new FaultyStore(),
    { promises = [] }: { readonly promises?: readonly StandingPromise[] } = {}
  ) {
    this.clock = clock
    this.disk = disk
    this.hlc = new HybridClock({ now: () => this.clock.now() }, { member: versionMember(idOf('a')), ceilingMs: 0 })
    const base = { clock: this.clock, log: silent, metrics: noMetrics }
    const make = () =>
      new Replica({
        ...base,
        hlc: this.hlc,
        store: new GuardedStore(this.disk),
        slotStats: this.slotStats,
        freeBytes: async () => this.freeBytes,
        conditions: this.conditions,
        catchUp: (peerId) => void this.catchUps.push(peerId),
        refuse: (code, theirs) => new RingdError(code, `you know ${theirs}`),
        released: new Uint32Array(SLOTS),
        incomplete: new Uint32Array(SLOTS),
        promises,
        bounds: this.bounds,
        onDamaged: (key) => void this.damaged.push(Buffer.from(key).toString()),
        onDisputed: (key) => void this.disputed.push(Buffer.from(key).toString()),
        onLost: (error) => void this.lost.push(error)
      })
    const onCrash = (error: RingdError) => {
      throw error
    }
    this.ref = spawn<ReplicaMessage>(base, 'storage', make, { onCrash })
  }

  view(view: Omit<HandMade, 'self'>): void {
    this.ref.signal({ type: 'view', view: ringView({ ...view, self: 'a' }) })
  }

  /** Sends a message. The result is filled in when the reply comes. */
  send<R, T extends ReplicaMessage['type'] = ReplicaMessage['type']>(type: T, rest: Rest<T>): Kept<R> {
    const kept: Kept<R> = { count: 0, result: undefined }
    const reply = (result: R | RingdError) => {
      kept.count += 1
      kept.result = result
    }
    this.ref.tell({ type, ...rest, reply } as unknown as ReplicaMessage)
    return kept
  }

  read(key: string, view = 1, from: Link | undefined = linkOf('b')): Kept<ReadResult> {
    return this.send('read', { view, from, key: Buffer.from(key) })
  }

  write(key: string, ms: number, value = `${ms}`, view = 1): Kept<WriteResult> {
    return this.send('write', {
      view,
      from: linkOf('b'),
      key: Buffer.from(key),
      envelope: this.envelope(key, ms, value)
    })
  }

  /** A round asks for the ballot. */
  prepare(key: string, ms: number, origins: readonly number[] = []): Kept<PrepareResult> {
    const versions = origins.map((origin) => this.version(origin))
    const rest = { view: 1, from: linkOf('b'), key: Buffer.from(key), ballot: this.version(ms), origins: versions }
    return this.send('prepare', rest)
  }

  /** As `write`, of an entry that a round has adopted. */
  adopt(key: string, ms: number, origin: number): Kept<WriteResult> {
    const entry = { version: this.version(ms), origin: this.version(origin), tombstone: false, value: Buffer.from('v') }
    const envelope = encodeEnvelope(Buffer.from(key), entry)
    return this.send('write', { view: 1, from: linkOf('b'), key: Buffer.from(key), envelope })
  }

  /** As `write`, of an entry that a read found at another owner. */
  repair(key: string, ms: number): Kept<WriteResult> {
    const rest = { view: 1, from: linkOf('b'), repair: true, key: Buffer.from(key) }
    return this.send('write', { ...rest, envelope: this.envelope(key, ms) })
  }

  /** As `write`, of a tombstone. */
  remove(key: string, ms: number): Kept<WriteResult> {
    const rest = { view: 1, from: linkOf('b'), key: Buffer.from(key) }
    return this.send('write', { ...rest, envelope: this.tombstone(key, ms) })
  }

  /** Sends a block of a pull. */
  merge(entries: readonly (readonly [key: string, envelope: Envelope])[]): Kept<undefined> {
    return this.send('merge', { entries: entries.map(([key, envelope]) => ({ dataKey: stored(key), envelope })) })
  }

  tombstone(key: string, ms: number): Envelope {
    return encodeEnvelope(Buffer.from(key), { version: this.version(ms), tombstone: true, value: new Uint8Array(0) })
  }

  /** An entry whose version lies `ms` after the start of the clock. */
  envelope(key: string, ms: number, value = `${ms}`): Envelope {
    return encodeEnvelope(Buffer.from(key), { version: this.version(ms), tombstone: false, value: Buffer.from(value) })
  }

  version(ms: number): Version {
    return makeVersion(new VirtualClock().now() + ms, 0, versionMember(idOf('b')))
  }

  /** The bytes on the disk under the key. */
  stored(key: string): Envelope | undefined {
    return this.disk.get(stored(key)) as Envelope | undefined
  }
}

/** The stored form of a key. */
export function stored(key: string): StoredKey {
  const bytes = Buffer.from(key)
  return dataKey(slotOf(bytes), bytes)
}
