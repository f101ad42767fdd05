// The hints actor with a real replica actor, a store with faults, and a test that plays the owners and the ring.
// This peer is member `a`; it keeps hints for `b` and other members.

import { Hints, type HintsOptions, type HintTotals } from '../../../lib/actors/hints/hints.js'
import type { HintsMessage } from '../../../lib/actors/hints/hints-messages.js'
import type { Envelope } from '../../../lib/entry/envelope.js'
import { asEnvelope } from '../../../lib/entry/envelope.js'
import { allHints, decodeHint } from '../../../lib/entry/hint.js'
import { type ErrorCode, RingdError } from '../../../lib/errors.js'
import { type Logger, silent } from '../../../lib/logger.js'
import type { Labels, Metrics } from '../../../lib/metrics.js'
import type { Answer, Network } from '../../../lib/network/network.js'
import { type Spawned, spawn } from '../../../lib/runtime/actor.js'
import type { Scan, ScanRange } from '../../../lib/storage/store.js'
import type { NodeClock, VirtualClock } from '../seams/virtual-clock.js'
import { ReplicaHarness } from './replica-harness.js'
import { config, type HandMade, idOf, ringView } from './ring-views.js'

/** One hint that was sent to an owner. A test answers it once. */
export interface Sent {
  readonly owner: string
  readonly key: string
  readonly envelope: Envelope
  readonly answer: (code?: ErrorCode | 'promised') => void
}

export class HintsHarness {
  readonly replica: ReplicaHarness
  readonly clock: VirtualClock
  /** Hints that are not answered yet, oldest first. */
  sent: Sent[] = []
  /** The largest number of hints under way at one moment. */
  mostUnderWay = 0
  /** When set, owners answer by themselves after this time, ms. */
  answersAfterMs: number | undefined
  /** Letters of peers that are linked. */
  readonly linked = new Set<string>()
  /** Letters of peers that came back as another member. */
  readonly reborn = new Set<string>()
  /** Counters by name and label values: `ringd_hints_dropped full`. */
  readonly counts = new Map<string, number>()
  readonly warnings: object[] = []
  /** Awaited before each read of hints from the disk. It may wait or throw. */
  beforeRead: () => Promise<void> = async () => {}
  readonly #options: HintsOptions
  /** The clock of the hints actor alone: it counts the actor's timers. */
  #ownClock!: NodeClock
  #skewMs = 0
  #ref: Spawned<HintsMessage>
  #hints!: Hints

  constructor(options: HintsOptions = {}) {
    this.#options = options
    this.replica = new ReplicaHarness()
    this.clock = this.replica.clock
    this.#ref = this.#spawn()
  }

  get totals(): HintTotals {
    return this.#hints.totals
  }

  /** Sets the wall clock of the peer wrong by this from now on, also after a restart. The time of the ring is right. */
  setClock(skewMs: number): void {
    this.#skewMs = skewMs
    this.#ownClock.skewMs = skewMs
  }

  /** Timers of the hints actor that are waiting. */
  get timers(): number {
    return this.#ownClock.timers
  }

  /** The process ends, and another one starts on the same disk. */
  restart(): void {
    void this.#ref.stop()
    this.sent = []
    this.#ref = this.#spawn()
  }

  /** The actor hands its hints over and ends; its disk may still be read. */
  end(): Promise<void> {
    return this.#hints.ended()
  }

  stop(): Promise<void> {
    return this.#ref.stop()
  }

  view(view: Partial<Omit<HandMade, 'self'>> = {}): void {
    const whole = { number: 1, window: [config(1, 'abc')], ...view }
    this.#ref.signal({ type: 'view', view: ringView({ ...whole, self: 'a' }) })
  }

  link(letter: string): void {
    this.linked.add(letter)
    this.#ref.signal({ type: 'linked', member: idOf(letter) })
  }

  keep(letter: string, key: string, ms = 1, value = 'v'): boolean {
    const envelope = this.replica.envelope(key, ms, value)
    return this.#ref.tell({ type: 'keep', member: idOf(letter), key: Buffer.from(key), envelope })
  }

  /** Keys of the hints on the disk, in the order of the disk. */
  async onDisk(): Promise<string[]> {
    const scan = this.replica.disk.scan(allHints())
    const found = await scan.next(Number.POSITIVE_INFINITY)
    await scan.close()
    return found.map(([, value]) => Buffer.from(decodeHint(value)?.key ?? 'damaged').toString())
  }

  /** Answers the oldest hint that is under way. */
  async answer(code?: ErrorCode | 'promised'): Promise<void> {
    const oldest = this.sent.shift()
    if (oldest === undefined) throw new Error('no hint is under way: nothing to answer')
    oldest.answer(code)
    await this.clock.settle()
  }

  dropped(reason: string): number {
    return this.counts.get(`ringd_hints_dropped ${reason}`) ?? 0
  }

  #spawn(): Spawned<HintsMessage> {
    const clock = this.clock.forNode(this.#skewMs)
    this.#ownClock = clock
    const log: Logger = { ...silent, warn: (fields: object) => void this.warnings.push(fields) }
    const base = { clock, log, metrics: this.#metrics() }
    const ringTime = { now: () => this.clock.now() }
    const deps = { ...base, ringTime, network: this.#network(), replica: this.replica.ref }
    const scan = (range: ScanRange): Scan => {
      const open = this.replica.disk.scan(range)
      const next: Scan['next'] = async (bytesMax) => {
        await this.beforeRead()
        return open.next(bytesMax)
      }
      return { next, close: () => open.close() }
    }
    const onCrash = (error: RingdError) => {
      throw error
    }
    const make = (self: HintsRef) => {
      this.#hints = new Hints({ ...deps, scan, self }, this.#options)
      return this.#hints
    }
    return spawn<HintsMessage>(base, 'hints', make, { onCrash })
  }

  #metrics(): Metrics {
    const counter = (name: string, _help: string, labels: Labels = {}) => {
      const full = [name, ...Object.values(labels)].join(' ')
      return { add: (amount = 1) => void this.counts.set(full, (this.counts.get(full) ?? 0) + amount) }
    }
    return { counter, gauge: () => ({ set() {} }), histogram: () => ({ observe() {} }) }
  }

  #network(): Network {
    const request: Network['request'] = (to, _stream, body, timeoutMs, done) => {
      let isOpen = true
      const once = (answer: Answer) => {
        if (!isOpen) return
        isOpen = false
        this.sent = this.sent.filter((one) => one !== sent)
        done(answer)
      }
      const { key, envelope } = body.write!
      const answer = (code?: ErrorCode | 'promised') => {
        if (code === undefined) once({ written: {} })
        else once(code === 'promised' ? { written: { promised: new Uint8Array(16) } } : new RingdError(code))
      }
      const sent = { owner: to.slice(-1), key: Buffer.from(key).toString(), envelope: asEnvelope(envelope), answer }
      this.sent.push(sent)
      this.mostUnderWay = Math.max(this.mostUnderWay, this.sent.length)
      this.clock.after(timeoutMs, () => answer('TIMEOUT'))
      if (this.answersAfterMs !== undefined) this.clock.after(this.answersAfterMs, () => answer())
    }
    const link: Network['link'] = (peerId) => {
      const letter = peerId.slice(-1)
      if (!this.linked.has(letter)) return undefined
      return { peerId, ringId: '', storeId: this.reborn.has(letter) ? idOf('z') : idOf(letter) }
    }
    return { request, link } as Partial<Network> as Network
  }
}

type HintsRef = ConstructorParameters<typeof Hints>[0]['self']
