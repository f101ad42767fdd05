// Heals entries that are damaged, or on which owners that should agree do not: what they say together replaces them.
// Owns the keys that are being asked for. What cannot be healed now is tried again when somebody meets the entry again.

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
import type { RouterMessage } from './router/router.js'

export interface EntryHealerDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly router: Ref<RouterMessage>
  readonly replica: Ref<ReplicaMessage>
  /** Stored keys of what was damaged when the store was opened. */
  readonly damaged?: readonly Bytes[]
}

const ASK_TIMEOUT_MS = 15_000
/** Beyond, healing waits until an entry is met again. */
const HEALING_MAX = 64
/** Of what was damaged when the store was opened. Then it waits until somebody meets it. */
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

  /** Heals what was damaged when the store was opened; begins once. */
  begin(): void {
    const waiting = this.#atOpen.splice(0)
    if (waiting.length === 0) return
    this.#deps.log.warn({ entries: waiting.length }, 'damaged entries were found when the store was opened')
    void this.#healAll(waiting)
  }

  stop(): void {
    this.#isStopped = true
  }

  /** One after the other, and again what failed. */
  async #healAll(keys: readonly Bytes[]): Promise<void> {
    let waiting = keys
    for (let pass = 0; pass < PASSES_MAX && waiting.length > 0 && !this.#isStopped; pass++) {
      if (pass > 0) await sleep(this.#deps.clock, PASS_MS)
      const failed: Bytes[] = []
      for (const stored of waiting) if (!(await this.heal(stored.subarray(DATA_KEY_OVERHEAD)))) failed.push(stored)
      waiting = failed
    }
  }

  /** Owners that should agree do not. What is damaged goes first. */
  resolveDispute(key: Bytes): void {
    if (this.#keys.size < HEALING_MAX / 2) void this.heal(key)
  }

  /** Whether that was done. Never throws. */
  async heal(key: Bytes): Promise<boolean> {
    const name = toHex(key)
    if (this.#keys.has(name) || this.#keys.size >= HEALING_MAX) return false
    this.#keys.add(name)
    try {
      await this.#replace(key)
      this.#healed.add()
      return true
    } catch (thrown) {
      this.#deps.log.warn({ err: toRingdError(thrown) }, 'an entry could not be healed yet')
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
