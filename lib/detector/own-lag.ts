// How this process's own slowness is kept from becoming an accusation of others. Pure arithmetic.
// Time in which it did not run counts against nobody; and for some seconds after, everybody gets as much more.
// Source: Dadgar et al., "Lifeguard: local health awareness for more accurate failure detection", 2017.

/** A tick that comes later than this says that the process was not running, or has too much to do. */
export const LATE_MS = 250
/** However long it slept: who really died meanwhile must be found, too. */
const PATIENCE_MS_MAX = 5000

/** Extra time for every answer, after a tick that was `lateMs` late; on-time ticks halve it. */
export function patienceAfter(patienceMs: number, lateMs: number): number {
  if (lateMs > LATE_MS) return Math.min(Math.max(patienceMs, lateMs), PATIENCE_MS_MAX)
  return patienceMs < 2 * LATE_MS ? 0 : patienceMs / 2
}

/** The moment from which an answer counts as owed, when `lateMs` of the time since were this process's own. */
export function forgiven(askedAt: number, lateMs: number, now: number): number {
  return lateMs > LATE_MS ? Math.min(now, askedAt + lateMs) : askedAt
}
