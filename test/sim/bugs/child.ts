// One process of the hunt: runs a scenario, or seeds one after the other, and says in one line of JSON what it found.
//   child.js scenario NAME | child.js seeds FIRST COUNT

import { SCENARIOS } from '../scenarios/all.js'
import { BrokenPromise, NotReached, play } from '../scenarios/stage.js'
import { isPlanted, planted } from './plant.js'
import { randomRun } from './random-run.js'

/** What a process found. */
export interface Finding {
  readonly outcome: 'sound' | 'found' | 'not reached'
  readonly message: string
  /** Of seeds: how many were run and which of them found it. */
  readonly tried?: number
  readonly seeds?: readonly number[]
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

async function seeds(first: number, count: number): Promise<Finding> {
  const found: number[] = []
  let message = ''
  for (let seed = first; seed < first + count; seed++) {
    const violation = await randomRun(seed)
    if (violation === undefined) continue
    found.push(seed)
    message ||= violation
  }
  return { outcome: found.length > 0 ? 'found' : 'sound', message, tried: count, seeds: found }
}

const [kind, what = '', count = '1'] = process.argv.slice(2)
const finding = kind === 'scenario' ? await scenario(what) : await seeds(Number(what), Number(count))
if (planted !== undefined && !isPlanted()) throw new Error(`${planted.name}: a module that it changes was never loaded`)
console.log(JSON.stringify(finding))
