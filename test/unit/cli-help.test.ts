// The help of each command: it can be shown, and it teaches what the command does and takes.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { program } from '../../daemon/program.js'

const test = suite('command line: help')

for (const command of program().commands) {
  test(`ringd ${command.name()} --help says what it does, and what each flag and argument means`, () => {
    const help = command.helpInformation()
    assert.match(help, new RegExp(`^Usage: ringd ${command.name()} `))
    assert.ok(command.description().length > 0)
    for (const { flags, description } of command.options) {
      assert.ok(description.length > 0, `${flags} has no description`)
      assert.ok(help.includes(flags), `${flags} is not shown`)
    }
  })
}

test.run()
