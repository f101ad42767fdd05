// The real log: JSON lines on stderr, written before the call returns, so that a crash loses none.
import pino from 'pino'
import type { Fields, Logger } from '../lib/logger.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** What only the process itself may say: that it is about to end. */
export interface DaemonLogger extends Logger {
  fatal(fields: Fields, message: string): void
}

/** One JSON object a line: level, time (ISO), pid, the fields, msg. Errors in `error` or `err` keep code and stack. */
export function createLogger(level: LogLevel): DaemonLogger {
  const error = pino.stdSerializers.err
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error, err: error }
    },
    pino.destination({ fd: 2, sync: true })
  )
}
