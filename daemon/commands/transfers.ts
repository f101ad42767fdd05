// transfers: prints by which members data moves in the whole ring, and the last transfers that have ended with their
// receipts. With --watch it shows them until an interrupt ends it. Changes nothing.
import { setTimeout as sleep } from 'node:timers/promises'
import { MultiBar, Presets, type SingleBar } from 'cli-progress'
import type { Command } from 'commander'
import pc from 'picocolors'
import type { RingdClient } from '../../lib/client/client.js'
import type { EndedTransferReport, MoveReport, TransferReport, TransfersReport } from '../../lib/client/reports.js'
import { printableLines, printableValues } from '../../lib/printable.js'
import { humanDuration } from './duration.js'
import { addPeerOptions, type PeerOptions, withClient } from './peer-options.js'
import { type Align, humanBytes, table } from './table.js'

interface TransfersOptions extends PeerOptions {
  readonly watch?: boolean
}

const STORE_ID_SHOWN = 8
const WATCH_MS = 1000
/** Bars that fit a terminal. JSON has up to a thousand. */
const BARS_MAX = 20
const FAILURES_SHOWN = 5
const RIGHT = new Array<Align>(6).fill('right')
const HELP = `
Each member tells of the transfers by which it takes data; the asked peer asks all of them, for 3 s each.

  WHY      join: members came. leave: a member left, or ringd remove named it. loss: a member was evicted.
           repair: owners of the same slots differed
  SLOTS    done, and all that are to be taken from this source as far as that is known
  ETA      until the member that takes has everything for this change, by its pace of the last seconds
  HELD BY  what it waits for: source, disk (of the member that takes), clients (of that member), limit (of the operator)

A receipt counts what both ends have counted alike, with the same checksum, and what is on disk. Checksums of receipts
add up modulo 2^32. Members keep their last 100 transfers, also over restarts.
`

export function addTransfersCommand(program: Command): void {
  const command = program
    .command('transfers')
    .description('what moves between the members now, and the receipts of the last moves')
    .addHelpText('after', HELP)
  addPeerOptions(command)
    .option('--watch', 'show what moves until Ctrl-C: bars on a terminal, else a table each second')
    .option('--json', 'print the report as JSON; with --watch one line each second')
    .action((options: TransfersOptions) =>
      withClient(options, (client) => (options.watch === true ? watch(client, options) : show(client, options)))
    )
}

async function show(client: RingdClient, { json }: TransfersOptions): Promise<void> {
  const report = printableValues(await client.transfers())
  process.stdout.write(json === true ? jsonLine(report) : renderTransfers(report, Date.now()))
}

function jsonLine(report: TransfersReport): string {
  return `${printableLines(JSON.stringify(report))}\n`
}

/** An interrupt is the only end, so it is no error. */
async function watch(client: RingdClient, { json }: TransfersOptions): Promise<void> {
  const interrupt = new AbortController()
  const stop = () => interrupt.abort()
  process.once('SIGINT', stop)
  const bars = json !== true && process.stderr.isTTY ? new TransferBars() : undefined
  try {
    while (!interrupt.signal.aborted) {
      const report = printableValues(await client.transfers({ withEnded: json === true }))
      if (interrupt.signal.aborted) break
      if (bars !== undefined) bars.show(report)
      else process.stdout.write(json === true ? jsonLine(report) : `${renderRunning(report)}\n`)
      await sleep(WATCH_MS, undefined, { signal: interrupt.signal }).catch(() => {})
    }
  } finally {
    bars?.stop()
    process.removeListener('SIGINT', stop)
  }
}

/** One bar for each transfer that is running, on stderr. */
class TransferBars {
  readonly #bars = new MultiBar(
    { format: '{label} {bar} {percentage}% | {told}', stream: process.stderr, hideCursor: true, gracefulExit: false },
    Presets.shades_classic
  )
  readonly #shown = new Map<string, SingleBar>()
  /** How long the whole move still takes. */
  readonly #move = this.#bars.create(1, 0, { label: 'nothing moves', told: '' })

  show({ running, move }: TransfersReport): void {
    const present = new Set(running.slice(0, BARS_MAX).map(keyOf))
    for (const [key, bar] of this.#shown) {
      if (present.has(key)) continue
      this.#bars.remove(bar)
      this.#shown.delete(key)
    }
    for (const transfer of running.slice(0, BARS_MAX)) {
      const { slots, slotsInAll, heldBy, bytesPerS } = transfer
      const label = `${transfer.why.padEnd(6)} ${short(transfer.from)} -> ${short(transfer.to)}`
      const told = `${humanBytes(bytesPerS)}/s, ${eta(transfer.etaS)}, held by ${heldBy}`
      const total = Math.max(1, slotsInAll, slots)
      const bar = this.#shown.get(keyOf(transfer)) ?? this.#bars.create(total, 0, { label, told })
      this.#shown.set(keyOf(transfer), bar)
      bar.setTotal(total)
      bar.update(slots, { label, told })
    }
    const done = running.reduce((sum, { slots }) => sum + slots, 0)
    this.#move.setTotal(Math.max(1, done + move.copies))
    this.#move.update(move.copies === 0 ? 1 : done, {
      label: (move.copies === 0 ? 'nothing moves' : 'whole move').padEnd(27),
      told: move.copies === 0 ? '' : `${move.copies} copies of slots left, ${eta(move.etaS)}`
    })
    this.#bars.update()
  }

  stop(): void {
    this.#bars.stop()
  }
}

