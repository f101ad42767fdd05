#!/usr/bin/env node
// `ringd`: reads the command line and runs one command. Owns the exit code and the form of errors on stderr.
import { Command, CommanderError } from 'commander'
import { ERRORS, toRingdError } from '../lib/errors.js'
import { printable, printableLines } from '../lib/printable.js'
import { addDaemonCommand } from './commands/daemon.js'
import { addDataCommands } from './commands/data.js'
import { addDepartCommands } from './commands/depart.js'
import { addDoctorCommand } from './commands/doctor.js'
import { addLimitCommand } from './commands/limit.js'
import { refuseRepeatedFlags } from './commands/once.js'
import { addPlanCommand } from './commands/plan.js'
import { addRepairCommand } from './commands/repair.js'
import { addReportCommands } from './commands/reports.js'
import { addRescueCommand } from './commands/rescue.js'
import { addSecretCommand } from './commands/secret.js'
import { addTransfersCommand } from './commands/transfers.js'
import { addVerifyCommand } from './commands/verify.js'
import { helpText } from './help.js'
import { VERSION } from './version.js'

/** libp2p needs `Promise.withResolvers`. */
const NODE_VERSION_MIN = [22, 12] as const

function program(): Command {
  const ringd = new Command('ringd')
    .description('A peer-to-peer, replicated key-value store. All peers run the same program; each serves any key.')
    .version(VERSION)
    // `ringd get KEY --version` asks for the version of a value.
    .enablePositionalOptions()
    .helpCommand(false)
    .showHelpAfterError('(ringd --help shows how it is used)')
    .addHelpText('after', helpText)
    .configureOutput({ outputError: (text, write) => write(printableLines(text).replace(/^error:/, 'ringd:')) })
    .exitOverride()
  addDaemonCommand(ringd)
  addDataCommands(ringd)
  addReportCommands(ringd)
  addDepartCommands(ringd)
  addPlanCommand(ringd)
  addTransfersCommand(ringd)
  addLimitCommand(ringd)
  addRepairCommand(ringd)
  addVerifyCommand(ringd)
  addSecretCommand(ringd)
  addDoctorCommand(ringd)
  addRescueCommand(ringd)
  refuseRepeatedFlags(ringd)
  return ringd
}

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
