// The hunt for one planted bug: runs its scenarios, then random seeds, in separate processes in which the bug is
// planted.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Bug } from './bug.js'
import type { Finding } from './child.js'

export interface HuntOptions {
  /** How many seeds to try, starting with `firstSeed`; 0: none. */
  readonly seeds: number
  readonly firstSeed: number
  /** Runs all seeds and counts those that find the bug, instead of stopping at the first one. */
  readonly countAll: boolean
}

export interface Hunted {
  readonly bug: string
  readonly breaks: string
  /** Scenarios that found the bug. */
  readonly foundBy: readonly string[]
  /** Scenarios of the bug that did not find it. */
  readonly missedBy: readonly string[]
  readonly seedsTried: number
  readonly seedsFound: readonly number[]
  /** The message of the first scenario or seed that found it. */
  readonly message: string
}

const PLANT = fileURLToPath(new URL('./plant.js', import.meta.url))
const CHILD = fileURLToPath(new URL('./child.js', import.meta.url))
/** A planted bug may make a run endless. */
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
    const first = options.firstSeed + seedsTried
    const argv = ['seeds', String(first), String(options.seeds - seedsTried), ...(options.countAll ? ['all'] : [])]
    for (const finding of await runChildren(bug.name, argv, SEED_MS_MAX)) {
      const seed = options.firstSeed + seedsTried
      seedsTried += 1
      if (finding.outcome !== 'found' || !(await isSound(seed))) continue
      seedsFound.push(seed)
      message ||= finding.message
    }
  }
  return { bug: bug.name, breaks: bug.breaks, foundBy, missedBy, seedsTried, seedsFound, message }
}

const sound = new Map<number, Promise<boolean>>()

/** Whether the seed passes without a bug: a seed that fails anyway proves nothing. Run once for all bugs. */
function isSound(seed: number): Promise<boolean> {
  const known =
    sound.get(seed) ??
    runChild(undefined, ['seeds', String(seed), '1'], SEED_MS_MAX).then(({ outcome }) => outcome === 'sound')
  sound.set(seed, known)
  return known
}

/** Runs one process, with the bug planted or without a bug, and returns its first finding. */
export async function runChild(bug: string | undefined, argv: readonly string[], limitMs: number): Promise<Finding> {
  const [finding] = await runChildren(bug, argv, limitMs)
  if (finding === undefined) throw new Error(`${bug} ${argv.join(' ')}: the process printed no finding`)
  return finding
}

/**
 * All findings of one process. A finding that takes longer than `limitMs` counts as found (endless), and is the last.
 */
function runChildren(bug: string | undefined, argv: readonly string[], limitMs: number): Promise<Finding[]> {
  const env = { ...process.env, PLANTED_BUG: bug }
  if (bug === undefined) delete env.PLANTED_BUG
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', PLANT, CHILD, ...argv], {
      env,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    const findings: Finding[] = []
    let errors = ''
    let isLate = false
    const giveUp = () => {
      isLate = true
      child.kill('SIGKILL')
    }
    let timer = setTimeout(giveUp, limitMs)
    createInterface({ input: child.stdout }).on('line', (line) => {
      findings.push(JSON.parse(line) as Finding)
      clearTimeout(timer)
      timer = setTimeout(giveUp, limitMs)
    })
    child.stderr.on('data', (bytes) => {
      errors += bytes
    })
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      if (isLate) findings.push({ outcome: 'found', message: `endless: did not end within ${limitMs / 1000} s` })
      if (isLate || code === 0) resolve(findings)
      else reject(new Error(`${bug} ${argv.join(' ')}: exit code ${code}\n${errors}`))
    })
  })
}
