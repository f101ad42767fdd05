// repair: asks a peer to compare its slots with all their other owners now, and to heal the differences. Waits for the
// end. An interrupt stops the waiting; the peer goes on.
import { setTimeout as sleep } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import { type Command, InvalidArgumentError } from 'commander'
import type { RingdClient } from '../../lib/client/client.js'
import type { RepairReport } from '../../lib/client/reports.js'
import { isErrorCode, RingdError } from '../../lib/errors.js'
import { printableLines, printableValues } from '../../lib/printable.js'
import { SLOTS, type SlotRange } from '../../lib/ring/slots.js'
import { addPeerOptions, type PeerOptions, POLL_MS, withClient } from './peer-options.js'
import { humanBytes } from './table.js'

interface RepairOptions extends PeerOptions {
  readonly slots: SlotRange
  readonly watch?: boolean
}

const ALL: SlotRange = { first: 0, last: SLOTS - 1 }

export function addRepairCommand(program: Command): void {
  const command = program
    .command('repair')
    .description('compare the slots of a peer with their other owners now, and heal the differences')
  addPeerOptions(command)
    .option('--slots <A-B>', 'only these slots, both included', parseSlots, ALL)
    .option('--watch', 'show the progress on a terminal')
    .option('--json', 'print the report as JSON')
    .action((options: RepairOptions) => withClient(options, (client) => runRepair(client, options)))
}

/** `5` or `0-99`. */
export function parseSlots(text: string): SlotRange {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text)
  const first = Number(match?.[1])
  const last = Number(match?.[2] ?? match?.[1])
  if (match !== null && first <= last && last < SLOTS) return { first, last }
  throw new InvalidArgumentError(`Expected slots such as 0-99, within 0-${SLOTS - 1}.`)
}

async function runRepair(client: RingdClient, options: RepairOptions): Promise<void> {
  let report = printableValues(await client.repair(options.slots))
  const bar = options.watch === true && process.stderr.isTTY ? newBar(report.owners) : undefined
  try {
    while (report.running) {
      await sleep(POLL_MS)
      report = printableValues(await client.repair())
      bar?.update(report.compared, { differing: report.differing })
    }
  } finally {
    bar?.stop()
  }
  process.stdout.write(options.json === true ? `${printableLines(JSON.stringify(report))}\n` : renderRepair(report))
  const [failure] = report.failures
  if (failure === undefined) return
  const code = isErrorCode(failure.error) ? failure.error : 'UNREACHABLE'
  throw new RingdError(code, `${report.failures.length} of ${report.owners} owners could not be compared with`)
}

function newBar(owners: number): SingleBar {
  const format = 'repairing {bar} {percentage}% | {value}/{total} owners, {differing} slots differed'
  const bar = new SingleBar({ format, stream: process.stderr, hideCursor: true }, Presets.shades_classic)
  bar.start(owners, 0, { differing: 0 })
  return bar
}

export function renderRepair(report: RepairReport): string {
  const { first, last, owners, compared, slots, differing, failures } = report
  const lines = [
    `slots     ${first}-${last}: ${slots} compared, ${differing} differed (counted once for each owner)`,
    `owners    ${compared} of ${owners} compared with`,
    `sent      ${report.sentEntries} entries, ${humanBytes(report.sentBytes)}`,
    `received  ${report.receivedEntries} entries, ${humanBytes(report.receivedBytes)}`,
    ...failures.map(({ storeId, error }) => `failed    ${storeId} (${error})`)
  ]
  return lines.map((line) => `${line}\n`).join('')
}
