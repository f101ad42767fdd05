// Ends old promises: a round that was begun and never ended, because its router died or its time was over, leaves
// promises at owners. These refuse every older entry of the key, also from repair, hints and handoff. So the owner of a
// promise that has stood for some seconds has a round of its own run, which writes what the key holds again.
// Owns the keys under way. Must not be relied on for safety: it only lets owners become equal again.
// Source: rules A12 and A14 of lib/views/README.md.

import { type Bytes, toHex } from '../bytes.js'
import type { Clock, Timer } from '../clock.js'
import { toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Counter, Metrics } from '../metrics.js'
import type { Random } from '../random.js'
import type { Ref } from '../runtime/actor.js'
import { askReplica } from './replica/replica-client.js'
import type { ReplicaMessage } from './replica/replica-messages.js'
import { settleKey } from './router/router-client.js'
import type { RouterMessage } from './router/router-messages.js'

export interface PromiseSweepDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: Metrics
  readonly replica: Ref<ReplicaMessage>
  readonly router: Ref<RouterMessage>
}

/** Between two looks at the promises. */
const PAUSE_MS = 1000
/** Drawn for each look and added to the pause, so that the owners of one key do not begin at the same time. */
const JITTER_MS = 1000
/** Longer than a round takes under load. A shorter time would disturb rounds that are under way. */
export const SETTLE_AFTER_MS = 3000
/** Rounds at once. */
const ROUNDS_MAX = 32

export class PromiseSweep {
  readonly #deps: PromiseSweepDeps
  readonly #settled: Counter
  readonly #settleAfterMs: number
  readonly #keys = new Set<string>()
  #timer: Timer | undefined
  #isStopped = false

  constructor(deps: PromiseSweepDeps, settleAfterMs = SETTLE_AFTER_MS) {
    const { clock, random, log, metrics, replica, router } = deps
    this.#deps = { clock, random, log, metrics, replica, router }
    this.#settleAfterMs = settleAfterMs
    this.#settled = metrics.counter('ringd_settled_promises', 'keys whose old promises were ended by a round')
  }

  /** Begins to look, once this member serves. Later calls do nothing. */
  begin(): void {
    if (this.#timer === undefined && !this.#isStopped && this.#settleAfterMs > 0) this.#wait()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #wait(): void {
    const { clock, random } = this.#deps
    this.#timer = clock.after(PAUSE_MS + random.next() * JITTER_MS, () => void this.#look())
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const limit = ROUNDS_MAX - this.#keys.size
    try {
      if (limit > 0) for (const key of await this.#old(limit)) void this.#settle(key)
    } catch (thrown) {
      this.#deps.log.debug({ err: toRingdError(thrown) }, 'the promises of rounds could not be looked at')
    }
    if (!this.#isStopped) this.#wait()
  }

  #old(limit: number): Promise<readonly Bytes[]> {
    return askReplica(this.#deps, (reply) => ({ type: 'promises', olderThanMs: this.#settleAfterMs, limit, reply }))
  }

  /** Never rejects: what cannot be settled now is found again. */
  async #settle(key: Bytes): Promise<void> {
    const name = toHex(key)
    if (this.#keys.has(name) || this.#isStopped) return
    this.#keys.add(name)
    const { clock, router, log } = this.#deps
    try {
      await settleKey(clock, router, key)
      this.#settled.add()
    } catch (thrown) {
      log.debug({ err: toRingdError(thrown) }, 'an old promise could not be ended yet; it is tried again')
    } finally {
      this.#keys.delete(name)
    }
  }
}
