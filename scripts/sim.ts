// `npm run sim`: runs whole rings under random faults in virtual time. Each run is drawn from a seed, and checkers
// check every step. Seeds run in one process for each core. When a seed breaks a rule, its plan is made small and kept
// in a file, and the command that repeats it is printed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { allCheckers, type CheckersOptions } from '../test/sim/checkers/checkers.js'
import { nodesOf, type Plan } from '../test/sim/run/plan.js'
import { generatePlan } from '../test/sim/run/plan-generator.js'
import { type RunReport, runPlan } from '../test/sim/run/run.js'
import { mainOfBugs } from './sim-bugs.js'
import { SimPool } from './sim-pool.js'

const HELP = `npm run sim [-- options]

Runs whole rings under random faults: the nodes of the daemon, on a simulated network, disk and clock. Checkers check
everything that clients, disks and members of the ring see. A plan is generated from each seed. It names the nodes, the
faults and the clients' operations, with their times. Two runs of one seed are equal in every byte, and have one hash.

  --seeds N        how many seeds (default 100)
  --start FIRST    the first seed (default 1)
  --jobs N         number of processes (default: one for each core)
  --linearizable M check whether operations on a key are linearizable: updates, blind or atomic; see the header of
                   test/sim/checkers/linearizable.ts (default atomic)
  --shrink-runs N  at most N runs to make a failing plan small (default 200; 0: never)

  --seed N         run one seed, in this process
  --plan FILE      run one plan, in this process: a kept plan, or one written by hand
    --trace          print everything that happens: observations, steps, logs of the nodes
    --out FILE       write the trace to this file
    --print          print the plan as JSON, without a run

  --bugs [PART...] check that the simulator finds the planted bugs (all, or those with PART in their names);
                   see npm run sim -- --bugs --help

Failing plans are kept in .ringd/sim/. Move a plan to test/sim/regressions/, and a test will always run it.

  npm run sim -- --seeds 300
  npm run sim -- --seed 42 --trace --out trace.txt
  npm run sim -- --plan .ringd/sim/seed-42.json`

const KEPT = '.ringd/sim'
const SEEDS_DEFAULT = 100
const SHRINK_RUNS_DEFAULT = 200
const SHRINK_MS_MAX = 900_000

interface Options {
  readonly seeds: number
  readonly start: number
  readonly jobs: number
  readonly shrinkRuns: number
  readonly linearizable: Linearizable
}

type Linearizable = CheckersOptions['linearizable']

interface Totals {
  seeds: number
  failed: number
  unchecked: number
  operations: number
  acknowledged: number
  views: number
  virtualMs: number
  cpuMs: number
  readonly failures: Map<string, number>
  readonly faults: Map<string, number>
}

function whole(text: string | undefined, usual: number, least: number, name: string): number {
  const value = text === undefined ? usual : Number(text)
  if (!Number.isInteger(value) || value < least)
    throw new Error(`--${name} ${text}: expected a whole number from ${least}`)
  return value
}

function modeOf(text: string | undefined): Linearizable {
  if (text === undefined) return 'atomic'
  if (text === 'updates' || text === 'blind' || text === 'atomic') return text
  throw new Error(`--linearizable ${text}: expected updates, blind or atomic`)
}

/** Runs one plan in this process and prints its results. Resolves with the exit code. */
async function runOne(
  plan: Plan,
  { trace, out, linearizable }: { trace: boolean; out: string | undefined; linearizable: Linearizable }
): Promise<number> {
  const lines: string[] = []
  const read = out === undefined ? (line: string) => console.log(line) : (line: string) => void lines.push(line)
  const started = performance.now()
  const report = await runPlan(plan, { checkers: () => allCheckers({ linearizable }), ...(trace ? { read } : {}) })
  const seconds = (performance.now() - started) / 1000
  if (out !== undefined) writeFileSync(out, `${lines.join('\n')}\n`)
  const { violations, hash, operations, acknowledged, views, faults, virtualMs } = report
  console.log(`plan        ${describe(plan)}`)
  console.log(`operations  ${operations} sent, ${acknowledged} acknowledged; failed: ${list(report.failures)}`)
  console.log(`views       ${views} changed under load`)
  console.log(`faults      ${list(faults)}`)
  console.log(`time        ${seconds.toFixed(1)} s here, ${(virtualMs / 1000).toFixed(1)} s virtual`)
  if (report.unchecked > 0) console.log(`unchecked   ${report.unchecked} searches for an order gave up`)
  console.log(`hash        ${hash}`)
  for (const violation of violations) console.log(`BROKEN      ${tell(violation)}`)
  return violations.length === 0 ? 0 : 1
}

