// `npm run model`: the model of atomic operations on groups of keys (test/model). Random seeds, directed scenarios,
// planted bugs, and traces of one seed or one scenario.
import { parseArgs } from 'node:util'
import { SCENARIOS, verdictOf } from '../test/model/all-scenarios.js'
import { type Contender, contend } from '../test/model/contention.js'
import { DESIGNS, DEVIATIONS, type Deviation, deviationsOf } from '../test/model/deviations.js'
import { KINDS, type Kind, runOf, search } from '../test/model/search.js'
import { historyText, traceTo } from '../test/model/trace.js'

const HELP = `npm run model [-- options]

Runs the model of atomic operations on groups of keys: test/model/README.md has its rules.

  --seeds N        how many seeds (default 1000)
  --start FIRST    the first seed (default 1)
  --kind KIND      usual, fixed (one config), hard (many changes of it), script or fixedScript (default usual)
  --with A+B       with these deviations from the rules, or with the designs ${Object.keys(DESIGNS).join(', ')}
  --seed N         run one seed, and print everything that happens
  --directed       run the directed scenarios, with and without the deviations that they find
  --contend        operations at once on the same keys: phases for each, and how they end
  --bugs           each deviation alone: scenarios and random seeds that find it

  npm run model -- --seeds 20000
  npm run model -- --bugs --seeds 300
  npm run model -- --with blindPassesOpen --seed 17`

function printSearch(first: number, seeds: number, name: string, kind: Kind): boolean {
  const found = search(first, seeds, deviationsOf(name), kind)
  const { violations, firstSeed, kinds, ...totals } = found
  const failed = violations === 0 ? 'none violates' : `${violations} violate, the first is ${firstSeed}`
  console.log(`${name} ${kind}: ${failed} ${JSON.stringify(kinds)} ${JSON.stringify(totals)}`)
  return violations === 0
}

function printSeed(seed: number, name: string, kind: Kind): boolean {
  const { ring, judge } = runOf(seed, deviationsOf(name), kind)
  traceTo(ring, console.log)
  let verdict: string
  try {
    verdict = judge()
  } catch (thrown) {
    verdict = (thrown as Error).message
  }
  for (const line of historyText(ring)) console.log(line)
  console.log(verdict)
  return verdict === 'linearizable'
}

function printDirected(): boolean {
  let isRight = true
  for (const scenario of SCENARIOS) {
    const clean = verdictOf(scenario)
    if (clean !== undefined) isRight = false
    console.log(`${scenario.name.padEnd(28)} ${'-'.padEnd(24)} ${clean ?? 'keeps the rules'}`)
    for (const deviation of scenario.finds) {
      const found = verdictOf(scenario, new Set([deviation]))
      if (found === undefined) isRight = false
      console.log(`${scenario.name.padEnd(28)} ${deviation.padEnd(24)} ${found ?? 'NOT FOUND'}`)
    }
  }
  return isRight
}

function printBugs(first: number, seeds: number, kind: Kind): boolean {
  for (const deviation of Object.keys(DEVIATIONS) as Deviation[]) {
    const found = search(first, seeds, new Set([deviation]), kind)
    const directed = SCENARIOS.filter((scenario) => verdictOf(scenario, new Set([deviation])) !== undefined)
    const names = directed.map(({ name }) => name).join(' ') || '-'
    const count = String(found.violations).padStart(5)
    const firstSeed = String(found.firstSeed ?? '-').padStart(6)
    console.log(`${deviation.padEnd(24)} ${count} first ${firstSeed} ${JSON.stringify(found.kinds)} ${names}`)
  }
  return true
}

const X = 1
const Y = 2
const Z = 4
const SET: Contender = { kind: 'set', keys: X }
const GET: Contender = { kind: 'get', keys: X }
const APPEND: Contender = { kind: 'append', keys: X }
const READ_GROUP: Contender = { kind: 'getAll', keys: X | Y }
const GROUP: Contender = { kind: 'appendAll', keys: X | Y }

/** Operations that begin at once, after others that have ended. */
const CONTENTIONS: readonly (readonly [text: string, at: readonly Contender[], before: readonly Contender[]])[] = [
  ['SET', [SET], []],
  ['APPEND', [APPEND], []],
  ['group write', [GROUP], []],
  ['group read', [READ_GROUP], [SET]],
  ['group read of one version', [READ_GROUP], [GROUP]],
  ['failed condition', [{ kind: 'setAllIfAbsent', keys: X | Y }], [SET]],
  ['SET just after a group', [SET], [GROUP]],
  ['SET of the same router', [{ ...SET, router: 5 }], [GROUP]],
  ['GET just after a group', [GET], [GROUP]],
  ['SET beside a group', [SET, GROUP], []],
  ['GET beside a group', [GET, GROUP], []],
  ['APPEND beside a group', [APPEND, GROUP], []],
  ['2 groups', [GROUP, GROUP], []],
  ['2 groups that overlap', [GROUP, { kind: 'appendAll', keys: Y | Z }], []],
  ['group read beside a group', [READ_GROUP, GROUP], []]
]

function printContention(): boolean {
  for (const down of [0, 1]) {
    for (const [text, at, before] of CONTENTIONS) {
      const texts = contend(at, 3, down, 1000, before).map(({ kind, phases, ok, unknown }) => {
        const shares = `ok ${(100 * ok).toFixed(1)} %, unknown ${(100 * unknown).toFixed(1)} %`
        return `${kind} ${phases.toFixed(2)} phases, ${shares}`
      })
      console.log(`${down} of 3 owners down: ${text.padEnd(26)} ${texts.join('; ')}`)
    }
  }
  return true
}

function main(): boolean {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '1000' },
      start: { type: 'string', default: '1' },
      kind: { type: 'string', default: 'usual' },
      with: { type: 'string', default: 'correct' },
      seed: { type: 'string' },
      directed: { type: 'boolean', default: false },
      contend: { type: 'boolean', default: false },
      bugs: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help || !KINDS.includes(values.kind as Kind)) {
    console.log(HELP)
    return values.help
  }
  const kind = values.kind as Kind
  if (values.seed !== undefined) return printSeed(Number(values.seed), values.with, kind)
  if (values.directed) return printDirected()
  if (values.contend) return printContention()
  if (values.bugs) return printBugs(Number(values.start), Number(values.seeds), kind)
  return printSearch(Number(values.start), Number(values.seeds), values.with, kind)
}

process.exitCode = main() ? 0 : 1
