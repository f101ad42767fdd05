// Decides when a silent member is suspect and when it is down. Pure arithmetic: no timers, no messages.
// The measure is how long a member has owed an answer. The time since its last answer would be wrong: in a large ring
// each member is asked only sometimes. A dead member is down within 5 s after it is asked, or after its link closes.
// Source: Chandra and Toueg, "Unreliable failure detectors", 1996.

export type Liveness = 'up' | 'suspect' | 'down'

export interface LivenessOptions {
  /** A member that has owed an answer for this long is suspect (default 1500). A short time suspects busy members. */
  readonly suspectAfterMs: number
  /**
   * A member that has owed an answer for this long is down (default 3500). A long time delays recovery; a short time
   * takes a pause for a failure.
   */
  readonly downAfterMs: number
}

export const LIVENESS_DEFAULTS: LivenessOptions = { suspectAfterMs: 1500, downAfterMs: 3500 }

/** The evidence about one member. Times are monotonic ms. */
export interface Evidence {
  /** There is an open link, and this member answers on it, not another member of the same peer. */
  readonly isLinked: boolean
  /** The time of the first question since its last answer, direct or through others; undefined when it owes none. */
  readonly askedAt: number | undefined
}

export interface Assessment {
  readonly liveness: Liveness
  /** For operators; '' when up. */
  readonly reason: string
}

const UP: Assessment = { liveness: 'up', reason: '' }

/**
 * A closed link makes a member suspect at once. Otherwise the owed time decides, with `patienceMs` added to both
 * limits.
 */
export function assess(
  evidence: Evidence,
  now: number,
  patienceMs = 0,
  options: LivenessOptions = LIVENESS_DEFAULTS
): Assessment {
  const { isLinked, askedAt } = evidence
  const owedMs = askedAt === undefined ? 0 : now - askedAt
  const isDown = owedMs >= options.downAfterMs + patienceMs
  if (isLinked && owedMs < options.suspectAfterMs + patienceMs) return UP
  const silence = `no answer for ${(owedMs / 1000).toFixed(1)} s`
  if (isLinked)
    return { liveness: isDown ? 'down' : 'suspect', reason: `${silence}, neither directly nor through others` }
  return isDown
    ? { liveness: 'down', reason: `no link, and ${silence} through others` }
    : { liveness: 'suspect', reason: 'no link' }
}