async function runMany(options: Options): Promise<number> {
  const { seeds, start, jobs, linearizable } = options
  const pool = new SimPool(jobs)
  const totals: Totals = {
    ...{ seeds: 0, failed: 0, unchecked: 0, operations: 0, acknowledged: 0, views: 0, virtualMs: 0, cpuMs: 0 },
    failures: new Map(),
    faults: new Map()
  }
  const started = performance.now()
  const one = async (seed: number): Promise<void> => {
    const result = await pool.run({ type: 'run', seed, linearizable })
    totals.seeds += 1
    if (result instanceof Error || result.type !== 'ran') return failed(totals, seed, [`BROKEN ${result}`])
    add(totals, result.report, result.cpuMs)
    if (result.report.violations.length > 0) await smallest(pool, totals, result.report, options)
    if (process.stderr.isTTY) process.stderr.write(`\r${totals.seeds} of ${seeds} seeds, ${totals.failed} failed `)
  }
  try {
    await Promise.all(Array.from({ length: seeds }, (_, index) => one(start + index)))
  } finally {
    pool.end()
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  summary(totals, options, (performance.now() - started) / 1000)
  return totals.failed === 0 ? 0 : 1
}

/** Shrinks the plan of a failed seed to the smallest one that breaks the same rule, keeps it, and prints both. */
async function smallest(pool: SimPool, totals: Totals, report: RunReport, options: Options): Promise<void> {
  const { shrinkRuns: runsMax, linearizable } = options
  const { seed, violations } = report
  const plan = generatePlan(seed)
  const lines = [`seed ${seed}: npm run sim -- --seed ${seed}`, ...violations.map((one) => `  BROKEN ${tell(one)}`)]
  const job = { type: 'shrink', plan, rule: violations[0]!.rule, runsMax, linearizable } as const
  const shrunk = runsMax === 0 ? undefined : await pool.run(job, SHRINK_MS_MAX)
  if (shrunk instanceof Error) lines.push(`  not made smaller: ${shrunk.message}`)
  else if (shrunk?.type === 'shrunk') {
    const file = join(KEPT, `seed-${seed}.json`)
    mkdirSync(KEPT, { recursive: true })
    writeFileSync(file, `${JSON.stringify(shrunk.plan, undefined, 1)}\n`)
    lines.push(`  smallest: ${describe(shrunk.plan)}`, `  npm run sim -- --plan ${relative('.', file)} --trace`)
  }
  failed(totals, seed, lines)
}

function failed(totals: Totals, seed: number, lines: readonly string[]): void {
  totals.failed += 1
  console.log(lines.length > 1 ? lines.join('\n') : `seed ${seed}: ${lines.join()}`)
}

function add(totals: Totals, report: RunReport, cpuMs: number): void {
  totals.operations += report.operations
  totals.unchecked += report.unchecked
  totals.acknowledged += report.acknowledged
  totals.views += report.views
  totals.virtualMs += report.virtualMs
  totals.cpuMs += cpuMs
  for (const [kind, count] of Object.entries(report.faults))
    totals.faults.set(kind, (totals.faults.get(kind) ?? 0) + count)
  for (const [code, count] of Object.entries(report.failures)) {
    totals.failures.set(code, (totals.failures.get(code) ?? 0) + count)
  }
}

function summary(totals: Totals, { start, jobs }: Options, seconds: number): void {
  const { seeds, operations, acknowledged, views, virtualMs, cpuMs } = totals
  const faults = Object.fromEntries([...totals.faults].sort((a, b) => b[1] - a[1]))
  const sum = Object.values(faults).reduce((total, count) => total + count, 0)
  const virtual = virtualMs / 1000
  console.log(`seeds       ${seeds} (${start} to ${start + seeds - 1}), ${totals.failed} failed`)
  console.log(`operations  ${operations} checked, ${acknowledged} acknowledged`)
  if (totals.unchecked > 0) console.log(`unchecked   ${totals.unchecked} searches for an order gave up`)
  console.log(`            failed: ${list(Object.fromEntries(totals.failures))}`)
  console.log(`views       ${views} changed under load`)
  console.log(`faults      ${sum}: ${list(faults)}`)
  console.log(`time        ${seconds.toFixed(1)} s here in ${jobs} processes, ${Math.round(virtual)} s virtual`)
  console.log(
    `            ${(virtual / seconds).toFixed(0)} times as fast as real time, ` +
      `${(cpuMs / seeds / 1000).toFixed(2)} s of CPU a seed`
  )
}

function describe({ seed, mode, durationMs, steps, operations, ...plan }: Plan): string {
  const nodes = nodesOf({ seed, mode, durationMs, steps, operations, ...plan }).length
  const seconds = (durationMs / 1000).toFixed(1)
  const faults = steps.filter(({ kind }) => kind !== 'start').length
  return `seed ${seed}, ${mode}, ${nodes} nodes, ${faults} faults, ${operations.length} operations in ${seconds} s`
}

function tell({ rule, at, text }: { readonly rule: string; readonly at: number; readonly text: string }): string {
  return `${rule} at ${Math.round(at)} ms: ${text}`
}

function list(counts: Readonly<Record<string, number>>): string {
  const all = Object.entries(counts).map(([name, count]) => `${name} ${count}`)
  return all.length === 0 ? 'none' : all.join(', ')
}

async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === '--bugs') return mainOfBugs(argv.slice(1))
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ...{ seeds: text, start: text, jobs: text, 'shrink-runs': text, seed: text, plan: text, out: text },
      linearizable: text,
      ...{ trace: flag, print: flag, help: flag }
    }
  })
  const linearizable = modeOf(values.linearizable)
  if (values.help) {
    console.log(HELP)
    return 0
  }
  if (values.seed !== undefined || values.plan !== undefined) {
    const plan =
      values.plan === undefined
        ? generatePlan(whole(values.seed, 1, 0, 'seed'))
        : (JSON.parse(readFileSync(values.plan, 'utf8')) as Plan)
    if (!values.print) return runOne(plan, { trace: values.trace ?? false, out: values.out, linearizable })
    console.log(JSON.stringify(plan, undefined, 1))
    return 0
  }
  return runMany({
    seeds: whole(values.seeds, SEEDS_DEFAULT, 1, 'seeds'),
    start: whole(values.start, 1, 0, 'start'),
    jobs: whole(values.jobs, availableParallelism(), 1, 'jobs'),
    shrinkRuns: whole(values['shrink-runs'], SHRINK_RUNS_DEFAULT, 0, 'shrink-runs'),
    linearizable
  })
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (thrown: Error) => {
    console.error(`${thrown.message}\nSee npm run sim -- --help.`)
    process.exit(2)
  }
)
