// `npm run sim -- --bugs`: checks that the simulator finds the planted bugs of test/sim/bugs/table.ts. For each bug it
// runs the scenarios that name the bug, then random seeds, and prints which of them found it.
import { Command, InvalidArgumentError } from 'commander'
import type { Bug } from '../test/sim/bugs/bug.js'
import { type Hunted, hunt } from '../test/sim/bugs/hunt.js'
import { BUGS } from '../test/sim/bugs/table.js'

export interface BugsOptions {
  /** Only bugs whose names contain all of these parts. Empty: all bugs. */
  readonly only: readonly string[]
  readonly seeds: number
  readonly firstSeed: number
  readonly all: boolean
  readonly json: boolean
}

const AT_ONCE = 2

/** Tests every bug, two at a time, and prints a row when one is done. False when a bug or a scenario of it failed. */
export async function huntBugs(options: BugsOptions, print: (line: string) => void): Promise<boolean> {
  const waiting: Bug[] = BUGS.filter(({ name }) => options.only.every((part) => name.includes(part)))
  const hunted: Hunted[] = []
  if (!options.json) for (const line of HEAD) print(line)
  const work = async () => {
    for (let bug = waiting.shift(); bug !== undefined; bug = waiting.shift()) {
      const result = await hunt(bug, { ...options, countAll: options.all })
      hunted.push(result)
      if (!options.json) print(row(result, options))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  if (options.json) print(JSON.stringify(hunted, undefined, 2))
  const lost = hunted.filter(({ foundBy, seedsFound }) => foundBy.length + seedsFound.length === 0)
  const missed = hunted.filter(({ missedBy }) => missedBy.length > 0)
  if (!options.json) {
    print(`\n${hunted.length - lost.length} of ${hunted.length} bugs found`)
    for (const { bug, missedBy } of missed) print(`${bug}: not found by ${missedBy.join(', ')}`)
  }
  return lost.length + missed.length === 0 && hunted.length > 0
}

const HEAD = ['| bug | breaks | scenarios | seeds |', '|---|---|---|---|']

function row({ bug, breaks, foundBy, missedBy, seedsTried, seedsFound }: Hunted, options: BugsOptions): string {
  const scenarios = [...foundBy, ...missedBy.map((name) => `NOT ${name}`)].join(', ') || '-'
  return `| ${bug} | ${breaks} | ${scenarios} | ${seedsCell(seedsTried, seedsFound, options)} |`
}

function seedsCell(tried: number, found: readonly number[], { all }: BugsOptions): string {
  if (tried === 0) return 'not tried'
  if (all) return `${found.length} of ${tried}`
  return found.length === 0 ? `none of ${tried}` : `after ${tried} (seed ${found[0]})`
}

function natural(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}

/**
 * `argv`: the arguments after `npm run sim -- --bugs`. Resolves with the exit code: 1 when nothing found a bug, or
 * when a scenario that names a bug did not find it.
 */
export async function mainOfBugs(argv: readonly string[]): Promise<number> {
  const command = new Command('npm run sim -- --bugs')
    .description('run the simulator with each planted bug, and print the scenarios and seeds that find it')
    .argument('[part...]', 'only bugs whose names contain all of these parts')
    .option('--seeds <count>', 'random seeds to try for each bug; 0: scenarios only', natural, 10)
    .option('--start <seed>', 'the first random seed', natural, 1)
    .option('--all', 'run all seeds and count those that find the bug, instead of stopping at the first', false)
    .option('--json', 'print JSON', false)
    .parse(argv, { from: 'user' })
  const { start, ...options } = command.opts<{ seeds: number; start: number; all: boolean; json: boolean }>()
  const isFine = await huntBugs({ ...options, firstSeed: start, only: command.args }, (line) => console.log(line))
  return isFine ? 0 : 1
}
