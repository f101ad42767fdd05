// plan: prints what a change of the members would move. Asks one peer what the slots hold, and computes the plan in
// this process, so that no daemon stands still for it. Changes nothing.
import { type Command, InvalidArgumentError } from 'commander'
import type { RingdClient } from '../../lib/client/client.js'
import type { LoadReport } from '../../lib/client/reports.js'
import { RingdError, toRingdError } from '../../lib/errors.js'
import { TOKENS_MAX, WEIGHT_MAX } from '../../lib/limits.js'
import { printableLines, printableValues } from '../../lib/printable.js'
import { type Amount, type ChangePlan, planChange, type RingChange, type RingLoad } from '../../lib/ring/change-plan.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { TOKENS_PER_WEIGHT } from '../../lib/ring/tokens.js'
import { memberCalled } from './depart.js'
import { addPeerOptions, type PeerOptions, withClient } from './peer-options.js'
import { type Align, humanBytes, table } from './table.js'

interface JoinOptions extends PeerOptions {
  readonly zone: string
  readonly weight?: number
  readonly tokens?: number
}

const STORE_ID_SHOWN = 8
/** The alignment of all further columns. */
const NUMBERS = new Array<Align>(11).fill('right')
const HELP = `
A plan is made of the members that the peer knows and of what their slots hold now. It is the same through each peer
of one view, but for the time, which follows from the last move of the asked peer. Deleted entries count until they are
purged, since they move like others.

A real joiner draws its tokens from an id that it makes up when it starts, so it gets other slots than planned, as well
balanced: of the whole, one or two per cent more or less.

Examples
  ringd plan join --zone rack-3 --data ./a        a new member with weight 1 in zone rack-3
  ringd plan join --weight 2 --json --data ./a    one that takes twice as much, for a script
  ringd plan leave 3fa9c1d2 --data ./a            what ringd leave would have it hand over
  ringd plan remove 3fa9c1d2 --data ./a           what the others would copy without it
`

export function addPlanCommand(program: Command): void {
  const plan = program
    .command('plan')
    .description('what a join, leave or remove would move; changes nothing')
    .helpCommand(false)
    .addHelpText('after', HELP)
  const join = plan.command('join').description('the plan for one more member')
  addPeerOptions(join)
    .option('--zone <name>', 'the zone of the new member', '')
    .option('--weight <number>', `its weight, above 0 and at most ${WEIGHT_MAX} (default: 1)`, parseWeight)
    .option('--tokens <count>', `its tokens, in place of its weight: ${TOKENS_PER_WEIGHT} for weight 1`, parseTokens)
    .option('--json', 'print the plan as JSON')
    .action((options: JoinOptions) => withClient(options, (client) => runPlan(client, options, () => joinOf(options))))
  for (const kind of ['leave', 'remove'] as const) {
    const text = kind === 'leave' ? 'for a member that hands over and leaves' : 'for a member that is dead for good'
    const command = plan.command(kind).description(`the plan ${text}`)
    addPeerOptions(command)
      .argument('<member>', 'its store or peer id, or the beginning of one (see ringd status)')
      .option('--json', 'print the plan as JSON')
      .action((name: string, options: PeerOptions) =>
        withClient(options, (client) =>
          runPlan(client, options, ({ members }) => ({ kind, member: memberCalled(members, name).storeId }))
        )
      )
  }
}

function parseWeight(text: string): number {
  const weight = Number(text)
  if (/^\d+(?:\.\d+)?$/.test(text) && weight > 0 && weight <= WEIGHT_MAX) return weight
  throw new InvalidArgumentError(`Expected a number above 0 and at most ${WEIGHT_MAX}.`)
}

function parseTokens(text: string): number {
  const most = Math.min(TOKENS_MAX, TOKENS_PER_WEIGHT * WEIGHT_MAX)
  const tokens = Number(text)
  if (/^\d+$/.test(text) && tokens >= 1 && tokens <= most) return tokens
  throw new InvalidArgumentError(`Expected a whole number from 1 to ${most}.`)
}

/** A member has 64 tokens for each unit of weight, so tokens say the weight. Throws BAD_REQUEST when both are given. */
function joinOf({ zone, weight, tokens }: JoinOptions): RingChange {
  if (tokens === undefined) return { kind: 'join', zone, weight: weight ?? 1 }
  if (weight === undefined) return { kind: 'join', zone, weight: tokens / TOKENS_PER_WEIGHT }
  throw new RingdError('BAD_REQUEST', 'give --weight or --tokens, not both: a member has 64 tokens for weight 1')
}

async function runPlan(
  client: RingdClient,
  { json }: PeerOptions,
  changeOf: (load: LoadReport) => RingChange
): Promise<void> {
  const load = printableValues(await client.load())
  const plan = planOf(load, changeOf)
  process.stdout.write(json === true ? `${printableLines(JSON.stringify(plan))}\n` : renderPlan(plan, load.failures))
}

