// When a silent member is suspected, and when it counts as down. Pure arithmetic: no timers, no messages.
// Source: Chandra and Toueg, "Unreliable failure detectors", 1996; the thresholds make a dead
// member down within 5 s.

export type Liveness = 'up' | 'suspect' | 'down'

export interface LivenessOptions {
  /** Silence on an open link that makes suspect: two and a half pings (default 2500). Less accuses busy members. */
  readonly suspectAfterMs: number
  /** Silence that makes down (default 4500). More delays recovery, less acts on pauses. */
  readonly downAfterMs: number
}

export const LIVENESS_DEFAULTS: LivenessOptions = { suspectAfterMs: 2500, downAfterMs: 4500 }

/** What is known of one member. Times are monotonic ms. */
export interface Evidence {
  /** The member answers on an open link of its own life. */
  readonly isLinked: boolean
  /** Its last answer, or when watching began. */
  readonly heardAt: number
}

/** A closed link makes suspect at once; silence does the rest. */
export function judge(evidence: Evidence, now: number, options: LivenessOptions = LIVENESS_DEFAULTS): Liveness {
  const silence = now - evidence.heardAt
  if (silence >= options.downAfterMs) return 'down'
  return !evidence.isLinked || silence >= options.suspectAfterMs ? 'suspect' : 'up'
}
