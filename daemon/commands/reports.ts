// status, ring, where, id and metrics: print a report of a peer, as a table, or as its JSON with --json.
import type { Command } from 'commander'
import pc from 'picocolors'
import type {
  IdReport,
  MemberReport,
  Reports,
  RingReport,
  StatusReport,
  Topic,
  WhereReport
} from '../../lib/client/reports.js'
import { RingdError } from '../../lib/errors.js'
import { printable, printableLines } from '../../lib/printable.js'
import { humanRate } from './limit.js'
import { addPeerOptions, type PeerOptions, withClient } from './peer-options.js'
import { humanBytes, table } from './table.js'
import { renderMove } from './transfers.js'

type Render<T extends Topic> = (report: Reports[T]) => string

const STORE_ID_SHOWN = 8
/** Members that one line names. */
const NAMED_MAX = 4
const RED: ReadonlySet<string> = new Set(['down', 'at-risk', 'read-only'])

export function addReportCommands(program: Command): void {
  const status = program.command('status').description('members, health and moving slots, as one peer sees them')
  const ring = program.command('ring').description('the owners of each range of slots')
  const where = program.command('where').description('the members that own a key').argument('<key>')
  const id = program.command('id').description('the ids, addresses and version of a peer')
  const ready = program.command('ready').description('ends with 0 while the peer serves clients; else says why not')
  const metrics = program.command('metrics').description('the metrics of a peer, in the text format of Prometheus')
  for (const command of [status, ring, where, id, metrics]) {
    addPeerOptions(command).option('--json', 'print the report as JSON, as the peer wrote it')
  }
  addPeerOptions(ready).action(requireReady)
  status.action((options: PeerOptions) => show('status', '', options, renderStatus))
  ring.action((options: PeerOptions) => show('ring', '', options, renderRing))
  where.action((key: string, options: PeerOptions) => show('where', key, options, renderWhere))
  id.action((options: PeerOptions) => show('id', '', options, renderId))
  metrics.action((options: PeerOptions) => show('metrics', '', options, ({ text }) => `${text}`))
}

async function show<T extends Topic>(topic: T, key: string, options: PeerOptions, render: Render<T>): Promise<void> {
  const json = await withClient(options, (client) => client.report(topic, key))
  process.stdout.write(options.json ? `${printableLines(json)}\n` : rendered(topic, json, render))
}

/** Throws NOT_SERVING when the peer serves no clients. A peer of an older version does not tell; its answer must do. */
async function requireReady(options: PeerOptions): Promise<void> {
  const { ready, notReady } = await withClient(options, (client) => client.status())
  if (ready === false) throw new RingdError('NOT_SERVING', notReady.join('; '))
  process.stdout.write('ready\n')
}

/**
 * The report as a table, for people. The words of a peer are made safe for a terminal here, all of them at once. A peer
 * of another version may report other fields. That is a BAD_MESSAGE, and must not crash the command.
 */
export function rendered<T extends Topic>(topic: T, json: string, render: Render<T>): string {
  const safe = topic === 'metrics' ? printableLines : printable
  try {
    return render(JSON.parse(json, (_, value) => (typeof value === 'string' ? safe(value) : value)))
  } catch (cause) {
    throw new RingdError(
      'BAD_MESSAGE',
      `the report ${topic} of this peer has another form, so it cannot be shown as a table; use --json`,
      { cause }
    )
  }
}

function short(storeId: string): string {
  return storeId.slice(0, STORE_ID_SHOWN)
}

function coloured(word: string): string {
  if (word === 'up' || word === 'healthy') return pc.green(word)
  return RED.has(word) ? pc.red(word) : pc.yellow(word)
}

