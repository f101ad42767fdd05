// The real log: JSON lines on stderr. A line is written before the call returns, so that a crash loses no line.
import pino from 'pino'
import { RingdError } from '../lib/errors.js'
import type { Fields, Logger } from '../lib/logger.js'
import { printableLines } from '../lib/printable.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Adds `fatal`, for the process itself: it is about to end. */
export interface DaemonLogger extends Logger {
  fatal(fields: Fields, message: string): void
}

/** Foreseen errors are logged as code, message and cause. Only defects need a stack. */
function error(thrown: Error): unknown {
  if (!(thrown instanceof RingdError) || thrown.code === 'INTERNAL') return pino.stdSerializers.err(thrown)
  const { code, message, cause } = thrown
  return { code, message, ...(cause instanceof Error && { cause: cause.message.split('\n', 1)[0] }) }
}

/**
 * JSON escapes the control characters below 0x20 only. Logs are read on terminals, and quote peers and clients; so the
 * others become escapes of JSON as well.
 */
function safeStderr(): pino.DestinationStream {
  const stderr = pino.destination({ fd: 2, sync: true })
  return { write: (line: string) => void stderr.write(printableLines(line)) }
}

/** Each line is one JSON object: level, time (ISO), pid, the fields, msg. An error is in `error` or `err`. */
export function createLogger(level: LogLevel): DaemonLogger {
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error, err: error }
    },
    safeStderr()
  )
}
