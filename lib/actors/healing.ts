// Heals damaged entries: what a quorum of the other owners holds of the key takes their place.
// Owns the keys that are being asked for. What cannot be healed now is tried again when somebody meets the entry again.
import { ask, type Ref } from '../actor/actor.js'
import { type Bytes, toHex } from '../bytes.js'
import type { Clock } from '../clock.js'
import { toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { RouterMessage } from './router.js'
import type { StorageMessage } from './storage-messages.js'

export interface HealingDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly router: Ref<RouterMessage>
  readonly storage: Ref<StorageMessage>
}

const ASK_TIMEOUT_MS = 15_000
const STORAGE_TIMEOUT_MS = 60_000
/** Beyond, healing waits until an entry is met again. */
const HEALING_MAX = 64

export class Healing {
  readonly #deps: HealingDeps
  readonly #keys = new Set<string>()

  constructor(deps: HealingDeps) {
    this.#deps = deps
  }

  /** Never throws. */
  async heal(key: Bytes): Promise<void> {
    const name = toHex(key)
    if (this.#keys.has(name) || this.#keys.size >= HEALING_MAX) return
    this.#keys.add(name)
    try {
      await this.#replace(key)
    } catch (thrown) {
      this.#deps.log.warn({ err: toRingdError(thrown) }, 'a damaged entry could not be healed yet')
    } finally {
      this.#keys.delete(name)
    }
  }

  async #replace(key: Bytes): Promise<void> {
    const { clock, router, storage } = this.#deps
    const envelope = await ask<RouterMessage, Bytes | undefined>(clock, router, ASK_TIMEOUT_MS, (reply) => ({
      type: 'entry',
      key,
      reply
    }))
    await ask<StorageMessage, undefined>(clock, storage, STORAGE_TIMEOUT_MS, (reply) => ({
      type: 'heal',
      key,
      envelope,
      reply
    }))
  }
}
