// The table of planted bugs compared with the compiled code. When code moves, its bug would otherwise have no effect
// and nobody would notice.
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { patched } from '../sim/bugs/bug.js'
import { BUGS } from '../sim/bugs/table.js'
import { SCENARIOS } from '../sim/scenarios/all.js'

const test = suite('sim bugs table')
const DIST = new URL('../../', import.meta.url)

test('every edit finds exactly one place in the compiled code, and changes it', () => {
  const problems: string[] = []
  for (const bug of BUGS) {
    for (const file of new Set(bug.edits.map((edit) => edit.file))) {
      const text = readFileSync(new URL(file, DIST), 'utf8')
      try {
        if (patched(bug, file, text) === text) problems.push(`${bug.name} changes nothing in ${file}`)
      } catch (thrown) {
        problems.push((thrown as Error).message)
      }
    }
  }
  assert.equal(problems, [])
})

test('an edit whose place is missing or found twice is refused', () => {
  const [bug] = BUGS
  const { file, find } = bug!.edits[0]!
  assert.throws(() => patched(bug!, file, ''), /0 times/)
  assert.throws(() => patched(bug!, file, find + find), /2 times/)
})

test('bug names are unique, and every scenario of the table exists', () => {
  const bugs = BUGS.map(({ name }) => name)
  const scenarios = SCENARIOS.map(({ name }) => name)
  assert.is(new Set(bugs).size, bugs.length)
  assert.is(new Set(scenarios).size, scenarios.length)
  for (const bug of BUGS) for (const name of bug.scenarios) assert.ok(scenarios.includes(name), `${bug.name}: ${name}`)
})

test.run()
