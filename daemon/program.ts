// The command line of `ringd`: all commands, their flags and their help. Reads nothing, and runs no command by itself.
import { Command } from 'commander'
import { printableLines } from '../lib/printable.js'
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

export function program(): Command {
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
