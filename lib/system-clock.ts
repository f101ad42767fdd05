// The clock of the operating system.
// Invariant: no task runs before `elapsed` has grown by its delay. Node's timers count whole ms and may fire up to 2 ms
// too early, and Node replaces a delay of more than 31 bits by 1 ms.
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
