// The hunt for one planted bug: its scenarios, then random seeds, each in a process of its own that runs with the bug.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Bug } from './bug.js'
import type { Finding } from './child.js'

export interface HuntOptions {
  /** Seeds to try, from `firstSeed`; 0: none. */
  readonly seeds: number
  readonly firstSeed: number
  /** Runs all seeds, to count, instead of ending at the first that finds the bug. */
  readonly countAll: boolean
}

export interface Hunted {
  readonly bug: string
  readonly breaks: string
  /** Scenarios that found it, and those that should have. */
  readonly foundBy: readonly string[]
  readonly missedBy: readonly string[]
  readonly seedsTried: number
  readonly seedsFound: readonly number[]
  /** What the first of them said. */
  readonly message: string
}

const PLANT = fileURLToPath(new URL('./plant.js', import.meta.url))
const CHILD = fileURLToPath(new URL('./child.js', import.meta.url))
/** A planted bug may well make a run endless. */
const SCENARIO_MS_MAX = 120_000
const SEED_MS_MAX = 180_000

export async function hunt(bug: Bug, options: HuntOptions): Promise<Hunted> {
  const foundBy: string[] = []
  const missedBy: string[] = []
  let message = ''
  for (const scenario of bug.scenarios) {
    const finding = await runChild(bug.name, ['scenario', scenario], SCENARIO_MS_MAX)
    if (finding.outcome === 'found') foundBy.push(scenario)
    else missedBy.push(scenario)
    message ||= finding.message
  }
  const seedsFound: number[] = []
  let seedsTried = 0
  while (seedsTried < options.seeds && (options.countAll || seedsFound.length === 0)) {
    const seed = options.firstSeed + seedsTried
    const argv = ['seed', String(seed)]
    const finding = await runChild(bug.name, argv, SEED_MS_MAX)
    seedsTried += 1
    if (finding.outcome !== 'found') continue
    // A seed that fails without the bug as well says nothing of it.
    const { outcome } = await runChild(undefined, argv, SEED_MS_MAX)
    if (outcome === 'found') continue
    seedsFound.push(seed)
    message ||= finding.message
  }
  return { bug: bug.name, breaks: bug.breaks, foundBy, missedBy, seedsTried, seedsFound, message }
}

/** Runs one process with the bug planted; with none when `bug` is undefined. */
export function runChild(bug: string | undefined, argv: readonly string[], limitMs: number): Promise<Finding> {
  const env = { ...process.env, PLANTED_BUG: bug }
  if (bug === undefined) delete env.PLANTED_BUG
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', PLANT, CHILD, ...argv], {
      env,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    let errors = ''
    let isLate = false
    child.stdout.on('data', (bytes) => {
      output += bytes
    })
    child.stderr.on('data', (bytes) => {
      errors += bytes
    })
    const timer = setTimeout(() => {
      isLate = true
      child.kill('SIGKILL')
    }, limitMs)
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      if (isLate) resolve({ outcome: 'found', message: `endless: not done after ${limitMs / 1000} s` })
      else if (code === 0) resolve(JSON.parse(output.trimEnd().split('\n').at(-1)!) as Finding)
      else reject(new Error(`${bug} ${argv.join(' ')}: exit code ${code}\n${errors}`))
    })
  })
}
