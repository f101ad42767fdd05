// limit: shows or sets the upper bound for moving data of the whole ring.
import type { Command } from 'commander'
import type { RingdClient } from '../../lib/client/client.js'
import type { LimitReport } from '../../lib/client/reports.js'
import { RingdError } from '../../lib/errors.js'
import { printable, printableLines, printableValues } from '../../lib/printable.js'
import { checkLimit } from '../../lib/views/move-limit.js'
import { addPeerOptions, type PeerOptions, withClient } from './peer-options.js'
import { humanBytes } from './table.js'

const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40
}
const RATE = /^(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]i?b|b)?(?:\/s)?$/i
const STORE_ID_SHOWN = 8

export function addLimitCommand(program: Command): void {
  const command = program
    .command('limit')
    .description('show or set what each peer may receive and send in a second to move data; the ring keeps it')
    .argument('[rate]', 'such as 20MB, 512KiB or 1000000, at least 64KiB; or off', parseRate)
  addPeerOptions(command)
    .option('--json', 'print the limit as JSON')
    .action((bytesPerS: number | undefined, options: PeerOptions) =>
      withClient(options, (client) => runLimit(client, bytesPerS, options))
    )
}

/** `20MB`, `1.5 MiB/s`, `512KiB`, `1000000` as bytes in a second; `off` as 0. Throws BAD_REQUEST. */
export function parseRate(text: string): number {
  if (text === 'off') return 0
  const [, amount, unit = 'b'] = RATE.exec(text.trim()) ?? []
  if (amount === undefined) {
    throw new RingdError('BAD_REQUEST', `${printable(text)} is no rate: give bytes, or such as 20MB, 512KiB; or off`)
  }
  const bytesPerS = Math.round(Number(amount) * UNITS[unit.toLowerCase()]!)
  if (bytesPerS === 0) throw new RingdError('BAD_REQUEST', 'a limit of 0 would stop all moves; give off for no limit')
  checkLimit(bytesPerS)
  return bytesPerS
}

async function runLimit(client: RingdClient, bytesPerS: number | undefined, { json }: PeerOptions): Promise<void> {
  const told = bytesPerS === undefined ? await client.limit() : await client.setLimit(bytesPerS)
  const report = printableValues(told)
  process.stdout.write(json === true ? `${printableLines(JSON.stringify(report))}\n` : renderLimit(report))
}

export function renderLimit({ bytesPerS, setAtMs, setBy }: LimitReport): string {
  const rate = bytesPerS === null ? 'off' : `${humanRate(bytesPerS)} for each peer`
  if (setAtMs === null || setBy === null) return `limit for moving data: ${rate}\n`
  const order = `set ${new Date(setAtMs).toISOString()} at ${setBy.slice(0, STORE_ID_SHOWN)}`
  return `limit for moving data: ${rate} (${order})\n`
}

/** 20 000 000 -> '19.1 MiB/s (20000000 B/s)'. */
export function humanRate(bytesPerS: number): string {
  return `${humanBytes(bytesPerS)}/s (${bytesPerS} B/s)`
}
