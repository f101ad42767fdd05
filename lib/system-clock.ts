// The real clock.
// Invariant: no task runs before `elapsed` has moved by its delay. Node counts whole ms, so that its timers fire up to
// two ms too early, and takes a delay that needs more than 31 bits for 1 ms.
import type { Clock } from './clock.js'

const TIMEOUT_MS_MAX = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(delayMs, task) {
    const due = performance.now() + delayMs
    let timer = setTimeout(fire, Math.min(delayMs, TIMEOUT_MS_MAX))
    function fire(): void {
      const leftMs = due - performance.now()
      if (leftMs > 0) timer = setTimeout(fire, Math.min(Math.ceil(leftMs), TIMEOUT_MS_MAX))
      else task()
    }
    return { cancel: () => clearTimeout(timer) }
  },
  defer: (task) => void setImmediate(task)
}
