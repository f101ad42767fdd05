// verify: asks a peer to compare all owners of slots now, and prints what differs. Waits for the end, and changes
// nothing. An interrupt stops the waiting; the peer goes on.
import { setTimeout as sleep } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import type { Command } from 'commander'
import type { RingdClient } from '../../lib/client/client.js'
import type { SlotDifferenceReport, VerifyReport } from '../../lib/client/reports.js'
import { RingdError } from '../../lib/errors.js'
import { printableLines, printableValues } from '../../lib/printable.js'
import { SLOTS, type SlotRange } from '../../lib/ring/slots.js'
import { addPeerOptions, type PeerOptions, POLL_MS, withClient } from './peer-options.js'
import { parseSlots } from './repair.js'

interface VerifyOptions extends PeerOptions {
  readonly slots: SlotRange
  readonly once?: boolean
}

const ALL: SlotRange = { first: 0, last: SLOTS - 1 }
const STORE_ID_SHOWN = 8
/** Slots that are printed one by one; JSON has up to a thousand. */
const SHOWN_MAX = 20
/** Owners with one letter hold the same. A slot has at most seven owners. */
const LETTERS = 'ABCDEFG'
const HELP = `
Every owner of a slot is asked for a sum over its entries. A slot that differs is compared up to three times more, a
second apart, since writes under way make sums differ for a moment. Nothing is changed: ringd repair heals differences,
and so does the ring by itself every 10 s.

Exit codes: 0 all owners of every slot hold the same; 11 some differ; 4 none differs, but not every slot could be
compared with all its owners: one does not answer, the slot moves, or it is written all the time.
`

export function addVerifyCommand(program: Command): void {
  const command = program
    .command('verify')
    .description('compare all owners of the slots now, and print what differs; changes nothing')
    .addHelpText('after', HELP)
  addPeerOptions(command)
    .option('--slots <A-B>', 'only these slots, both included', parseSlots, ALL)
    .option('--once', 'do not compare again what differs: writes under way count as differences')
    .option('--json', 'print the report as JSON')
    .action((options: VerifyOptions) => withClient(options, (client) => runVerify(client, options)))
}

async function runVerify(client: RingdClient, options: VerifyOptions): Promise<void> {
  let report = printableValues(await client.verify({ range: options.slots, once: options.once === true }))
  const bar = process.stderr.isTTY ? newBar(report.slots) : undefined
  try {
    while (report.running) {
      await sleep(POLL_MS)
      report = printableValues(await client.verify())
      bar?.update(report.compared, { differing: report.differing })
    }
  } finally {
    bar?.stop()
  }
  process.stdout.write(options.json === true ? `${printableLines(JSON.stringify(report))}\n` : renderVerify(report))
  const verdict = verdictOf(report)
  if (verdict !== undefined) throw verdict
}

function newBar(slots: number): SingleBar {
  const format = 'comparing {bar} {percentage}% | {value}/{total} slots, {differing} differ'
  const bar = new SingleBar({ format, stream: process.stderr, hideCursor: true }, Presets.shades_classic)
  bar.start(slots, 0, { differing: 0 })
  return bar
}

/** COPIES_DIFFER, or COPIES_UNKNOWN when nothing differs and not every slot was compared. Undefined: all is equal. */
export function verdictOf({ slots, equal, differing }: VerifyReport): RingdError | undefined {
  if (differing > 0) {
    return new RingdError('COPIES_DIFFER', `${differing} of ${slots} slots differ; ringd repair heals them`)
  }
  if (equal === slots) return undefined
  const left = slots - equal
  return new RingdError('COPIES_UNKNOWN', `${left} of ${slots} slots could not be compared with all their owners`)
}

function differenceLine({ slot, changing, owners }: SlotDifferenceReport): string {
  const told = owners.map(({ storeId, entries, group }) => {
    return `${storeId.slice(0, STORE_ID_SHOWN)} ${entries} entries (${LETTERS[group]})`
  })
  return `${changing ? 'changing' : 'differs '}  slot ${slot}: ${told.join(', ')}`
}

export function renderVerify(report: VerifyReport): string {
  const { first, last, slots, equal, cleared, differing, changing, unanswered, moving, differences, failures } = report
  const lines = [
    `slots     ${first}-${last}: ${equal} of ${slots} equal at all owners, ${differing} differ`,
    ...(cleared > 0 ? [`cleared   ${cleared} slots were equal when they were compared again`] : []),
    ...(changing > 0 ? [`changing  ${changing} slots are written all the time, so nothing is known of them`] : []),
    ...(unanswered > 0
      ? [`silent    ${unanswered} slots have an owner that did not answer; the others are equal`]
      : []),
    ...(moving > 0 ? [`moving    ${moving} slots are moving; the owners that hold them completely are equal`] : []),
    ...failures.map(({ storeId, error, slots: asked }) => `failed    ${storeId} of ${asked} slots (${error})`),
    ...differences.slice(0, SHOWN_MAX).map(differenceLine),
    ...(differences.length > SHOWN_MAX ? [`          and ${differing + changing - SHOWN_MAX} more; see --json`] : [])
  ]
  return lines.map((line) => `${line}\n`).join('')
}
