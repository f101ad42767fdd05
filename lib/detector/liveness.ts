// When a silent member is suspected, and when it counts as down. Pure arithmetic: no timers, no messages.
// What counts is how long a member has owed an answer, not how long it was not asked: in a large ring each member is
// asked now and then only. A dead member is down within 5 s of being asked, or of its link closing.
// Source: Chandra and Toueg, "Unreliable failure detectors", 1996.

export type Liveness = 'up' | 'suspect' | 'down'

export interface LivenessOptions {
  /** An answer owed for so long makes suspect (default 1500). Less accuses busy members. */
  readonly suspectAfterMs: number
  /** An answer owed for so long makes down (default 3500). More delays recovery, less acts on pauses. */
  readonly downAfterMs: number
}

export const LIVENESS_DEFAULTS: LivenessOptions = { suspectAfterMs: 1500, downAfterMs: 3500 }

/** What is known of one member. Times are monotonic ms. */
export interface Evidence {
  /** The member answers on an open link of its own life. */
  readonly isLinked: boolean
  /** The first question, direct or through others, since its last answer; undefined when it owes none. */
  readonly askedAt: number | undefined
}

export interface Assessment {
  readonly liveness: Liveness
  /** For people; '' when up. */
  readonly reason: string
}

const UP: Assessment = { liveness: 'up', reason: '' }

/** A closed link makes suspect at once; silence does the rest, `patienceMs` later than usual. */
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
