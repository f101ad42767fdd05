// Runs actors. An actor has a mailbox, and a `receive` that gets all waiting messages; two calls never overlap.
// Owns the scheduling, the stop, and the end of an actor that throws. Knows no particular actor.
// Source: Hewitt et al. 1973; batches as in Thompson's "smart batching", 2011.
import type { Clock } from '../clock.js'
import { RingdError, toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Gauge, Histogram, Metrics } from '../metrics.js'
import { Mailbox } from './mailbox.js'

export interface Actor<M> {
  /** Handles all waiting messages, the oldest first. The next batch comes only after its promise is settled. */
  receive(batch: readonly M[]): void | Promise<void>
  /** Called once after the last batch, to cancel running work. `stop` waits for its promise. */
  ended?(): void | Promise<void>
}

/** The reference by which other parts send messages to an actor. */
export interface Ref<M> {
  /** Sends a message. False when the mailbox is full or the actor has stopped: then no one will handle the message. */
  tell(message: M): boolean
  /** True when the actor will take no more messages. */
  readonly isOver: boolean
  /**
   * Sends a message even when the mailbox is full, for senders that limit their messages themselves. Lost after a stop.
   */
  signal(message: M): void
}

/** Answers a message once, with a result or an error. */
export type Reply<R> = (result: R | RingdError) => void

export interface ActorOptions {
  /** Messages that may wait (default 10 000). More hides overload longer; less refuses short bursts. */
  readonly capacity?: number
  /** Called with the error when `receive` throws. The actor has stopped by then. */
  readonly onCrash: (error: RingdError) => void
}

export interface Spawned<M> extends Ref<M> {
  /** Takes no more messages, handles the waiting ones, then resolves. */
  stop(): Promise<void>
}

export interface ActorDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

const CAPACITY_DEFAULT = 10_000

/** Starts the actor that `make` returns. The actor may keep `self`. */
export function spawn<M>(
  deps: ActorDeps,
  name: string,
  make: (self: Ref<M>) => Actor<M>,
  options: ActorOptions
): Spawned<M> {
  return new Running(deps, name, make, options)
}

/**
 * Sends a message and waits for its reply. Throws OVERLOADED (mailbox full), TIMEOUT, STOPPED, or the replied error.
 */
export function ask<M, R>(clock: Clock, ref: Ref<M>, timeoutMs: number, message: (reply: Reply<R>) => M): Promise<R> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => reject(new RingdError('TIMEOUT', `no reply within ${timeoutMs} ms`)))
    const taken = ref.tell(
      message((result) => {
        timer.cancel()
        if (result instanceof RingdError) reject(result)
        else resolve(result)
      })
    )
    if (taken) return
    timer.cancel()
    reject(new RingdError(ref.isOver ? 'STOPPED' : 'OVERLOADED'))
  })
}

type State = 'running' | 'stopping' | 'stopped'

class Running<M> implements Spawned<M> {
  readonly #deps: ActorDeps
  readonly #name: string
  readonly #actor: Actor<M>
  readonly #onCrash: (error: RingdError) => void
  readonly #mailbox: Mailbox<M>
  readonly #depth: Gauge
  readonly #handling: Histogram
  readonly #waiters: (() => void)[] = []
  #state: State = 'running'
  #ended = Promise.resolve()
  #scheduled = false
  #busy = false

  constructor(deps: ActorDeps, name: string, make: (self: Ref<M>) => Actor<M>, options: ActorOptions) {
    this.#deps = deps
    this.#name = name
    this.#onCrash = options.onCrash
    this.#mailbox = new Mailbox(options.capacity ?? CAPACITY_DEFAULT)
    const labels = { actor: name }
    this.#depth = deps.metrics.gauge('ringd_mailbox_messages', 'messages taken in the last batch', labels)
    this.#handling = deps.metrics.histogram('ringd_mailbox_batch_ms', 'time to handle one batch', labels)
    this.#actor = make(this)
  }

  get isOver(): boolean {
    return this.#state !== 'running'
  }

  tell(message: M): boolean {
    if (this.#state !== 'running' || !this.#mailbox.push(message)) return false
    this.#schedule()
    return true
  }

  signal(message: M): void {
    if (this.#state !== 'running') return
    this.#mailbox.force(message)
    this.#schedule()
  }

  stop(): Promise<void> {
    if (this.#state === 'running') this.#state = 'stopping'
    if (this.#state === 'stopping' && this.#mailbox.size === 0 && !this.#busy) this.#end()
    if (this.#state === 'stopped') return this.#ended
    this.#schedule()
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  #schedule(): void {
    if (this.#scheduled || this.#busy) return
    this.#scheduled = true
    this.#deps.clock.defer(this.#drain)
  }

  readonly #drain = (): void => {
    this.#scheduled = false
    if (this.#state === 'stopped') return
    const batch = this.#mailbox.takeAll()
    const started = this.#deps.clock.elapsed()
    this.#depth.set(batch.length)
    try {
      const pending = this.#actor.receive(batch)
      if (pending === undefined) {
        this.#handled(started)
        return
      }
      this.#busy = true
      pending.then(
        () => {
          this.#busy = false
          this.#handled(started)
        },
        (thrown) => this.#crash(thrown)
      )
    } catch (thrown) {
      this.#crash(thrown)
    }
  }

  #handled(started: number): void {
    this.#handling.observe(this.#deps.clock.elapsed() - started)
    if (this.#mailbox.size > 0) this.#schedule()
    else if (this.#state === 'stopping') this.#end()
  }

  #crash(thrown: unknown): void {
    const error = toRingdError(thrown)
    this.#deps.log.error({ actor: this.#name, err: error, waiting: this.#mailbox.size }, 'actor crashed')
    this.#end()
    this.#onCrash(error)
  }

  #end(): void {
    this.#state = 'stopped'
    this.#busy = false
    this.#mailbox.takeAll()
    this.#ended = Promise.resolve(this.#actor.ended?.())
    for (const resolve of this.#waiters.splice(0)) void this.#ended.then(resolve)
  }
}
