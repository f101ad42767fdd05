// Corrections for the slowness of this process itself: without them, a pause here would make other members look down.
// Pure arithmetic. Time in which this process did not run is not counted as silence of a member. For some seconds after
// such a time, each member gets as much more time to answer.
// Source: Dadgar et al., "Lifeguard: local health awareness for more accurate failure detection", 2017.

/** A tick that comes later than this shows that the process did not run, or is overloaded. */
export const LATE_MS = 250
/** The limit of the extra time, so that a member that died during a long pause is found soon. */
const PATIENCE_MS_MAX = 5000

/** The extra time for each answer after a tick that was `lateMs` late. A tick in time halves it. */
export function patienceAfter(patienceMs: number, lateMs: number): number {
  if (lateMs > LATE_MS) return Math.min(Math.max(patienceMs, lateMs), PATIENCE_MS_MAX)
  return patienceMs < 2 * LATE_MS ? 0 : patienceMs / 2
}

/** The time from which an answer counts as owed, when this process did not run for `lateMs` since `askedAt`. */
export function forgiven(askedAt: number, lateMs: number, now: number): number {
  return lateMs > LATE_MS ? Math.min(now, askedAt + lateMs) : askedAt
}
