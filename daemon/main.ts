#!/usr/bin/env node
// `ringd`: reads the command line and runs one command. Owns the exit code and the form of errors on stderr.
import { CommanderError } from 'commander'
import { ERRORS, toRingdError } from '../lib/errors.js'
import { printable } from '../lib/printable.js'
import { program } from './program.js'

/** libp2p needs `Promise.withResolvers`. */
const NODE_VERSION_MIN = [22, 12] as const

/** An error may quote what a peer or a file says. */
function complain(text: string): void {
  for (const line of text.split('\n')) process.stderr.write(`ringd: ${printable(line)}\n`)
}

/** Files and directories that this process makes are for its own user alone. */
const UMASK = 0o077

/** Resolves with the exit code: every failure has its row in the table of errors. */
async function run(argv: readonly string[]): Promise<number> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [majorMin, minorMin] = NODE_VERSION_MIN
  if (major < majorMin || (major === majorMin && minor < minorMin)) {
    complain(`Node ${majorMin}.${minorMin} or newer is needed, this is ${process.versions.node}; install a newer one`)
    return ERRORS.BAD_CONFIG.exit
  }
  try {
    await program().parseAsync(argv)
    return 0
  } catch (thrown) {
    // Commander has printed the message. Help and --version also end here, with exit code 0.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : ERRORS.BAD_REQUEST.exit
    const error = toRingdError(thrown)
    complain(error.message.replace(/$/gm, ` (${error.code})`))
    return error.form.exit
  }
}

// The reader of stdout may stop early: `ringd get big | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : ERRORS.INTERNAL.exit)
})
process.umask(UMASK)
process.exitCode = await run(process.argv)