/** Throws BAD_REQUEST, TOO_FEW_MEMBERS, or BAD_MESSAGE when the peer has reported nonsense. */
export function planOf(load: LoadReport, changeOf: (load: LoadReport) => RingChange): ChangePlan {
  try {
    if (load.entries.length !== SLOTS || load.bytes.length !== SLOTS) throw new RingdError('INTERNAL', 'not all slots')
    const members = load.members.map((member) => ({ ...member, isDown: member.state === 'down' }))
    const ringLoad: RingLoad = { ...load, members }
    return planChange(ringLoad, changeOf(load))
  } catch (thrown) {
    const error = toRingdError(thrown)
    if (error.code !== 'INTERNAL') throw error
    throw new RingdError('BAD_MESSAGE', 'the report load of this peer has another form', { cause: error })
  }
}

export function renderPlan(plan: ChangePlan, failures: LoadReport['failures']): string {
  const rows = plan.members.map(({ storeId, zone, weight, before, after, sends, receives }) => [
    storeId.slice(0, STORE_ID_SHOWN),
    zone || '-',
    String(weight),
    ...cells(before),
    ...cells(after),
    ...moved(sends),
    ...moved(receives)
  ])
  const amounts = ['SLOTS', 'ENTRIES', 'BYTES']
  const heads = ['MEMBER', 'ZONE', 'WEIGHT', ...amounts, ...amounts.map((head) => `${head} AFTER`)]
  return [
    ...headLines(plan).map((line) => `${line}\n`),
    '\n',
    table([...heads, 'SENDS', 'OF BYTES', 'RECEIVES', 'OF BYTES'], rows, ['left', 'left', ...NUMBERS]),
    ...zoneTable(plan),
    ...notes(plan, failures).map((line) => `${line}\n`)
  ].join('')
}

function cells(amount: Amount | null): string[] {
  if (amount === null) return ['-', '-', '-']
  return [String(amount.slots), String(amount.entries), humanBytes(amount.bytes)]
}

function moved({ slots, entries, bytes }: Amount): string[] {
  return slots === 0 ? ['-', '-'] : [String(entries), humanBytes(bytes)]
}

function headLines(plan: ChangePlan): string[] {
  const { change, member, tokens, view, digest, replicas, moved, unevenness, short, etaS } = plan
  const who = change === 'join' ? `of a new member with ${tokens} tokens` : `of ${member} with ${tokens} tokens`
  const ratio = (value: number) => value.toFixed(3)
  const { slotsBefore, slotsAfter, bytesBefore, bytesAfter } = unevenness
  return [
    `plan      ${change} ${who}; view ${view}, digest ${digest}, ${replicas} copies of each entry; nothing was changed`,
    `moves     ${moved.entries} entries, ${humanBytes(moved.bytes)}, in ${moved.slots} copies of slots`,
    `time      ${etaS === null ? 'unknown: this peer has received no move since it was started' : `about ${etaS} s`}`,
    `short     ${short.before} slots now, ${short.meanwhile} while it moves, ${short.after} at the end`,
    `balance   fullest member over mean: slots ${ratio(slotsBefore)} -> ${ratio(slotsAfter)}, ` +
      `bytes ${ratio(bytesBefore)} -> ${ratio(bytesAfter)}`
  ]
}

function zoneTable({ zones }: ChangePlan): string[] {
  if (zones.length === 1 && zones[0]!.zone === '') return []
  const rows = zones.map(({ zone, membersBefore, membersAfter, before, after }) => [
    zone || '-',
    String(membersBefore),
    String(membersAfter),
    ...cells(before),
    ...cells(after)
  ])
  const amounts = ['SLOTS', 'ENTRIES', 'BYTES']
  const heads = ['ZONE', 'MEMBERS', 'AFTER', ...amounts, ...amounts.map((head) => `${head} AFTER`)]
  return ['\n', table(heads, rows, ['left', ...NUMBERS])]
}

/** What an operator should know before the change is made. */
function notes(plan: ChangePlan, failures: LoadReport['failures']): string[] {
  const { change, needsForce, lost, sharedZone, unknownSlots, movingSlots } = plan
  const lines: string[] = []
  if (needsForce) lines.push(`ringd ${change} is refused without --force: fewer members would remain than copies`)
  if (lost.slots > 0) {
    lines.push(`LOST: no other member holds ${lost.entries} entries (${humanBytes(lost.bytes)}) in ${lost.slots} slots`)
  }
  if (sharedZone.before !== sharedZone.after) {
    lines.push(`slots with two copies in one zone: ${sharedZone.before} now, ${sharedZone.after} at the end`)
  }
  if (unknownSlots > 0) {
    lines.push(`${unknownSlots} slots count like the mean of the others: no owner of them told what they hold`)
  }
  for (const { storeId, error } of failures) lines.push(`${storeId} did not tell what it holds (${error})`)
  if (movingSlots > 0) lines.push(`${movingSlots} slots are moving already; the plan begins where these moves end`)
  return lines.length === 0 ? [] : ['', ...lines]
}