export function renderStatus(report: StatusReport): string {
  const { settled, moving, atRisk } = report.slots
  const missing = renderShort(report)
  const agree = report.agree ? 'all agree' : pc.yellow('peers differ')
  const risk = atRisk > 0 ? pc.red(`, ${atRisk} at risk`) : ''
  // A peer of an older version reports neither this nor conditions, advice and whether it is ready.
  const unwritable = report.slots.unwritable > 0 ? pc.red(`, ${report.slots.unwritable} not writable`) : ''
  const lacks = `${risk}${unwritable}${missing}`
  // A peer of an older version does not report it.
  const moves = report.move?.copies > 0 ? `move    ${renderMove(report.move)}\n` : ''
  const { leaving, surplus } = report
  const goes = leaving ? pc.yellow(`this peer is leaving: ${surplus ?? '?'} slots to hand over\n`) : ''
  // A peer of an older version does not report hints.
  const { entries, bytes } = report.hints ?? { entries: 0, bytes: 0 }
  const kept = entries > 0 ? `hints   ${entries} kept for members that are away, ${humanBytes(bytes)}\n` : ''
  // A peer of an older version knows no limit.
  const limit = report.moveLimitBytesPerS ?? null
  const bound = limit === null ? '' : `limit   ${humanRate(limit)} for each peer to move data\n`
  const troubles = report.members.flatMap((member) => troublesOf(member, report.members.length))
  const rows = report.members.map((member) => [
    short(member.storeId),
    coloured(member.state),
    member.zone || '-',
    String(member.tokens),
    String(member.owns),
    member.keys === null ? '?' : String(member.keys),
    member.bytes === null ? '?' : humanBytes(member.bytes),
    member.addresses[0] ?? '-'
  ])
  const departing = report.departing.map(({ storeId, state }) => `${short(storeId)} (${coloured(state)})`)
  const former = departing.length > 0 ? `\nleft, and still needed as owners: ${departing.join(', ')}\n` : ''
  const heads = ['STORE', 'STATE', 'ZONE', 'TOKENS', 'SLOTS', 'KEYS', 'BYTES', 'ADDRESS']
  return [
    `ring    ${coloured(report.health)}, view ${report.view}, digest ${report.digest}, ${agree}\n`,
    `slots   ${settled} settled, ${moving} moving${lacks}; ${report.replicas} copies of each entry\n`,
    `${moves}${kept}${bound}${goes}${renderNotReady(report)}\n`,
    table(heads, rows, ['left', 'left', 'left', 'right', 'right', 'right', 'right', 'left']),
    troubles.length > 0 ? `\n${troubles.join('')}` : '',
    former,
    report.advice?.length > 0 ? `\n${report.advice.map((sentence) => `${sentence}\n`).join('')}` : ''
  ].join('')
}

function renderNotReady({ ready, notReady }: StatusReport): string {
  return ready === false ? pc.red(`this peer serves no clients: ${notReady.join('; ')}\n`) : ''
}

/** A line for each thing that is wrong with a member. Of one that nobody reaches, its state says it all. */
function troublesOf(
  { storeId, reason, conditions = [], unreachableFrom = [] }: MemberReport,
  members: number
): string[] {
  const lines = conditions.map(({ name, says }) => `${name}: ${says}`)
  if (reason) lines.unshift(reason)
  const count = unreachableFrom.length
  if (count > 0 && count < members - 1) lines.push(`unreachable from ${some(unreachableFrom)}`)
  return lines.map((line) => `${short(storeId)}: ${line}\n`)
}

function some(storeIds: readonly string[]): string {
  const more = storeIds.length > NAMED_MAX ? ` and ${storeIds.length - NAMED_MAX} more` : ''
  return `${storeIds.slice(0, NAMED_MAX).map(short).join(', ')}${more}`
}

/** The slots that lack copies. Peers of older versions do not report them. */
function renderShort({ slots: { short, etaS }, move }: StatusReport): string {
  if (!(short > 0)) return ''
  // The line of the move tells the time, and knows it better.
  if (move?.copies > 0) return pc.yellow(`, ${short} short of copies`)
  const left = typeof etaS === 'number' ? `about ${etaS} s left` : 'time left unknown'
  return pc.yellow(`, ${short} short of copies (${left})`)
}

export function renderRing(report: RingReport): string {
  const rows = report.ranges.map(({ first, last, owners }) => {
    return [String(first), String(last), String(last - first + 1), owners.map(short).join(' ')]
  })
  return [
    `view ${report.view}, digest ${report.digest}, ${report.replicas} copies of each entry\n\n`,
    table(['FIRST', 'LAST', 'SLOTS', 'OWNERS'], rows, ['right', 'right', 'right', 'left'])
  ].join('')
}

export function renderWhere(report: WhereReport): string {
  const rows = report.owners.map(({ storeId, state, peerId, addresses }) => {
    return [short(storeId), coloured(state), peerId, addresses[0] ?? '-']
  })
  const configs = report.window.map((owners) => owners.map(short).join(' ')).join(' -> ')
  const moving = report.window.length > 1 ? `moving: ${configs}\n` : ''
  return [
    `key "${report.key}", slot ${report.slot}\n${moving}\n`,
    table(['STORE', 'STATE', 'PEER', 'ADDRESS'], rows, [])
  ].join('')
}

export function renderId(report: IdReport): string {
  const lines = [
    ['peer', report.peerId],
    ['store', report.storeId],
    ['ring', report.ringId || '(none yet)'],
    ...report.addresses.map((address) => ['address', address]),
    ['version', report.version]
  ]
  return lines.map(([label = '', text = '']) => `${label.padEnd(8)} ${text}\n`).join('')
}
