// The router alone: owners that answer by hand, and a ring made by hand. This peer is member `a`.

import type { HintsMessage } from '../../../lib/actors/hints/hints-messages.js'
import type { ReadResult, ReplicaMessage } from '../../../lib/actors/replica/replica-messages.js'
import { Router, type RouterMessage } from '../../../lib/actors/router/router.js'
import { routerClient } from '../../../lib/actors/router/router-client.js'
import type { Bytes } from '../../../lib/bytes.js'
import { encodeEnvelope } from '../../../lib/entry/envelope.js'
import { HybridClock } from '../../../lib/entry/hybrid-clock.js'
import type { OwnerAnswer } from '../../../lib/entry/read-resolution.js'
import { makeVersion, type Version, versionMember } from '../../../lib/entry/version.js'
import { type ErrorCode, RingdError } from '../../../lib/errors.js'
import type { Consistency, Decide, Found, KeyValue } from '../../../lib/key-value.js'
import { silent } from '../../../lib/logger.js'
import { type Metrics, noMetrics } from '../../../lib/metrics.js'
import { type Answer, InformedRefusal, type Network } from '../../../lib/network/network.js'
import type { Knowledge } from '../../../lib/network/wire.js'
import { type Spawned, spawn } from '../../../lib/runtime/actor.js'
import { VirtualClock } from '../seams/virtual-clock.js'
import { type HandMade, idOf, letterOf, ringView } from './ring-views.js'

/** What the clock shows at first. */
export const START_MS = new VirtualClock().now()

/** One question to one owner, to be answered once. */
export interface Asked {
  /** The letter of the owner. */
  readonly owner: string
  readonly view: number
  /** Undefined in a read. */
  readonly envelope: Bytes | undefined
  /** Of a write: the bound of those that speak for it, s. */
  readonly confirmedBelow: number | undefined
  /** A read: what is held. A write: the newer version held. Or an error. */
  readonly answer: (result?: ReadResult | RingdError) => void
}

export class RouterHarness {
  readonly clock = new VirtualClock()
  /** Questions that nobody has taken yet, oldest first. */
  asked: Asked[] = []
  /** Letters of peers that are not linked, and of those that live another life now. */
  readonly unlinked = new Set<string>()
  readonly reborn = new Set<string>()
  readonly learned: Knowledge[] = []
  readonly persisted: string[] = []
  /** Hints for which there was no room in memory. */
  dropped = 0
  /** Letters of the members that were given hints, and what is kept for them. */
  readonly hinted: { readonly owner: string; readonly envelope: Bytes }[] = []
  readonly ref: Spawned<RouterMessage>
  readonly keyValue: KeyValue
  /** Facts wait from now on; `release` lets them go. */
  holdFacts = false
  readonly #gate = Promise.withResolvers<void>()

