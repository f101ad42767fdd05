// The page "When things go wrong" of daemon/README.md: every command that it tells operators to type exists, with every
// flag that it names, and every condition is on the page.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CONDITION_NAMES } from '../../lib/conditions.js'
import { ringd } from '../e2e/command.js'
import { commandsOf, troublePage } from '../e2e/trouble-page.js'

const test = suite('when things go wrong')

const page = troublePage()
const commands = commandsOf(page)

test('the page tells commands to type', () => {
  assert.ok(commands.length >= 10, `${commands.length} commands`)
})

test('every command on the page exists, with its flags', async () => {
  const flags = new Map<string, Set<string>>()
  for (const command of commands) {
    const words = command.split(/\s+/)
    // `ringd secret new`: the second word is a command, too.
    const name = words.slice(0, words[0] === 'secret' ? 2 : 1).join(' ')
    const known = flags.get(name) ?? new Set()
    for (const word of words) if (word.startsWith('--')) known.add(word.split('=')[0]!)
    flags.set(name, known)
  }
  for (const [name, named] of flags) {
    const { code, stdout, stderr } = await ringd([...name.split(' '), '--help'])
    assert.is(code, 0, `ringd ${name}: ${stderr}`)
    assert.match(stdout, `Usage: ringd ${name} `, `ringd ${name} is no command`)
    for (const flag of named) assert.match(stdout, new RegExp(`${flag}\\b`), `ringd ${name} ${flag}`)
  }
})

test('every condition is on the page', () => {
  for (const name of CONDITION_NAMES) assert.match(page, new RegExp(`^\\| \`${name}\` \\|`, 'm'), name)
})

test.run()
