// The test runner on planted test files: which pass, fail or are refused, and its last line.
// mostly waits
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { judge, limitOf, suitesNotRun } from '../../scripts/test-file.js'

const runner = suite('test runner')
const RUNNER = fileURLToPath(new URL('../../scripts/test.js', import.meta.url))
const HEAD = `import { suite } from '${import.meta.resolve('uvu')}'\nconst one = suite('one')\n`
let root = ''

runner.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'ringd-runner-'))
})
runner.after.each(() => rmSync(root, { recursive: true, force: true }))

/** Plants a test file as if it had been compiled. */
function plant(name: string, body: string, comment = ''): void {
  for (const path of [`test/unit/${name}.test.ts`, `dist/test/unit/${name}.test.js`]) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), `${comment}\n${HEAD}${body}`)
  }
}

function run(...patterns: string[]) {
  const result = spawnSync(process.execPath, [RUNNER, ...patterns], { cwd: root, encoding: 'utf8', timeout: 60_000 })
  const lines = result.stdout.trimEnd().split('\n')
  return { status: result.status, last: lines.at(-1), text: result.stdout }
}

runner('adds up passed tests and ends with the count', () => {
  plant('a', "one('x', () => {})\none('y', () => {})\none.run()\n")
  plant('b', "one('x', () => {})\none.skip('y', () => {})\none.run()\n")
  const { status, last, text } = run()
  assert.is(last, '3 passed, 0 failed, 1 skipped')
  assert.is(status, 0)
  assert.match(text, /^ok {4}test\/unit\/a\.test\.ts {2}2 passed/m)
})

runner('shows all output of a file with a failed test', () => {
  plant('a', "one('x', () => { console.log('hint'); throw new Error('boom') })\none('y', () => {})\none.run()\n")
  const { status, last, text } = run()
  assert.is(last, '1 passed, 1 failed')
  assert.is(status, 1)
  assert.match(text, /\| .*hint/)
  assert.match(text, /\| .*boom/)
})

runner('runs only the files that match a pattern', () => {
  plant('a', "one('x', () => {})\none.run()\n")
  plant('b', "one('x', () => { throw new Error('boom') })\none.run()\n")
  assert.is(run('unit/a').last, '1 passed, 0 failed')
  assert.is(run('nothing').status, 1)
})

runner('fails a file that ran no test', () => {
  plant('a', 'one.run()\n')
  const { status, last, text } = run()
  assert.is(last, '0 passed, 1 failed')
  assert.is(status, 1)
  assert.match(text, /it ran no test/)
})

runner('fails a file with a suite that is not run, also beside one that is', () => {
  plant('a', "one('x', () => {})\n")
  plant('b', "one('x', () => {})\nconst two = suite('two')\ntwo('y', () => {})\none.run()\n")
  const { last, text } = run()
  assert.is(last, '0 passed, 2 failed')
  assert.is(text.match(/1 suite\(s\) without \.run\(\)/g)?.length, 2)
})

runner('fails a file whose setup throws, which uvu counts as a success', () => {
  plant('a', "one.before(() => { throw new Error('setup') })\none('x', () => {})\none.run()\n")
  const { status, last } = run()
  assert.is(last, '0 passed, 1 failed')
  assert.is(status, 1)
})

runner('fails a file that crashes after its tests', () => {
  plant('a', "one('x', () => {})\none.run()\nsetTimeout(() => { throw new Error('late') }, 200)\n")
  const { last, text } = run()
  assert.is(last, '1 passed, 1 failed')
  assert.match(text, /late/)
})

runner('kills a file that does not end, with the processes that it has started', () => {
  const child = "spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })"
  const body = `import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
one('x', () => { writeFileSync('pid', String(${child}.pid)) })
one.run()
setInterval(() => {}, 1000)
`
  // Long enough for a busy machine to start both processes.
  plant('a', body, '// time limit: 8 s')
  const { status, last, text } = run()
  assert.is(last, '0 passed, 1 failed'.replace('0', '1'))
  assert.is(status, 1)
  assert.match(text, /killed after 8 s: its tests ended, but something stayed open/)
  assert.ok(hasEnded(Number(readFileSync(join(root, 'pid'), 'utf8'))))
})

/** Whether the process has ended, or waits as a zombie for its parent. */
function hasEnded(pid: number): boolean {
  try {
    return /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}

runner('warns when a source is newer than its compiled file', () => {
  plant('a', "one('x', () => {})\none.run()\n")
  assert.not.match(run().text, /warning/)
  const soon = Date.now() / 1000 + 60
  utimesSync(join(root, 'test/unit/a.test.ts'), soon, soon)
  assert.match(run().text, /^warning: dist\/ is older than test\/unit\/a\.test\.ts: run npm run build/m)
})

runner('skips a compiled file whose source was deleted, and says so', () => {
  plant('a', "one('x', () => {})\none.run()\n")
  plant('b', "one('x', () => {})\none.run()\n")
  rmSync(join(root, 'test/unit/b.test.ts'))
  const { last, text } = run()
  assert.is(last, '1 passed, 0 failed')
  assert.match(text, /b\.test\.ts has no source any more/)
})

runner('decides by totals, whatever the exit code', () => {
  const totals = '\n  Total:     3\n  Passed:    2\n  Skipped:   0\n'
  assert.equal(judge(totals, ''), { passed: 2, failed: 1, skipped: 0, problems: [] })
  assert.equal(judge(totals, 'it exited with 1').problems, [])
  assert.equal(judge(totals, 'it exited with 7').problems, ['it exited with 7'])
  assert.is(judge('', '').failed, 1)
})

runner('reads time limits and suites from the source', () => {
  assert.is(limitOf('// what it tests\n// time limit: 300 s\n'), 300_000)
  assert.is(limitOf(''), 120_000)
  assert.is(suitesNotRun('const a = suite<State>("x", {})\nconst b = suite("y")\na.run()'), 1)
  assert.is(suitesNotRun('const a = suite("x")\na.run()'), 0)
  assert.is(suitesNotRun('const a = suite("x") // b.run()\nconst text = "b.run()"'), 1)
})

runner.run()
