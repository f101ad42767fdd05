// Runs one compiled test file in a process group of its own, and decides from its output whether it passed. Only uvu's
// totals count: a file fails when it prints no totals, ran no test, or passed fewer tests than it counted.
import { spawn } from 'node:child_process'
import { setPriority } from 'node:os'
import { readSource } from './source-text.js'

/**
 * `busy`: it computes all the time. `waiting`: it mostly waits, as most tests of daemons do. `patient`: it computes,
 * and no real time matters to it, so it may run at a low priority.
 */
export type TestKind = 'busy' | 'waiting' | 'patient'

export interface TestFile {
  /** The compiled file. */
  readonly path: string
  /** The path of its source, such as test/unit/x.test.ts. */
  readonly name: string
  readonly limitMs: number
  readonly kind: TestKind
}

export interface Outcome {
  readonly name: string
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Reasons why the file failed, other than failed tests. */
  readonly problems: readonly string[]
  readonly output: string
  readonly ms: number
}

export const LIMIT_MS = 120_000
/** The niceness of a file that gets the time that others leave: a third of the weight of others. */
const LOW_PRIORITY = 5
/** Such a file may take this many times as long. */
const LOW_LIMIT = 3
/** Longer output loses its middle, because the first and the last lines are the most useful. */
const OUTPUT_CHARS_MAX = 256 * 1024

const running = new Set<number>()

/** Kills every running test, together with the processes that it started. */
export function killAll(): void {
  for (const group of running) killGroup(group)
}

/** The time limit of a file. A header comment `// time limit: 300 s` raises it. */
export function limitOf(source: string): number {
  const seconds = /^\/\/ time limit: (\d+) s$/m.exec(source)?.[1]
  return seconds === undefined ? LIMIT_MS : Number(seconds) * 1000
}

/** uvu reports nothing for a suite without `.run()`, so suites and runs are counted in the source. */
export function suitesNotRun(source: string): number {
  const { code } = readSource('', source)
  const made = code.match(/(?<![.\w])suite(<[^>]*>)?\(/g)?.length ?? 0
  const run = code.match(/\.run\(\)/g)?.length ?? 0
  return Math.max(0, made - run)
}

/**
 * Runs `file` to its end, or kills its whole process group after its time limit; `isLow`: at a low priority. Never
 * throws.
 */
export function runTestFile(file: TestFile, isLow = false): Promise<Outcome> {
  const limitMs = isLow ? LOW_LIMIT * file.limitMs : file.limitMs
  const began = performance.now()
  const child = spawn(process.execPath, ['--enable-source-maps', file.path], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined }
  })
  const group = child.pid
  if (group !== undefined) running.add(group)
  if (group !== undefined && isLow) lower(group)
  let output = ''
  const gather = (chunk: Buffer) => {
    output += chunk.toString('utf8')
    if (output.length > 2 * OUTPUT_CHARS_MAX) output = shorten(output)
  }
  child.stdout.on('data', gather)
  child.stderr.on('data', gather)

  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    if (group !== undefined) killGroup(group)
  }, limitMs)

  return new Promise((resolve) => {
    let ended = ''
    child.on('error', (error) => {
      ended = error.message
    })
    // Processes that the test left running hold our pipes open. They are killed, so that the pipes close.
    child.on('exit', () => {
      clearTimeout(timer)
      if (group !== undefined) killGroup(group)
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (group !== undefined) running.delete(group)
      if (signal !== null && !timedOut) ended = `it was killed by ${signal}`
      else if (code !== 0 && !timedOut && ended === '') ended = `it exited with ${code}`
      if (timedOut) ended = timeoutText(output, limitMs)
      resolve({ name: file.name, ...judge(output, ended), output, ms: performance.now() - began })
    })
  })
}

/** The processes that the test starts inherit the priority. */
function lower(pid: number): void {
  try {
    setPriority(pid, LOW_PRIORITY)
  } catch {
    // The process has already ended.
  }
}

function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // The group has already ended.
  }
}

function shorten(output: string): string {
  const half = OUTPUT_CHARS_MAX / 2
  return `${output.slice(0, half)}\n[... output left out ...]\n${output.slice(-half)}`
}

function timeoutText(output: string, limitMs: number): string {
  const finished = /^\s*Total:/m.test(output)
  const state = finished ? 'its tests ended, but something stayed open' : 'its tests had not ended'
  return `killed after ${limitMs / 1000} s: ${state}`
}

/** The outcome, from the output of uvu and how the process ended (`ended`, empty when it exited with 0). Pure. */
export function judge(output: string, ended: string): Pick<Outcome, 'passed' | 'failed' | 'skipped' | 'problems'> {
  const figure = (label: string) => {
    const digits = new RegExp(`^\\s*${label}:\\s+(\\d+)`, 'gm')
    return [...output.matchAll(digits)].at(-1)?.[1]
  }
  const total = figure('Total')
  const passed = Number(figure('Passed') ?? 0)
  const skipped = Number(figure('Skipped') ?? 0)
  const missed = Number(total ?? 0) - passed
  const problems: string[] = []
  if (total === undefined) problems.push('it printed no totals: does every suite call .run()?')
  else if (Number(total) === 0) problems.push('it ran no test')
  // Failed tests explain exit code 1. Any other end is a problem of its own.
  if (ended !== '' && !(missed > 0 && ended === 'it exited with 1')) problems.push(ended)
  const failed = problems.length > 0 ? Math.max(1, missed) : missed
  return { passed, failed, skipped, problems }
}