function keyOf({ why, from, to, config }: TransferReport): string {
  return [why, from, to, config].join(' ')
}

function short(storeId: string): string {
  return storeId.slice(0, STORE_ID_SHOWN)
}

function eta(seconds: number | null): string {
  return seconds === null ? 'time left unknown' : `about ${seconds} s left`
}

/** `nowMs`: the wall clock of this machine. */
export function renderTransfers(report: TransfersReport, nowMs: number): string {
  const { ended } = report
  const telling = ended.filter(({ entries }) => entries > 0)
  const silent = ended.length - telling.length
  return [
    renderRunning(report),
    telling.length > 0 ? `\n${endedTable(telling, nowMs)}` : '',
    silent > 0 ? `\n${silent} more have ended that found nothing to copy; see --json\n` : ''
  ].join('')
}

/** The first line, and the running ones. */
export function renderRunning({ view, move, running, failures }: TransfersReport): string {
  const rows = running.map((transfer) => [
    ...endsOf(transfer),
    `${transfer.slots}/${transfer.slotsInAll}`,
    String(transfer.entries),
    humanBytes(transfer.bytes),
    `${humanBytes(transfer.bytesPerS)}/s`,
    transfer.etaS === null ? '?' : `${transfer.etaS} s`,
    transfer.heldBy
  ])
  const heads = ['WHY', 'FROM', 'TO', 'SLOTS', 'KEYS', 'BYTES', 'RATE', 'ETA', 'HELD BY']
  const shown = failures.slice(0, FAILURES_SHOWN).map(({ storeId, error }) => `${short(storeId)} (${error})`)
  const more = failures.length > FAILURES_SHOWN ? ` and ${failures.length - FAILURES_SHOWN} more` : ''
  return [
    `move    ${renderMove(move)}, view ${view}\n`,
    failures.length > 0 ? pc.yellow(`no answer from ${shown.join(', ')}${more}\n`) : '',
    running.length > 0 ? `\n${table(heads, rows, ['left', 'left', 'left', ...RIGHT.slice(0, 5), 'left'])}` : ''
  ].join('')
}

/** What is left of a move: `12288 copies of slots to make, 34.1 MiB; about 3 s left`. */
export function renderMove({ copies, bytes, etaS }: MoveReport): string {
  if (copies === 0) return 'nothing moves'
  const size = bytes === null ? '' : `, ${humanBytes(bytes)}`
  return `${copies} copies of slots to make${size}; ${eta(etaS)}`
}

function endsOf({ why, from, to }: Pick<TransferReport, 'why' | 'from' | 'to'>): string[] {
  return [why, short(from), short(to)]
}

function endedTable(ended: readonly EndedTransferReport[], nowMs: number): string {
  const rows = ended.map((transfer) => {
    const { receipt, slots, entries, bytes, state, beganAtMs, endedAtMs } = transfer
    const checksum = receipt.checksum.toString(16).padStart(8, '0')
    const took = humanDuration(Math.max(0, endedAtMs - beganAtMs))
    const ago = `${humanDuration(Math.floor(Math.max(0, nowMs - endedAtMs) / 1000) * 1000)} ago`
    const counted = [String(slots), String(entries), humanBytes(bytes), String(receipt.entries), checksum]
    return [...endsOf(transfer), ...counted, took, ago, state]
  })
  const heads = ['WHY', 'FROM', 'TO', 'SLOTS', 'KEYS', 'BYTES', 'COMPARED', 'CHECKSUM', 'TOOK', 'ENDED', 'STATE']
  return table(heads, rows, ['left', 'left', 'left', ...RIGHT, 'right', 'left'])
}
