// The seam for logs: the least of pino that the parts use. Constant message, data in fields, never values of users.

export type Fields = Readonly<Record<string, unknown>>

export interface Logger {
  debug(fields: Fields, message: string): void
  info(fields: Fields, message: string): void
  warn(fields: Fields, message: string): void
  error(fields: Fields, message: string): void
  child(fields: Fields): Logger
}

/** Says nothing. For tests and tools. */
export const silent: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silent
}