  constructor(timeoutMs = 5000, maxValueBytes = 1000) {
    const { clock } = this
    const hlc = new HybridClock({ now: () => clock.now() }, { member: versionMember(idOf('a')), ceilingMs: 0 })
    const base = { clock, log: silent, metrics: this.#metrics() }
    const options = { timeoutMs, maxKeyBytes: 100, maxValueBytes }
    const replica = { isOver: false, tell: (message: ReplicaMessage) => this.#tell(message), signal: () => {} }
    const hints = { isOver: false, tell: (message: HintsMessage) => this.#keep(message), signal: () => {} }
    const persist = async (writes: readonly { readonly name: string }[]) => {
      if (this.holdFacts) await this.#gate.promise
      for (const { name } of writes) this.persisted.push(name)
    }
    const learned = (knowledge: Knowledge) => void this.learned.push(knowledge)
    const deps = { ...base, hlc, network: this.#network(), replica, hints, persist, learned }
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

  /** The result comes later: 'nothing' before. Errors come as their codes. */
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

  /** Values as text, with their expiry in ms since the start of the clock: `v until 5`. */
  find(): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    this.keyValue.find(Buffer.from('k'), 'quorum', (result) => keep(kept, textOf(result)))
    return kept
  }

  update(decide: Decide): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    this.keyValue.update(Buffer.from('k'), 'quorum', decide, (result) => keep(kept, textOf(result)))
    return kept
  }

  delete(consistency: Consistency = 'quorum'): { result: unknown } {
    const kept = { result: 'nothing' as unknown }
    this.keyValue.delete(Buffer.from('k'), consistency, (result) => keep(kept, result))
    return kept
  }

  /** Letters of the owners that were asked and have not been taken, in order. */
  get owners(): string {
    return this.asked.map(({ owner }) => owner).join('')
  }

  /** Takes the oldest question to this owner. */
  take(owner: string): Asked {
    const at = this.asked.findIndex((asked) => asked.owner === owner)
    if (at === -1) throw new Error(`${owner} was not asked, only "${this.owners}"`)
    return this.asked.splice(at, 1)[0]!
  }

  async answer(owner: string, result?: ReadResult | RingdError): Promise<void> {
    this.take(owner).answer(result)
    await this.clock.settle()
  }

  async refuse(owner: string, code: ErrorCode): Promise<void> {
    await this.answer(owner, new RingdError(code))
  }

  /** A refusal that brings views up to `view`. */
  stale(view: number): RingdError {
    const changes = [{ number: view, joins: [], removals: [], lost: [] }]
    return new InformedRefusal('STALE_VIEW', 'stale', { changes, bases: [], records: [], joins: [], departures: [] })
  }

  /** An entry whose version lies `ms` after the start of the clock. */
  envelope(ms: number, value = `${ms}`, tombstone = false): Bytes {
    const bytes = tombstone ? new Uint8Array(0) : Buffer.from(value)
    return encodeEnvelope(Buffer.from('k'), { version: this.version(ms), tombstone, value: bytes })
  }

  /** The same with an expiry so many ms after the start of the clock. */
  expiring(ms: number, untilMs: number, value = `${ms}`): Bytes {
    const entry = { version: this.version(ms), tombstone: false, value: Buffer.from(value) }
    return encodeEnvelope(Buffer.from('k'), { ...entry, expiresAtMs: START_MS + untilMs })
  }

  /** What an owner says that has closed the slot below so many ms after the start of the clock. */
  known(closedMs: number, envelope?: Bytes): OwnerAnswer {
    return { envelope, closed: Math.floor((START_MS + closedMs) / 1000) }
  }

  version(ms: number): Version {
    return makeVersion(START_MS + ms, 0, versionMember(idOf('b')))
  }

  #tell(message: ReplicaMessage): boolean {
    if (message.type !== 'read' && message.type !== 'write') throw new Error(`a router sends no ${message.type}`)
    const envelope = message.type === 'write' ? message.envelope : undefined
    const answer = message.reply as (result?: ReadResult | RingdError) => void
    const confirmedBelow = message.type === 'write' ? message.confirmedBelow : undefined
    this.asked.push({ owner: 'a', view: message.view, envelope, confirmedBelow, answer })
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
    if (message.type !== 'keep') throw new Error(`a router sends no ${message.type}`)
    this.hinted.push({ owner: letterOf(message.member), envelope: message.envelope })
    return true
  }

  #network(): Network {
    const request: Network['request'] = (to, _stream, body, timeoutMs, done) => {
      const owner = to.slice(-1)
      let open = true
      const once = (answer: Answer) => {
        if (open) done(answer)
        open = false
      }
      this.clock.after(timeoutMs, () => once(new RingdError('TIMEOUT')))
      const envelope = body.write?.envelope
      const answer = (result?: ReadResult | RingdError) => {
        if (result instanceof RingdError) return once(result)
        const isBare = result === undefined || result instanceof Uint8Array
        if (!isBare) once({ value: result })
        else once(body.write === undefined ? { value: { envelope: result } } : { written: { newerVersion: result } })
      }
      const confirmedBelow = body.write?.confirmedBelow
      this.asked.push({ owner, view: (body.read ?? body.write)!.view, envelope, confirmedBelow, answer })
    }
    const link: Network['link'] = (peerId) => {
      const letter = peerId.slice(-1)
      if (this.unlinked.has(letter)) return undefined
      return { peerId, ringId: '', storeId: this.reborn.has(letter) ? idOf('z') : idOf(letter) }
    }
    return { request, link } as Partial<Network> as Network
  }
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
