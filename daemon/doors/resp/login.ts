// The password of the door. Owns the comparison, and what a wrong password costs: a delay that doubles, and after a few
// the connection. Never logs a password.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../../lib/clock.js'
import type { Logger } from '../../../lib/logger.js'
import type { Counter } from '../../../lib/metrics.js'
import { RareLog } from './rare-log.js'

/** A connection with this number of wrong passwords is closed. */
export const WRONG_PASSWORDS_MAX = 5
const DELAY_MS = 100
const USER = Buffer.from('default')

export interface LoginDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly wrong: Counter
}

export class Login {
  /** False: every client may do everything. */
  readonly isRequired: boolean
  readonly #expected: Buffer | undefined
  readonly #wrong: Counter
  readonly #warning: RareLog

  constructor({ clock, log, wrong }: LoginDeps, password: string | undefined) {
    this.isRequired = password !== undefined
    this.#expected = password === undefined ? undefined : digest(Buffer.from(password))
    this.#wrong = wrong
    this.#warning = new RareLog(clock, log, 'Redis clients sent wrong passwords')
  }

  /**
   * Only the user `default` exists. When no password is set, any password is right, as in Redis. The time of the
   * comparison tells nothing about the password.
   */
  accepts(user: Buffer, password: Buffer): boolean {
    if (!user.equals(USER)) return false
    return this.#expected === undefined || timingSafeEqual(digest(password), this.#expected)
  }

  /** Counts a wrong password, the `times`th of its connection. Returns after how many ms the client may hear of it. */
  refused(address: string, times: number): number {
    this.#wrong.add()
    this.#warning.add({ address })
    return DELAY_MS * 2 ** (times - 1)
  }

  /** Logs what was held back. */
  tick(): void {
    this.#warning.say()
  }
}

/** Makes texts equally long. */
function digest(secret: Buffer): Buffer {
  return createHash('sha256').update(secret).digest()
}
