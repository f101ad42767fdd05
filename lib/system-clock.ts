// The real clock. Timers do not keep the process alive: what must stay alive holds a socket or a file.
import type { Clock } from './clock.js'

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  defer: (task) => void setImmediate(task)
}
