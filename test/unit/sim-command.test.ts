// `npm run sim` as a process: its help, its errors, one plan from a file, and many seeds on workers.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { generatePlan } from '../sim/run/plan-generator.js'

const test = suite('sim/command')
const SCRIPT = fileURLToPath(new URL('../../scripts/sim.js', import.meta.url))

function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], { timeout: 100_000 }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err })
    })
  })
}

test('help explains the command, and malformed options are refused with a message', async () => {
  const help = await run('--help')
  assert.is(help.code, 0)
  assert.match(help.out, /--seeds N/)
  assert.match(help.out, /npm run sim -- --plan/)
  const bad = await run('--seeds', 'many')
  assert.is(bad.code, 2)
  assert.match(bad.err, /--seeds many: expected a whole number from 1/)
})

test('a plan can be printed, kept in a file, shortened and run', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ringd-sim-'))
  const printed = await run('--seed', '3', '--print')
  assert.equal(JSON.parse(printed.out), generatePlan(3))
  const file = join(folder, 'plan.json')
  await writeFile(file, JSON.stringify({ ...generatePlan(3), mode: 'safety', durationMs: 4000 }))
  const trace = join(folder, 'trace.txt')
  const [bare, traced] = [await run('--plan', file), await run('--plan', file, '--trace', '--out', trace)]
  const hash = /hash +([0-9a-f]{64})/.exec(bare.out)?.[1]
  assert.ok(hash !== undefined && traced.out.includes(hash), bare.out)
  assert.equal([bare.code, traced.code], [0, 0])
  await rm(folder, { recursive: true })
})

test('many seeds run on workers, and their results are counted', async () => {
  const { code, out } = await run('--seeds', '2', '--start', '3', '--shrink-runs', '0')
  assert.is(code, 0, out)
  assert.match(out, /seeds +2 \(3 to 4\), 0 failed/)
  assert.match(out, /times as fast as real time/)
})

test.run()
