// `npm test [-- pattern...]`: runs the compiled test files, each in a process of its own, as many at a time as
// `test-queue.ts` says. Patterns are parts of paths: `npm test -- ring wire`. The last line is `N passed, N failed`.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { killAll, limitOf, type Outcome, runTestFile, suitesNotRun, type TestFile } from './test-file.js'
import { kindOf, TestQueue } from './test-queue.js'

/** Processes of the tests keep compiled code here, so that the next ones start faster. */
const COMPILE_CACHE = 'dist/.compile-cache'
const SOURCE_FOLDERS = ['daemon', 'lib', 'scripts', 'test']

interface Plan {
  readonly files: TestFile[]
  readonly warnings: string[]
  /** Files that fail without being run. */
  readonly refused: Outcome[]
}

function list(folder: string, suffix: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(suffix))
    .map((path) => join(folder, path))
    .sort()
}

function plan(root: string, patterns: readonly string[]): Plan {
  const result: Plan = { files: [], warnings: staleness(root), refused: [] }
  for (const path of list(join(root, 'dist/test'), '.test.js')) {
    const name = relative(join(root, 'dist'), path).replace(/\.js$/, '.ts')
    if (patterns.length > 0 && !patterns.some((pattern) => name.includes(pattern))) continue
    if (!existsSync(join(root, name))) {
      result.warnings.push(`${name} has no source any more and was not run: delete dist/ and run npm run build`)
      continue
    }
    const source = readFileSync(join(root, name), 'utf8')
    const notRun = suitesNotRun(source)
    if (notRun > 0) result.refused.push(refusal(name, `${notRun} suite(s) without .run(); call it at the end`))
    else result.files.push({ path, name, limitMs: limitOf(source), kind: kindOf(name, source) })
  }
  return result
}

function refusal(name: string, problem: string): Outcome {
  return { name, passed: 0, failed: 1, skipped: 0, problems: [problem], output: '', ms: 0 }
}

/** A warning when a source is newer than its compiled file. */
function staleness(root: string): string[] {
  const built = join(root, 'dist/.tsbuildinfo')
  const builtAt = existsSync(built) ? statSync(built).mtimeMs : 0
  const stale = SOURCE_FOLDERS.flatMap((folder) => list(join(root, folder), '.ts')).filter((path) => {
    const compiled = join(root, 'dist', relative(root, path).replace(/\.ts$/, '.js'))
    if (!existsSync(compiled)) return true
    return statSync(path).mtimeMs > Math.max(builtAt, statSync(compiled).mtimeMs)
  })
  const [first] = stale
  if (first === undefined) return []
  const others = stale.length > 1 ? ` and ${stale.length - 1} more` : ''
  return [`dist/ is older than ${relative(root, first)}${others}: run npm run build`]
}

function runAll(files: readonly TestFile[]): Promise<Outcome[]> {
  const queue = new TestQueue(files)
  const outcomes: Outcome[] = []
  return new Promise((done) => {
    const startAll = () => {
      for (let turn = queue.take(); turn !== undefined; turn = queue.take()) {
        const begun = turn
        void runTestFile(begun.file, begun.isLow).then((outcome) => {
          print(outcome)
          outcomes.push(outcome)
          queue.ended(begun)
          startAll()
        })
      }
      if (outcomes.length === files.length) done(outcomes)
    }
    startAll()
  })
}

function print(outcome: Outcome): void {
  const { name, passed, failed, skipped, problems } = outcome
  const skips = skipped > 0 ? `, ${skipped} skipped` : ''
  const time = `${(outcome.ms / 1000).toFixed(1)} s`
  if (failed === 0) {
    console.log(`ok    ${name}  ${passed} passed${skips}, ${time}`)
    return
  }
  console.log(`FAIL  ${name}  ${passed} passed, ${failed} failed${skips}, ${time}`)
  for (const problem of problems) console.log(`      ${problem}`)
  if (outcome.output.trim() !== '') console.log(outcome.output.trimEnd().replace(/^/gm, '    | '))
}

async function main(): Promise<void> {
  const { files, warnings, refused } = plan(process.cwd(), process.argv.slice(2))
  for (const warning of warnings) console.log(`warning: ${warning}`)
  for (const outcome of refused) print(outcome)
  // With the cache, the coverage of functions would be less exact.
  if (process.env['NODE_V8_COVERAGE'] === undefined) process.env['NODE_COMPILE_CACHE'] ??= resolve(COMPILE_CACHE)
  const outcomes = [...refused, ...(await runAll(files))]
  const sum = (field: 'passed' | 'failed' | 'skipped') => outcomes.reduce((total, one) => total + one[field], 0)
  if (outcomes.length === 0) console.log('no test file matches the patterns')
  const skipped = sum('skipped')
  console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  process.exitCode = sum('failed') > 0 || outcomes.length === 0 ? 1 : 0
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killAll()
    process.exit(130)
  })
}
await main()
