// The router actor alone. A test plays the owners and the ring. This peer is member `a`.

import type { HintsMessage } from '../../../lib/actors/hints/hints-messages.js'
import type {
  BallotPromised,
  PrepareResult,
  ReadResult,
  ReplicaMessage,
  Telling,
  WriteResult
} from '../../../lib/actors/replica/replica-messages.js'
import type { OwnerReply } from '../../../lib/actors/router/operation.js'
import { Router } from '../../../lib/actors/router/router.js'
import { routerClient } from '../../../lib/actors/router/router-client.js'
import type { RouterMessage } from '../../../lib/actors/router/router-messages.js'
import { asEnvelope, type Envelope, encodeEnvelope } from '../../../lib/entry/envelope.js'
import { HybridClock } from '../../../lib/entry/hybrid-clock.js'
import type { OwnerAnswer } from '../../../lib/entry/read-resolution.js'
import type { ClockVerdict } from '../../../lib/entry/ring-time.js'
import { asVersion, makeVersion, type Version, versionMember } from '../../../lib/entry/version.js'
import { type ErrorCode, RingdError, ValueLarger } from '../../../lib/errors.js'
import type { Change, Consistency, Decide, Found, KeyValue, UpdateOptions } from '../../../lib/key-value.js'
import { silent } from '../../../lib/logger.js'
import { type Metrics, noMetrics } from '../../../lib/metrics.js'
import { type Answer, InformedRefusal, type Network, type StreamClass } from '../../../lib/network/network.js'
import type { Knowledge, PrepareReply, ReadReply, WriteReply } from '../../../lib/network/wire.js'
import { type Spawned, spawn } from '../../../lib/runtime/actor.js'
import { VirtualClock } from '../seams/virtual-clock.js'
import { type HandMade, idOf, letterOf, ringView } from './ring-views.js'

/** The wall clock at the start. */
export const START_MS = new VirtualClock().now()

/** One request to one owner. A test answers it once. */
export interface Asked {
  /** The letter of the owner. */
  readonly owner: string
  readonly view: number
  /** The entry of a write; undefined for a read. */
  readonly envelope: Envelope | undefined
  /** For a write: the largest purge bound of the owners that hold the entry, s. */
  readonly confirmedBelow: number | undefined
  /** Of a prepare. */
  readonly ballot: Version | undefined
  readonly origins: readonly Version[]
  /** For a read or a prepare: the largest envelope that may be sent. */
  readonly bytesMax: number | undefined
  /** Undefined for the owner that is this peer. */
  readonly stream: StreamClass | undefined
  /**
   * For a read: the entry held. For a write: nothing, or why it was refused; a version is that of a newer entry. For a
   * prepare: its answer. Or an error.
   */
  readonly answer: (result?: OwnerReply | Version) => void
}

export class RouterHarness {
  readonly clock = new VirtualClock()
  /** Requests that the test has not taken yet, oldest first. */
  asked: Asked[] = []
  /** Letters of peers that are not linked. */
  readonly unlinked = new Set<string>()
  /** Letters of peers that came back as another member. */
  readonly reborn = new Set<string>()
  readonly learned: Knowledge[] = []
  readonly persisted: string[] = []
  /** How many hints the router dropped. */
  dropped = 0
  /** The hints that the router handed over: the letter of the owner, and the entry. */
  readonly hinted: { readonly owner: string; readonly envelope: Envelope }[] = []
  readonly ref: Spawned<RouterMessage>
  readonly keyValue: KeyValue
  /** What this peer's clock is found to be. */
  verdict: ClockVerdict = { state: 'right' }
  /** How long a synced batch takes, ms. */
  readonly diskSpeed = { syncMs: 0 }
  /** While true, writes of facts wait for `release`. */
  holdFacts = false
  readonly #gate = Promise.withResolvers<void>()

