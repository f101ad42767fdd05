// One process of the hunt for a bug. It runs one scenario, or several seeds one after the other, and prints one line of
// JSON for each. Seeds share a process, because the first runs of a process are several times as slow as later ones.
//   child.js scenario NAME | child.js seeds FIRST COUNT [all]
import { allCheckers } from '../checkers/checkers.js'
import { runSeed } from '../run/run.js'
import { SCENARIOS } from '../scenarios/all.js'
import { BrokenPromise, NotReached, play } from '../scenarios/scenario-cluster.js'
import { isPlanted, planted } from './plant.js'

/** The result of one scenario or one seed. */
export interface Finding {
  /** `not reached`: the scenario did not reach its situation, so it proves nothing. */
  readonly outcome: 'sound' | 'found' | 'not reached'
  readonly message: string
}

async function scenario(name: string): Promise<Finding> {
  const one = SCENARIOS.find((each) => each.name === name)
  if (one === undefined) throw new Error(`there is no scenario ${name}; see test/sim/scenarios/`)
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
  const { violations } = await runSeed(number, { checkers: () => allCheckers({ linearizable: 'atomic' }) })
  const [first] = violations
  if (first === undefined) return { outcome: 'sound', message: '' }
  return { outcome: 'found', message: `${first.rule} at ${Math.round(first.at)} ms: ${first.text}` }
}

function print(finding: Finding): void {
  if (planted !== undefined && !isPlanted())
    throw new Error(`bug ${planted.name}: a module that it changes was never loaded, so the bug was not tried`)
  process.stdout.write(`${JSON.stringify(finding)}\n`)
}

const [kind, what = '', count = '1', mode = ''] = process.argv.slice(2)
if (kind === 'scenario') print(await scenario(what))
else {
  for (let number = Number(what); number < Number(what) + Number(count); number++) {
    const finding = await seed(number)
    print(finding)
    if (finding.outcome === 'found' && mode !== 'all') break
  }
}
// A node that was killed may keep the process alive.
process.exit(0)
