// A warning that strangers can cause as often as they like: at most one line in ten seconds, with the number of times.
import type { Clock } from '../../../lib/clock.js'
import type { Fields, Logger } from '../../../lib/logger.js'

const PERIOD_MS = 10_000

export class RareLog {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #message: string
  #saidAt: number | undefined
  #times = 0
  #fields: Fields = {}

  constructor(clock: Clock, log: Logger, message: string) {
    this.#clock = clock
    this.#log = log
    this.#message = message
  }

  /** The line says `fields` of the last time, and `times` since the line before. */
  add(fields: Fields): void {
    this.#times++
    this.#fields = fields
    this.say()
  }

  /** Says what was held back, when it is time. Call it now and then. */
  say(): void {
    const now = this.#clock.elapsed()
    if (this.#times === 0 || (this.#saidAt !== undefined && now - this.#saidAt < PERIOD_MS)) return
    this.#log.warn({ ...this.#fields, times: this.#times }, this.#message)
    this.#saidAt = now
    this.#times = 0
  }
}