  constructor(timeoutMs = 5000, maxValueBytes = 1000) {
    const { clock } = this
    const hlc = new HybridClock({ now: () => clock.now() }, { member: versionMember(idOf('a')), ceilingMs: 0 })
    const random = { next: () => 0.5, bytes: (length: number) => new Uint8Array(length) }
    const base = { clock, random, log: silent, metrics: this.#metrics() }
    const options = { timeoutMs, maxKeyBytes: 100, maxValueBytes }
    const replica = { isOver: false, tell: (message: ReplicaMessage) => this.#tell(message), signal: () => {} }
    const hints = { isOver: false, tell: (message: HintsMessage) => this.#keep(message), signal: () => {} }
    const persist = async (writes: readonly { readonly name: string }[]) => {
      if (this.holdFacts) await this.#gate.promise
      for (const { name } of writes) this.persisted.push(name)
    }
    const learned = (knowledge: Knowledge) => void this.learned.push(knowledge)
    const ringTime = { now: () => clock.now(), verdict: { state: 'right' } as ClockVerdict }
    Object.defineProperty(ringTime, 'verdict', { get: () => this.verdict })
    const clocks = { hlc, ringTime, diskSpeed: this.diskSpeed }
    const deps = { ...base, ...clocks, network: this.#network(), replica, hints, persist, learned }
    const onCrash = (error: RingdError) => {
      throw error
    }
    this.ref = spawn<RouterMessage>(base, 'router', () => new Router(deps, options), { onCrash })
    this.keyValue = routerClient(this.ref, options, () => clock.now())
  }

  release(): void {
    this.holdFacts = false
    this.#gate.resolve()
  }

  view(view: Omit<HandMade, 'self'>): void {
    this.ref.signal({ type: 'view', view: ringView({ ...view, self: 'a' }) })
  }

  /** A member tells whether room on its disk is running out. */
  room(letter: string, isShort: boolean): void {
    this.ref.signal({ type: 'room', member: idOf(letter), isShort })
  }

  /** `result` is 'nothing' until the answer; an error is given as its code. */
  get(key = 'k', consistency: Consistency = 'quorum'): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    this.keyValue.get(Buffer.from(key), consistency, (result) => keep(kept, result))
    return kept
  }

  put(value = 'v', consistency: Consistency = 'quorum', key = 'k'): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    this.keyValue.put(Buffer.from(key), Buffer.from(value), consistency, (result) => keep(kept, result))
    return kept
  }

  putUntil(expiresAtMs: number, value = 'v'): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    const reply = (result: undefined | RingdError) => keep(kept, result)
    this.keyValue.put(Buffer.from('k'), Buffer.from(value), 'quorum', reply, expiresAtMs)
    return kept
  }

  /** The value as text, with its expiry in ms since the start of the clock: `v until 5`. */
  find(): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    this.keyValue.find(Buffer.from('k'), 'quorum', (result) => keep(kept, textOf(result)))
    return kept
  }

