// Reports connections that found no common secret, in both directions: a counter for all of them, and a log line at
// most every ten seconds. A stranger who dials again and again fills no log.
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import { type Metrics, noMetrics } from '../metrics.js'
import type { Role } from './secrets.js'

export interface SecretRefusalsDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics?: Metrics | undefined
}

const LOG_EVERY_MS = 10_000
const INBOUND = 'refused connections without a secret of this ring; if it is a peer of yours, compare the secret files'
const OUTBOUND = 'a peer does not accept our secret; compare the secret files of both'
const COUNTER = 'ringd_network_refused_secrets'
const HELP = 'connections that ended because the two ends had no secret in common'

export class SecretRefusals {
  readonly #deps: SecretRefusalsDeps
  readonly #counts = { inbound: 0, outbound: 0 }
  readonly #loggedAt = { inbound: Number.NEGATIVE_INFINITY, outbound: Number.NEGATIVE_INFINITY }

  constructor(deps: SecretRefusalsDeps) {
    this.#deps = deps
    this.#counter('inbound').add(0)
    this.#counter('outbound').add(0)
  }

  /** This peer refused the one at `address`. */
  inbound(role: Role, address: string): void {
    this.#report('inbound', { role, address }, INBOUND)
  }

  /** The peer at `address` refused this one. */
  outbound(address: string): void {
    this.#report('outbound', { address }, OUTBOUND)
  }

  #report(direction: 'inbound' | 'outbound', fields: object, message: string): void {
    const now = this.#deps.clock.elapsed()
    this.#counter(direction).add()
    this.#counts[direction]++
    if (now < this.#loggedAt[direction] + LOG_EVERY_MS) return
    this.#deps.log.warn({ ...fields, connections: this.#counts[direction] }, message)
    this.#counts[direction] = 0
    this.#loggedAt[direction] = now
  }

  #counter(direction: string) {
    return (this.#deps.metrics ?? noMetrics).counter(COUNTER, HELP, { direction })
  }
}
