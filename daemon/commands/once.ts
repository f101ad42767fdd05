// Refuses a flag that is given twice. Commander takes the last value and says nothing, so the first one would be lost.
import { type Command, InvalidArgumentError } from 'commander'
import { gather } from './peer-options.js'

/** Every flag of the command and of those below it that takes one value may be given once. */
export function refuseRepeatedFlags(program: Command): void {
  for (const option of program.options) {
    if (!option.required || option.parseArg === gather) continue
    const parse = option.parseArg
    let isGiven = false
    option.argParser((value, former: unknown) => {
      if (isGiven) throw new InvalidArgumentError(`${option.long} is given twice; give it once.`)
      isGiven = true
      return parse === undefined ? value : parse(value, former)
    })
  }
  for (const command of program.commands) refuseRepeatedFlags(command)
}
