// Reads the password of the RESP door from its file. Refuses a file that other users may read, and one that holds
// anything but one line. Throws BAD_CONFIG. No message contains the password.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { RingdError } from '../lib/errors.js'

/** A client that has not logged in may send arguments of 16 KiB, so this is far below what AUTH takes. */
const PASSWORD_BYTES_MAX = 1024
/** Read, write or execute, for the group or for others. */
const OTHERS_MASK = 0o077

/** The first line of the file, without its line end. */
export function readPasswordFile(path: string): string {
  let text: string
  try {
    const file = openSync(path, 'r')
    try {
      checkFile(file)
      text = readFileSync(file, 'utf8')
    } finally {
      closeSync(file)
    }
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown)
    throw new RingdError('BAD_CONFIG', `resp-password-file: ${path}: ${reason}`, { cause: thrown })
  }
  const password = text.replace(/\r?\n$/, '')
  if (password !== '' && !/[\r\n]/.test(password)) return password
  throw new RingdError('BAD_CONFIG', `resp-password-file: ${path}: expected one line, the password`)
}

/** The open file is checked, and not its path: between two looks at a path the file may be another. */
function checkFile(file: number): void {
  const { mode, size } = fstatSync(file)
  if ((mode & OTHERS_MASK) !== 0) {
    const shown = (mode & 0o777).toString(8).padStart(4, '0')
    throw new RingdError('BAD_CONFIG', `other users can read it (mode ${shown}); run chmod 600 on it`)
  }
  if (size > PASSWORD_BYTES_MAX) throw new RingdError('BAD_CONFIG', `it is longer than ${PASSWORD_BYTES_MAX} bytes`)
}
