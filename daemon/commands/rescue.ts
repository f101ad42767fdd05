// `ringd rescue`: the last resort when too many members of a ring are lost for good. Works on the disk alone: the lock
// of the store keeps a daemon away meanwhile. Says what may be missing, and asks before it changes anything.
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { RingdError } from '../../lib/errors.js'
import { examineForRescue, giveToRing, type RescueFindings, rescueRing } from '../../lib/node/rescue.js'
import { printableLines } from '../../lib/printable.js'
import { openDataDirectory } from '../../lib/storage/data-directory.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { VERSION } from '../version.js'
import { confirm } from './confirm.js'

interface RescueOptions {
  readonly data?: string
  /** The id of a rescued ring. */
  readonly into?: string
  readonly yes?: boolean
  readonly json?: boolean
}

/** What the command prints with --json. Fields are only ever added. */
interface RescueReport {
  readonly found: RescueFindings
  /** The ring that the directory founds or joins when its daemon starts. */
  readonly ringId: string
  readonly founds: boolean
}

const RING_ID = /^[0-9a-f]{32}$/

export function addRescueCommand(program: Command): void {
  program
    .command('rescue')
    .description('last resort: make a new ring from the directory of a stopped daemon, when most members are lost')
    .option('--data <dir>', 'the data directory (default: $RINGD_DATA)')
    .option(
      '--into <ring>',
      'give the directory to this rescued ring instead, as a new member that hands over',
      parseRing
    )
    .option('--yes', 'do not ask before anything is changed')
    .option('--json', 'print the outcome as JSON')
    .action(runRescue)
}

function parseRing(text: string): string {
  if (RING_ID.test(text)) return text
  throw new InvalidArgumentError('Expected the 32 hex digits that ringd rescue printed on the first machine.')
}

async function runRescue(options: RescueOptions): Promise<void> {
  const data = options.data ?? process.env['RINGD_DATA'] ?? ''
  if (data === '') throw new RingdError('BAD_REQUEST', 'no directory is named: give --data DIR of a stopped daemon')
  const directory = await openDataDirectory(resolve(data), VERSION, { uid: process.geteuid?.(), mustExist: true })
  if (directory.isNew) throw new RingdError('BAD_CONFIG', `${directory.path} is new: no daemon has served it yet`)
  const store = await openLevelStore(directory.storePath, { createIfMissing: false })
  try {
    const { into } = options
    const found = await examineForRescue(store)
    if (into !== undefined && into === found.ringId) {
      throw new RingdError('BAD_REQUEST', 'the directory belongs to that ring already: start its daemon')
    }
    process.stderr.write(renderFindings(found))
    if (options.yes !== true) await confirm(into === undefined ? RESCUE_QUESTION : GIVE_QUESTION, 'nothing was changed')
    if (into !== undefined) await giveToRing(store, systemRandom, into)
    const ringId = into ?? (await rescueRing(store, systemRandom, systemClock.now()))
    finish({ found, ringId, founds: into === undefined }, options)
  } finally {
    await store.close()
  }
}

const RESCUE_QUESTION =
  'If the other members may come back, answer no, and bring them back.\n' +
  'Make a new ring from this directory, and give up the former ring for ever?'
const GIVE_QUESTION = 'Give up the membership of this directory, and have it join the rescued ring as a new member?'

export function renderFindings({ ringId, members, self, slots, entries, hints, newestMs }: RescueFindings): string {
  const others = members.filter((id) => id !== self)
  const newestWrite = newestMs === undefined ? 'none' : new Date(newestMs).toISOString()
  const lines = [
    ringId === undefined ? 'ring     unknown: this directory gave up its membership before' : `ring     ${ringId}`,
    others.length === 0 ? '' : `members  this one and ${others.length} others: ${others.join(' ')}`,
    `holds    ${entries} entries, and ${hints} writes kept for other members; the newest write is of ${newestWrite}`,
    `slots    ${slots.held} held, ${slots.partly} held in part, ${slots.absent} not held`,
    '',
    'What may be missing:',
    '- acknowledged writes that this member missed: it was behind, or down, when two others took them;',
    slots.absent + slots.partly === 0
      ? ''
      : '- keys of slots that are not held, or in part, until other members hand them over;',
    'What may come back: keys that were deleted and purged while this member was out of the ring.'
  ]
  return `${lines.filter((line, at) => line !== '' || at === 4).join('\n')}\n`
}

function finish(report: RescueReport, { json }: RescueOptions): void {
  process.stdout.write(json === true ? `${printableLines(JSON.stringify(report))}\n` : renderNext(report))
}

function renderNext({ ringId, founds }: RescueReport): string {
  if (!founds)
    return `given to ring ${ringId}\nnext     start its daemon with --join ADDRESS of a member of that ring\n`
  return [
    `rescued  the next start of its daemon founds ring ${ringId}`,
    `next     on each other machine whose directory survived: ringd rescue --data DIR --into ${ringId}`,
    '         then start its daemon with --join ADDRESS of this peer, within a day',
    '         machines without their directory start with an empty one and --join ADDRESS',
    ''
  ].join('\n')
}
