// Heals two kinds of entries: damaged ones, and ones on which owners that have closed the slot contradict each other.
// The resolution of the owners' answers takes the place of what is stored here.
// Owns the keys under way. A key that cannot be healed now is tried again when an operation or the scrub meets it.

import { type Bytes, toHex } from '../bytes.js'
import { type Clock, sleep } from '../clock.js'
import { DATA_KEY_OVERHEAD } from '../entry/keys.js'
import type { Resolution } from '../entry/read-resolution.js'
import { toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Counter, Metrics } from '../metrics.js'
import { ask, type Ref } from '../runtime/actor.js'
import { askReplica } from './replica/replica-client.js'
import type { ReplicaMessage } from './replica/replica-messages.js'
import type { RouterMessage } from './router/router-messages.js'

export interface EntryHealerDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly router: Ref<RouterMessage>
  readonly replica: Ref<ReplicaMessage>
  /** Stored keys of entries that were found damaged when the store was opened. */
  readonly damaged?: readonly Bytes[]
}

const ASK_TIMEOUT_MS = 15_000
/** Keys at once. Further ones are refused until somebody meets their entry again. */
const HEALING_MAX = 64
/** Passes over the entries that were damaged at the opening of the store. Those left wait until somebody meets them. */
const PASSES_MAX = 20
const PASS_MS = 3000

export class EntryHealer {
  readonly #deps: EntryHealerDeps
  readonly #keys = new Set<string>()
  readonly #healed: Counter
  readonly #atOpen: Bytes[]
  #isStopped = false

  constructor(deps: EntryHealerDeps) {
    this.#deps = deps
    this.#atOpen = [...(deps.damaged ?? [])]
    this.#healed = deps.metrics.counter(
      'ringd_storage_healed_entries',
      'entries that were damaged or disputed, and settled by asking the owners'
    )
  }

  /** Heals the entries that were damaged when the store was opened. Later calls do nothing. */
  begin(): void {
    const waiting = this.#atOpen.splice(0)
    if (waiting.length === 0) return
    this.#deps.log.warn(
      { entries: waiting.length },
      'damaged entries were found when the store was opened; healing them from other owners'
    )
    void this.#healAll(waiting)
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Heals the keys one after the other, and repeats those that failed. */
  async #healAll(keys: readonly Bytes[]): Promise<void> {
    let waiting = keys
    for (let pass = 0; pass < PASSES_MAX && waiting.length > 0 && !this.#isStopped; pass++) {
      if (pass > 0) await sleep(this.#deps.clock, PASS_MS)
      const failed: Bytes[] = []
      for (const stored of waiting) if (!(await this.heal(stored.subarray(DATA_KEY_OVERHEAD)))) failed.push(stored)
      waiting = failed
    }
  }

  /** Owners contradict each other on this key. Half of the places stay free for damaged entries. */
  resolveDispute(key: Bytes): void {
    if (this.#keys.size < HEALING_MAX / 2) void this.heal(key)
  }

  /** Whether the entry was healed. Never throws. */
  async heal(key: Bytes): Promise<boolean> {
    const name = toHex(key)
    if (this.#keys.has(name) || this.#keys.size >= HEALING_MAX) return false
    this.#keys.add(name)
    try {
      await this.#replace(key)
      this.#healed.add()
      return true
    } catch (thrown) {
      this.#deps.log.warn(
        { err: toRingdError(thrown) },
        'damaged or disputed entry could not be healed yet; tried again when it is read again'
      )
      return false
    } finally {
      this.#keys.delete(name)
    }
  }

  async #replace(key: Bytes): Promise<void> {
    const { clock, router, replica } = this.#deps
    const resolution = await ask<RouterMessage, Resolution>(clock, router, ASK_TIMEOUT_MS, (reply) => ({
      type: 'entry',
      key,
      reply
    }))
    await askReplica<undefined>({ clock, replica }, (reply) => ({
      type: 'heal',
      key,
      resolution,
      reply
    }))
  }
}
