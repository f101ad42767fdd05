// A logger that bounds the lines of each kind. A peer that sends bad bytes without a pause would otherwise fill the
// disk with one line for each of them, and hide every other line.
// Lines of level debug pass: whoever turns them on wants all of them.
// Invariant: the first lines of a kind are written as they are; each line that was left out is counted, and the count
// is written with the level and message of its kind.
import type { Clock } from './clock.js'
import type { Fields, Logger } from './logger.js'

export interface LimitedLogOptions {
  /** Lines of one message in one period. Default 50. */
  readonly linesMax?: number
  readonly periodMs?: number
}

const LINES_MAX = 50
const PERIOD_MS = 10_000
/** Messages are constants of the code, so this is never reached unless a message holds data. */
const KINDS_MAX = 1024

type Level = 'info' | 'warn' | 'error'

interface Kind {
  lines: number
  suppressed: number
}

/** Bounds the lines of `log`, and of all its children together: at most `linesMax` of one message in `periodMs`. */
export function limitedLog(log: Logger, clock: Clock, options: LimitedLogOptions = {}): Logger {
  return wrap(log, new LineLimits(log, clock, options))
}

class LineLimits {
  private readonly log: Logger
  private readonly clock: Clock
  private readonly linesMax: number
  private readonly periodMs: number
  private kinds = new Map<string, Kind>()
  private due = false

  constructor(log: Logger, clock: Clock, { linesMax = LINES_MAX, periodMs = PERIOD_MS }: LimitedLogOptions) {
    this.log = log
    this.clock = clock
    this.linesMax = linesMax
    this.periodMs = periodMs
  }

  /** Whether one more line of this kind may be written now. */
  takes(level: Level, message: string): boolean {
    const key = `${level} ${message}`
    const kind = this.kinds.get(key)
    if (kind === undefined) {
      if (this.kinds.size >= KINDS_MAX) return false
      this.kinds.set(key, { lines: 1, suppressed: 0 })
      this.reportLater()
      return true
    }
    if (kind.lines < this.linesMax) {
      kind.lines++
      return true
    }
    kind.suppressed++
    return false
  }

  private reportLater(): void {
    if (this.due) return
    this.due = true
    this.clock.after(this.periodMs, this.report)
  }

  private readonly report = (): void => {
    this.due = false
    const { kinds } = this
    this.kinds = new Map()
    for (const [key, { suppressed }] of kinds) {
      if (suppressed === 0) continue
      const [level, message] = split(key)
      this.log[level]({ suppressed, periodMs: this.periodMs }, message)
    }
  }
}

function split(key: string): [Level, string] {
  const space = key.indexOf(' ')
  return [key.slice(0, space) as Level, key.slice(space + 1)]
}

function wrap(log: Logger, limits: LineLimits): Logger {
  const line =
    (level: Level) =>
    (fields: Fields, message: string): void => {
      if (limits.takes(level, message)) log[level](fields, message)
    }
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (fields) => wrap(log.child(fields), limits)
  }
}
