// Whole runs of the simulator: repeatable to the last byte, different for each seed, checked, and shrunk when they
// fail.
// time limit: 300 s
// virtual time
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { allCheckers } from '../sim/checkers/checkers.js'
import type { Checker, Observation, Violation } from '../sim/run/observation.js'
import { nodesOf, type Plan } from '../sim/run/plan.js'
import { generatePlan } from '../sim/run/plan-generator.js'
import { type RunReport, runPlan } from '../sim/run/run.js'
import { shrink } from '../sim/run/shrink.js'

const test = suite('sim/run')
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..')
const KEPT = join(ROOT, 'test/sim/regressions')
const checkers = () => allCheckers({ linearizable: 'atomic' })
/** Each plan runs once. Half of them are one-sided, half of them heal at the end. */
const SEEDS = [1, 2]

function sound({ seed, violations }: RunReport): void {
  const told = violations.map(({ rule, at, text }) => `${rule} at ${Math.round(at)} ms: ${text}`)
  assert.equal(told, [], `npm run sim -- --seed ${seed}`)
}

/** A plan shortened, so that its run takes a moment. */
function brief(seed: number, durationMs: number): Plan {
  const plan = generatePlan(seed)
  const isWithin = ({ at }: { readonly at: number }) => at < durationMs
  const [steps, operations] = [plan.steps.filter(isWithin), plan.operations.filter(isWithin)]
  return { ...plan, mode: 'safety', durationMs, steps, operations }
}

/** A checker for a promise that the ring does not make: that `key` is never put. */
class NeverPut implements Checker {
  readonly violations: Violation[] = []
  readonly #key: string

  constructor(key: string) {
    this.#key = key
  }

  observe(seen: Observation): void {
    if (seen.type === 'stored' && seen.key === this.#key) this.violations.push({ at: seen.at, rule: 'never', text: '' })
  }

  finish(): void {}
}

test('a plan is complete, the same for the same seed, and survives a file', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const plan = generatePlan(seed)
    assert.equal(JSON.parse(JSON.stringify(plan)), plan)
    assert.ok(plan.operations.length >= 1000 && plan.durationMs >= 60_000, `seed ${seed}`)
    assert.ok(plan.steps.filter(({ kind }) => kind !== 'start').length >= 20, `seed ${seed}`)
    assert.ok(nodesOf(plan).length >= 5 && nodesOf(plan).length <= 9, `seed ${seed}`)
    assert.is(plan.steps[0]!.kind, 'start')
  }
  assert.equal(generatePlan(7), generatePlan(7))
  assert.is.not(JSON.stringify(generatePlan(7)), JSON.stringify(generatePlan(8)))
})

test('the same plan gives the same run, and another seed another one', async () => {
  const plan = brief(5, 12_000)
  const runs = [await runPlan(plan), await runPlan(plan), await runPlan({ ...plan, seed: 6 })]
  assert.is(runs[0]!.hash, runs[1]!.hash)
  assert.equal(runs[0], runs[1])
  assert.is.not(runs[0]!.hash, runs[2]!.hash)
  assert.ok(runs[0]!.acknowledged > 50)
})

test('checkers and readers change nothing in a run', async () => {
  const plan = brief(8, 8000)
  let lines = 0
  const read = () => {
    lines += 1
  }
  const [bare, watched] = [await runPlan(plan), await runPlan(plan, { checkers, read })]
  assert.is(bare.hash, watched.hash)
  assert.ok(lines > 100)
})

test('a run stops at the first violation', async () => {
  const plan = brief(5, 12_000)
  const { key } = plan.operations.find(({ kind }) => kind === 'put')!
  const report = await runPlan(plan, { checkers: () => [new NeverPut(key)] })
  assert.is(report.violations.length, 1)
  assert.ok(report.virtualMs < 12_000)
})

test('a failing plan is shrunk, and the smaller plan still fails', async () => {
  const plan = brief(9, 6000)
  const { key } = plan.operations.find(({ kind }) => kind === 'put')!
  const fails = async (candidate: Plan) =>
    (await runPlan(candidate, { checkers: () => [new NeverPut(key)] })).violations.length > 0
  const small = await shrink(plan, fails, { runsMax: 80 })
  assert.ok(await fails(small))
  assert.is(small.operations.length, 1)
  assert.equal(
    small.steps.map(({ kind }) => kind),
    ['start']
  )
  assert.equal(nodesOf(small), ['n0'])
})

for (const seed of SEEDS) {
  test(`seed ${seed} keeps every promise`, async () => {
    const report = await runPlan(generatePlan(seed), { checkers })
    sound(report)
    assert.ok(report.operations >= 900 && report.acknowledged > 500 && report.views >= 1)
  })
}

for (const file of readdirSync(KEPT).filter((name) => name.endsWith('.json'))) {
  test(`a plan that once failed passes: ${file}`, async () => {
    const plan = JSON.parse(readFileSync(join(KEPT, file), 'utf8')) as Plan
    sound(await runPlan(plan, { checkers }))
  })
}

test.run()
