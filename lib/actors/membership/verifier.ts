// Verifies what others have signed. Part of the membership actor. A signature that was good once is not verified again;
// bad ones are counted, and logged once a minute for each kind, since anybody can send any number of them.
// Invariant: between two breaths the event loop waits for at most VERIFIED_AT_ONCE signatures.
import { createHash } from 'node:crypto'
import type { Clock } from '../../clock.js'
import type { Logger } from '../../logger.js'
import type { PeerId } from '../../member.js'
import type { Counter, Metrics } from '../../metrics.js'
import type { Signer } from '../../views/join.js'
import type { Claim } from '../../views/votes.js'

export interface VerifierDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly signer: Signer
}

/** One verification costs about 0.1 ms. */
const VERIFIED_AT_ONCE = 32
/** Good signatures that are remembered: those of one ballot in the largest ring, several times. */
const REMEMBERED_MAX = 4096
const LOG_REPEAT_MS = 60_000

/** What was signed. Each kind has a log line of its own. */
export type Signed = 'votes' | 'proof' | 'record' | 'join request' | 'departure request'

interface LogState {
  readonly at: number
  readonly unsaid: number
}

export class Verifier {
  readonly #deps: VerifierDeps
  readonly #bad: Counter
  readonly #good = new Set<string>()
  readonly #logged = new Map<Signed, LogState>()
  #sinceBreath = 0

  constructor(deps: VerifierDeps) {
    this.#deps = deps
    this.#bad = deps.metrics.counter(
      'ringd_membership_bad_signatures',
      'votes, records and requests whose signature was wrong'
    )
  }

  /** Whether all claims are true. Stops at the first that is not. `from` is the peer that told them. */
  async holds(signed: Signed, claims: readonly Claim[], from?: PeerId): Promise<boolean> {
    for (const claim of claims) {
      if (await this.#isTrue(claim)) continue
      this.#complain(signed, claim.peerId, from)
      return false
    }
    return true
  }

  async #isTrue(claim: Claim): Promise<boolean> {
    const key = keyOf(claim)
    if (this.#good.has(key)) return true
    await this.#breathe()
    if (!(await this.#verify(claim))) return false
    if (this.#good.size >= REMEMBERED_MAX) this.#good.clear()
    this.#good.add(key)
    return true
  }

  /** A peer id that is none, and a signature of a wrong length, make the signer throw. */
  async #verify({ peerId, statement, signature }: Claim): Promise<boolean> {
    try {
      return await this.#deps.signer.verify(peerId, statement, signature)
    } catch {
      return false
    }
  }

  async #breathe(): Promise<void> {
    this.#sinceBreath += 1
    if (this.#sinceBreath < VERIFIED_AT_ONCE) return
    this.#sinceBreath = 0
    await new Promise<void>((resolve) => this.#deps.clock.defer(resolve))
  }

  #complain(signed: Signed, signer: PeerId, from: PeerId | undefined): void {
    const { clock, log } = this.#deps
    this.#bad.add()
    const now = clock.elapsed()
    const last = this.#logged.get(signed)
    if (last !== undefined && now - last.at < LOG_REPEAT_MS) {
      this.#logged.set(signed, { ...last, unsaid: last.unsaid + 1 })
      return
    }
    this.#logged.set(signed, { at: now, unsaid: 0 })
    log.warn({ signed, signer, from, before: last?.unsaid ?? 0 }, 'a signature is wrong; what it was for is ignored')
  }
}

/** With the lengths: otherwise a part of the statement could pass for the beginning of the signature. */
function keyOf({ peerId, statement, signature }: Claim): string {
  const hash = createHash('sha256').update(`${peerId.length} ${statement.length} ${peerId}`).update(statement)
  return hash.update(signature).digest('base64')
}
