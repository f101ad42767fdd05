// When one member may be sent its hints: the state of its replay. Part of the hints actor.

import { assert } from '../../errors.js'
import { Pace } from './hint-replay.js'

/** A member that takes no hints rests for this, and twice as long each time. */
const REST_MS_MIN = 500
const REST_MS_MAX = 16_000

type State =
  | { readonly type: 'ready' }
  /** A round is under way. */
  | { readonly type: 'running' }
  /** The member took no hints; no round begins before `untilMs` (monotonic). */
  | { readonly type: 'resting'; readonly untilMs: number }

const READY: State = { type: 'ready' }
const RUNNING: State = { type: 'running' }

/** The replay of the hints for one member: ready, running or resting. */
export class MemberReplay {
  /** Carried from round to round. */
  readonly pace = new Pace()
  #state: State = READY
  /** How long the next rest is. */
  #restMs = REST_MS_MIN

  get isRunning(): boolean {
    return this.#state.type === 'running'
  }

  /** Whether `begin` is allowed at this monotonic moment. */
  mayBegin(now: number): boolean {
    if (this.#state.type === 'resting') return now >= this.#state.untilMs
    return this.#state.type === 'ready'
  }

  /** ready, resting -> running */
  begin(now: number): void {
    assert(this.mayBegin(now), 'a replay round begins when the member is ready, or its rest is over')
    this.#state = RUNNING
  }

  /** running -> ready */
  end(): void {
    assert(this.#state.type === 'running', 'only a running replay round ends')
    this.#state = READY
  }

  /** running -> resting */
  rest(now: number): void {
    assert(this.#state.type === 'running', 'a member rests after a replay round')
    this.#state = { type: 'resting', untilMs: now + this.#restMs }
    this.#restMs = Math.min(2 * this.#restMs, REST_MS_MAX)
  }

  /** resting -> ready; nothing in other states */
  wake(): void {
    this.shortenRest()
    if (this.#state.type === 'resting') this.#state = READY
  }

  /** The member answers: its next rest is short again. */
  shortenRest(): void {
    this.#restMs = REST_MS_MIN
  }
}
