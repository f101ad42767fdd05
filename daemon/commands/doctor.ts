// `ringd doctor`: checks the data directory of a daemon that is stopped, and mends versions from the future. Works on
// the disk alone: it asks no peer. The lock of the store keeps a daemon away meanwhile.
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { RingdError } from '../../lib/errors.js'
import { examineStore, mendStore, type StoreExamination, type StoreMending } from '../../lib/node/store-doctor.js'
import { printableLines } from '../../lib/printable.js'
import { openDataDirectory } from '../../lib/storage/data-directory.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { systemClock } from '../../lib/system-clock.js'
import { VERSION } from '../version.js'
import { confirm } from './confirm.js'
import { humanDuration } from './duration.js'
import { table } from './table.js'

interface DoctorOptions {
  readonly data?: string
  readonly fix?: boolean
  /** ms since 1970 */
  readonly at?: number
  readonly yes?: boolean
  readonly json?: boolean
}

/** What the command prints. Fields are only ever added. */
export interface DoctorReport extends StoreExamination {
  /** The wall clock of this machine, as ISO text. */
  readonly now: string
  /** With --fix, when something was mended: the moment that mended entries got. Give it to the other peers. */
  readonly at: string | null
  readonly mended: StoreMending
  /** Files and directories that others could read until now. Their modes are mended without --fix, too. */
  readonly modes: number
  /** Nothing is left to mend. */
  readonly sound: boolean
}

/** All peers of a ring are mended within this time. An older moment could lie before what the ring has purged. */
const AT_AGE_MS_MAX = 86_400_000
const NOTHING_MENDED: StoreMending = { entries: 0, hints: 0, promises: 0, ceilings: 0 }

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('check the data directory of a daemon that is stopped; exit code 10 when something needs repair')
    .option('--data <dir>', 'the data directory (default: $RINGD_DATA)')
    .option('--fix', 'give entries, hints and promises from the future a version of now, and lower a clock ceiling')
    .option('--at <time>', 'with --fix: that moment instead of now, as the doctor printed it on another peer', parseAt)
    .option('--yes', 'do not ask before anything is changed')
    .option('--json', 'print the report as JSON')
    .action(runDoctor)
}

/** `2026-11-26T15:13:04.123Z` -> ms since 1970. */
export function parseAt(text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) throw new InvalidArgumentError('Expected a moment such as 2026-11-26T15:13:04.123Z.')
  return ms
}

async function runDoctor(options: DoctorOptions): Promise<void> {
  const data = options.data ?? process.env['RINGD_DATA'] ?? ''
  if (data === '') throw new RingdError('BAD_REQUEST', 'no directory is named: give --data DIR of a stopped daemon')
  const now = systemClock.now()
  const at = momentOf(options, now)
  const directory = await openDataDirectory(resolve(data), VERSION, { uid: process.geteuid?.(), mustExist: true })
  if (directory.isNew) throw new RingdError('BAD_CONFIG', `${directory.path} is new: no daemon has served it yet`)
  const store = await openLevelStore(directory.storePath, { createIfMissing: false })
  try {
    let examination = await examineStore(store, now)
    let mended = NOTHING_MENDED
    if (options.fix === true && isMendable(examination)) {
      if (options.yes !== true) await confirm(question(examination, now), 'nothing was changed')
      mended = await mendStore(new GuardedStore(store), { nowMs: now, atMs: at })
      examination = await examineStore(store, now)
    }
    const modes = directory.mended.length
    finish({ ...examination, modes, ...outcome(examination, mended, now, at) }, options)
  } finally {
    await store.close()
  }
}

/** The moment for mended entries. Throws BAD_REQUEST. */
function momentOf({ fix, at }: DoctorOptions, now: number): number {
  if (at === undefined) return now
  if (fix !== true) throw new RingdError('BAD_REQUEST', '--at needs --fix')
  if (at <= now && at >= now - AT_AGE_MS_MAX) return at
  throw new RingdError('BAD_REQUEST', `--at ${iso(at)}: expected a moment of the last 24 hours; it is ${iso(now)} here`)
}

function isMendable({ found }: StoreExamination): boolean {
  return found.futureEntries + found.futureHints + found.futurePromises + found.ceilingAheadMs > 0
}

function question({ found }: StoreExamination, now: number): string {
  const { futureEntries, futureHints, futurePromises } = found
  const what = `${futureEntries} entries, ${futureHints} hints and ${futurePromises} promises`
  return (
    `The clock of this machine says ${iso(now)}. If it is wrong, answer no, and set it first.\n` +
    `Give ${what} from the future a version of now?`
  )
}

function outcome({ found }: StoreExamination, mended: StoreMending, now: number, at: number) {
  const any = mended.entries + mended.hints + mended.promises > 0
  const sound = Object.values(found).every((count) => count === 0)
  return { now: iso(now), at: any ? iso(at) : null, mended, sound }
}

function finish(report: DoctorReport, { json }: DoctorOptions): void {
  process.stdout.write(json === true ? `${printableLines(JSON.stringify(report))}\n` : renderDoctor(report))
  if (!report.sound) throw new RingdError('DATA_FLAWED', 'the data directory needs repair; daemon/README.md says how')
}

const FIX = 'ringd doctor --fix'
const REPLACE = 'move the directory away and start with an empty one'

export function renderDoctor({ now, at, entries, hints, found, mended, modes, sound }: DoctorReport): string {
  const ahead = found.ceilingAheadMs === 0 ? '0' : humanDuration(found.ceilingAheadMs)
  const rows: [what: string, count: string, remedy: string][] = [
    ['entries with a version too far ahead', String(found.futureEntries), FIX],
    ['hints from the future', String(found.futureHints), FIX],
    ['clock ceiling ahead of the clock', ahead, FIX],
    ['slots with a purge bound too far ahead', String(found.futureBounds), REPLACE],
    ['entries with a key that is too long', String(found.longKeys), REPLACE],
    ['entries with a value that is too long', String(found.longValues), REPLACE],
    ['entries in a wrong place', String(found.misplacedEntries), REPLACE],
    ['damaged entries', String(found.damagedEntries), 'start the daemon: it heals them'],
    ['damaged hints', String(found.damagedHints), 'start the daemon: it drops them'],
    ['promises to rounds from the future', String(found.futurePromises), FIX],
    ['damaged promises to rounds', String(found.damagedPromises), 'start the daemon: it counts them as the highest'],
    ['promises of which the key is damaged', String(found.misplacedPromises), REPLACE]
  ]
  const shown = rows.map(([what, count, remedy]) => [what, count, count === '0' ? '' : remedy])
  const done = mended.entries + mended.hints + mended.promises + mended.ceilings > 0
  const lines = [
    `checked  ${entries} entries and ${hints} hints, at ${now} by the clock of this machine\n`,
    done ? mendedLine(mended) : '',
    modes === 0 ? '' : `mended   the modes of ${modes} files and directories that other users could read\n`,
    at === null ? '' : `next     ringd doctor --fix --at ${at} on the other peers, one after the other\n`,
    `\n${table([done ? 'LEFT' : 'FOUND', 'COUNT', 'REMEDY'], shown, ['left', 'right', 'left'])}`,
    sound ? '\nsound\n' : ''
  ]
  return lines.join('')
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function mendedLine({ entries, hints, promises, ceilings }: StoreMending): string {
  return `mended   ${entries} entries, ${hints} hints, ${promises} promises, ${ceilings} clock ceilings\n`
}
