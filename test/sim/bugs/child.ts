// One process of the hunt: runs one scenario, or seeds one after the other, and says in a line of JSON for each what it
// found. Seeds share a process, because the first runs of one are several times as slow as those that follow.
//   child.js scenario NAME | child.js seeds FIRST COUNT [all]
import { allCheckers } from '../checkers/checkers.js'
import { runSeed } from '../run/run.js'
import { SCENARIOS } from '../scenarios/all.js'
import { BrokenPromise, NotReached, play } from '../scenarios/scenario-cluster.js'
import { isPlanted, planted } from './plant.js'

/** What a process found. */
export interface Finding {
  /** A scenario that did not get to its moment has shown nothing. */
  readonly outcome: 'sound' | 'found' | 'not reached'
  readonly message: string
}

async function scenario(name: string): Promise<Finding> {
  const one = SCENARIOS.find((each) => each.name === name)
  if (one === undefined) throw new Error(`there is no scenario called ${name}`)
  try {
    await play(one)
    return { outcome: 'sound', message: '' }
  } catch (thrown) {
    if (thrown instanceof BrokenPromise) return { outcome: 'found', message: thrown.message }
    if (thrown instanceof NotReached) return { outcome: 'not reached', message: thrown.message }
    throw thrown
  }
}

async function seed(number: number): Promise<Finding> {
  const { violations } = await runSeed(number, { checkers: allCheckers })
  const [first] = violations
  if (first === undefined) return { outcome: 'sound', message: '' }
  return { outcome: 'found', message: `${first.rule} at ${Math.round(first.at)} ms: ${first.text}` }
}

function tell(finding: Finding): void {
  if (planted !== undefined && !isPlanted())
    throw new Error(`${planted.name}: a module that it changes was never loaded`)
  process.stdout.write(`${JSON.stringify(finding)}\n`)
}

const [kind, what = '', count = '1', mode = ''] = process.argv.slice(2)
if (kind === 'scenario') tell(await scenario(what))
else {
  for (let number = Number(what); number < Number(what) + Number(count); number++) {
    const finding = await seed(number)
    tell(finding)
    if (finding.outcome === 'found' && mode !== 'all') break
  }
}
// A node that was killed in the middle of something may hold the process.
process.exit(0)