  /** An update that writes what `change` makes of the value, and is answered with the value before. */
  update(change: (found: Found | undefined) => Change | undefined, options?: UpdateOptions): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    const decide: Decide<Found | undefined> = (found) => ({ change: change(found), result: found })
    const reply = (result: Found | undefined | RingdError) => keep(kept, textOf(result))
    this.keyValue.update(Buffer.from('k'), 'quorum', decide, reply, options)
    return kept
  }

  change<T>(decide: Decide<T>, options?: UpdateOptions, consistency: Consistency = 'quorum'): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    this.keyValue.update(Buffer.from('k'), consistency, decide, (result) => keep(kept, result), options)
    return kept
  }

  /** A round that changes nothing. */
  settle(): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    const reply = (result: undefined | RingdError) => keep(kept, result)
    this.ref.tell({ type: 'settle', key: Buffer.from('k'), reply })
    return kept
  }

  delete(consistency: Consistency = 'quorum'): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    this.keyValue.delete(Buffer.from('k'), consistency, (result) => keep(kept, result))
    return kept
  }

  /** The letters of the owners whose requests the test has not taken, in order. */
  get owners(): string {
    return this.asked.map(({ owner }) => owner).join('')
  }

  /** Takes the oldest request to this owner. */
  take(owner: string): Asked {
    const at = this.asked.findIndex((asked) => asked.owner === owner)
    if (at === -1) throw new Error(`no request to ${owner} is open; requests are open to "${this.owners}"`)
    return this.asked.splice(at, 1)[0]!
  }

  async answer(owner: string, result?: OwnerReply | Version): Promise<void> {
    this.take(owner).answer(result)
    await this.clock.settle()
  }

  async refuse(owner: string, code: ErrorCode): Promise<void> {
    await this.answer(owner, new RingdError(code))
  }

  /** A refusal that carries the change to `view`. */
  stale(view: number): RingdError {
    const changes = [{ number: view, joins: [], removals: [], lost: [], votes: [] }]
    return new InformedRefusal('STALE_VIEW', 'stale', { changes, bases: [], records: [], joins: [], departures: [] })
  }

  /** An entry whose version lies `ms` after the start of the clock. */
  envelope(ms: number, value = `${ms}`, tombstone = false): Envelope {
    const bytes = tombstone ? new Uint8Array(0) : Buffer.from(value)
    return encodeEnvelope(Buffer.from('k'), { version: this.version(ms), tombstone, value: bytes })
  }

  /** Like `envelope`, with an expiry `untilMs` after the start of the clock. */
  expiring(ms: number, untilMs: number, value = `${ms}`): Envelope {
    const entry = { version: this.version(ms), tombstone: false, value: Buffer.from(value) }
    return encodeEnvelope(Buffer.from('k'), { ...entry, expiresAtMs: START_MS + untilMs })
  }

  /** The answer of an owner that has closed the slot below `closedMs` after the start of the clock. */
  known(closedMs: number, envelope?: Envelope): OwnerAnswer {
    return { envelope, closed: Math.floor((START_MS + closedMs) / 1000) }
  }

  /** The promise of an owner that holds this entry, with what it knows of the attempts of the operation. */
  promise(envelope?: Envelope, tellings: readonly Telling[] = [], closed = 0): BallotPromised {
    return { envelope, closed, tellings }
  }

  version(ms: number): Version {
    return makeVersion(START_MS + ms, 0, versionMember(idOf('b')))
  }

  #tell(message: ReplicaMessage): boolean {
    const { type } = message
    if (type !== 'read' && type !== 'write' && type !== 'prepare') throw new Error(`unexpected message: ${type}`)
    const reply = message.reply as (result?: OwnerReply) => void
    const answer = (result?: OwnerReply | Version) =>
      reply(type === 'write' ? writeReplyOf(result) : (result as OwnerReply))
    const envelope = type === 'write' ? message.envelope : undefined
    const confirmedBelow = type === 'write' ? message.confirmedBelow : undefined
    const bytesMax = type === 'write' ? undefined : message.bytesMax
    const { ballot, origins } = type === 'prepare' ? message : { ballot: undefined, origins: [] }
    const { view } = message
    const rest = { view, envelope, confirmedBelow, ballot, origins, bytesMax, stream: undefined, answer }
    this.asked.push({ owner: 'a', ...rest })
    return true
  }

  #metrics(): Metrics {
    const dropped = {
      add: (amount = 1) => {
        this.dropped += amount
      }
    }
    return {
      ...noMetrics,
      counter: (name, help) => (name === 'ringd_hints_dropped' ? dropped : noMetrics.counter(name, help))
    }
  }

  #keep(message: HintsMessage): boolean {
    if (message.type !== 'keep') throw new Error(`unexpected message: ${message.type}`)
    this.hinted.push({ owner: letterOf(message.member), envelope: message.envelope })
    return true
  }

  #network(): Network {
    const request: Network['request'] = (to, stream, body, timeoutMs, done) => {
      const owner = to.slice(-1)
      let open = true
      const once = (answer: Answer) => {
        if (open) done(answer)
        open = false
      }
      this.clock.after(timeoutMs, () => once(new RingdError('TIMEOUT')))
      const envelope = body.write && asEnvelope(body.write.envelope)
      const answer = (result?: OwnerReply | Version) => {
        if (result instanceof RingdError && !(result instanceof ValueLarger)) once(result)
        else if (body.write !== undefined) once({ written: writtenOf(writeReplyOf(result) as WriteResult) })
        else if (body.prepareKey !== undefined) once({ preparedKey: preparedOf(result as PrepareResult | ValueLarger) })
        else once({ value: readReplyOf(result as ReadResult | ValueLarger) })
      }
      const confirmedBelow = body.write?.confirmedBelow
      const bytesMax = (body.read ?? body.prepareKey)?.bytesMax
      const ballot = body.prepareKey && asVersion(body.prepareKey.ballot)
      const origins = (body.prepareKey?.origins ?? []).map(asVersion)
      const { view } = (body.read ?? body.write ?? body.prepareKey)!
      this.asked.push({ owner, view, envelope, confirmedBelow, ballot, origins, bytesMax, stream, answer })
    }
    const link: Network['link'] = (peerId) => {
      const letter = peerId.slice(-1)
      if (this.unlinked.has(letter)) return undefined
      return { peerId, ringId: '', storeId: this.reborn.has(letter) ? idOf('z') : idOf(letter) }
    }
    return { request, link } as Partial<Network> as Network
  }
}

/** The answer to a write; a bare version is that of a newer entry, in place of which the owner never held the write. */
function writeReplyOf(result: OwnerReply | Version | undefined): WriteResult | RingdError {
  if (result instanceof Uint8Array) return { newer: result as Version, had: false }
  return result as WriteResult | RingdError
}

function readReplyOf(result: ReadResult | ValueLarger): ReadReply {
  if (result instanceof ValueLarger) return { size: result.size }
  return (result === undefined || result instanceof Uint8Array ? { envelope: result } : result) as ReadReply
}

function preparedOf(result: PrepareResult | ValueLarger): PrepareReply {
  if (result instanceof ValueLarger) return { size: result.size, tellings: [] }
  return ('refusedBy' in result ? { refusedBy: result.refusedBy, tellings: [] } : result) as PrepareReply
}

function writtenOf(result: WriteResult): WriteReply {
  if (result === undefined) return {}
  if ('promised' in result) return { promised: result.promised } as WriteReply
  return { newerVersion: result.newer, had: result.had } as WriteReply
}

function textOf(result: Found | undefined | RingdError): string | undefined | RingdError {
  if (result === undefined || result instanceof RingdError) return result
  const { value, expiresAtMs } = result
  const text = Buffer.from(value).toString()
  return expiresAtMs === undefined ? text : `${text} until ${expiresAtMs - START_MS}`
}

function keep(kept: { result: unknown }, result: unknown): void {
  if (kept.result !== 'nothing') throw new Error('answered twice')
  if (result instanceof RingdError) kept.result = result.code
  else kept.result = result instanceof Uint8Array ? Buffer.from(result).toString() : result
}
