// `npm run sim:scale [-- --members 10,100,1000] [--json]`: measures traffic, times and memory of rings of whole nodes,
// under virtual time. Each size runs in a process of its own, one after the other, so that the memory of one size does
// not count for the next. This process prints the table, and kills the running child on SIGINT and SIGTERM.
import { type ChildProcess, fork } from 'node:child_process'
import { parseArgs } from 'node:util'
import type { JoinReport, Kinds, ScaleReport } from '../test/sim/scale/measure.js'

const HELP = `npm run sim:scale [-- options]

  --members LIST   sizes of rings (default 10,100,1000), 3 to 1013: a view holds 1024 members, and eleven join
  --seed N         ids, tokens and delays are drawn from it (default 1)
  --kinds          print also a table of the kinds of messages
  --json           print one JSON document instead of tables`

const NOTES = `Times are virtual. A packet takes 0.2 to 1 ms in one direction, a synced write 5 ms. Rings hold no data.
"agree" is the time from the start of the joiners until every node knows the last view. "settled" and "whole" are the
times until every node knows that all slots are settled, or whole. Traffic is the traffic that a member sends; for joins
and silence, the idle traffic is subtracted. Each message counts as one packet of the wire's codec, without the bytes of
noise, yamux and TCP. A rumor counts as 8 copies for each member, because the gossip mesh has that degree. Memory is
that of the simulation, whose nodes share results that each real node computes alone (test/sim/scale/sharing.ts).`

const MEMBERS_MAX = 1013
const HEAP_MB_MAX = 6000

interface Task {
  readonly members: number
  readonly seed: number
}

let running: ChildProcess | undefined

/** Runs one size in its own process. */
function measure(task: Task, progress: (text: string) => void): Promise<ScaleReport> {
  return new Promise((resolve, reject) => {
    const execArgv = ['--expose-gc', `--max-old-space-size=${HEAP_MB_MAX}`]
    const child = fork(import.meta.filename, ['--one', JSON.stringify(task)], { execArgv })
    running = child
    child.on('message', (message: string | ScaleReport) => {
      if (typeof message === 'string') progress(message)
      else resolve(message)
    })
    child.on('exit', (code, signal) => {
      reject(new Error(`the process for ${task.members} members ended with ${code ?? signal} before it had a result`))
    })
  })
}

/** Runs in the child. It imports modules of lib/ after `shareResults`, which rewrites them while they are loaded. */
async function measureHere(task: Task): Promise<void> {
  const { sharedDecode, shareResults } = await import('../test/sim/scale/sharing.js')
  shareResults()
  const { Rumor } = await import('../lib/network/wire.js')
  Object.assign(Rumor, { decode: sharedDecode(Rumor.decode) })
  const { measureScale } = await import('../test/sim/scale/measure.js')
  const report = await measureScale(task.members, task.seed, (text) => process.send!(text))
  process.send!(report)
  process.disconnect()
}

function sizesOf(text: string): number[] {
  const sizes = text.split(',').map(Number)
  const isWrong = (size: number) => !Number.isInteger(size) || size < 3 || size > MEMBERS_MAX
  if (sizes.some(isWrong)) throw new Error(`--members ${text}: expected whole numbers from 3 to ${MEMBERS_MAX}`)
  return sizes
}

function seedOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new Error(`--seed ${text}: expected a whole number from 0`)
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`

function size(bytes: number): string {
  if (bytes < 10_000) return `${bytes.toFixed(0)} B`
  return bytes < 10_000_000 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}

function joinCells({ agreedMs, settledMs, wholeMs, views, perMember }: JoinReport): string[] {
  const times = [agreedMs, settledMs, wholeMs].map((ms) => (ms / 1000).toFixed(2)).join(' / ')
  return [`${times} s`, String(views), perMember.messages.toFixed(0), size(perMember.bytes)]
}

const ROWS: ReadonlyArray<readonly [label: string, cell: (report: ScaleReport) => string | undefined]> = [
  ['idle: messages per member and second', ({ idle }) => idle.perMemberSecond.messages.toFixed(1)],
  ['idle: bytes per member and second', ({ idle }) => size(idle.perMemberSecond.bytes)],
  ['one joins: agree / settled / whole', ({ one }) => joinCells(one)[0]],
  ['one joins: messages per member', ({ one }) => joinCells(one)[2]],
  ['one joins: bytes per member', ({ one }) => joinCells(one)[3]],
  ['ten join: agree / settled / whole', ({ ten }) => joinCells(ten)[0]],
  ['ten join: views', ({ ten }) => joinCells(ten)[1]],
  ['ten join: messages per member', ({ ten }) => joinCells(ten)[2]],
  ['ten join: bytes per member', ({ ten }) => joinCells(ten)[3]],
  [
    'silence: first / last member that sees the silent one as down',
    ({ silence }) => {
      return `${seconds(silence.firstMs)} / ${seconds(silence.lastMs)}`
    }
  ],
  ['silence: bytes per member', ({ silence }) => size(silence.perMember.bytes)],
  [
    'simulation: heap / rss per member',
    ({ heapBytesPerMember, rssBytesPerMember }) => {
      return `${mib(heapBytesPerMember)} / ${mib(rssBytesPerMember)}`
    }
  ],
  ['simulation: CPU of an idle second', ({ idle }) => seconds(idle.cpuMsPerSecond)],
  ['simulation: CPU of one join / of ten', ({ one, ten }) => `${seconds(one.cpuMs)} / ${seconds(ten.cpuMs)}`],
  ['simulation: CPU in all', ({ cpuMs }) => seconds(cpuMs)]
]

function printTable(reports: readonly ScaleReport[]): void {
  const line = (cells: readonly unknown[]) => console.log(`| ${cells.join(' | ')} |`)
  line(['', ...reports.map(({ members }) => `${members} members`)])
  line(['--', ...reports.map(() => '--:')])
  for (const [label, cell] of ROWS) line([label, ...reports.map(cell)])
  console.log(`\n${NOTES}`)
}

function printKinds({ members, idle, one, ten, silence }: ScaleReport): void {
  const print = (title: string, kinds: Kinds) => {
    console.log(`\n${members} members, ${title}`)
    for (const [kind, { messages, bytes }] of Object.entries(kinds)) {
      if (messages >= 0.05)
        console.log(`  ${kind.padEnd(12)} ${messages.toFixed(1).padStart(10)} ${size(bytes).padStart(10)}`)
    }
  }
  print('idle, per second', idle.kinds)
  print('one joins', one.kinds)
  print('ten join', ten.kinds)
  print('one falls silent', silence.kinds)
}

async function main(argv: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = { members: text, seed: text, one: text, kinds: flag, json: flag, help: flag }
  const { values } = parseArgs({ args: [...argv], options })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  if (values.one !== undefined) {
    await measureHere(JSON.parse(values.one))
    return 0
  }
  const reports: ScaleReport[] = []
  const seed = seedOf(values.seed ?? '1')
  for (const members of sizesOf(values.members ?? '10,100,1000')) {
    reports.push(await measure({ members, seed }, (progress) => console.error(progress)))
  }
  if (values.json) console.log(JSON.stringify(reports, undefined, 2))
  else printTable(reports)
  if (values.kinds && !values.json) for (const report of reports) printKinds(report)
  return 0
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    running?.kill()
    process.exit(130)
  })
}
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (thrown) {
  console.error(thrown instanceof Error ? thrown.message : thrown)
  process.exitCode = 1
}
