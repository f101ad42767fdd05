// leave and remove: requests that a member leaves, then watches until it has left. An interrupt only ends the watching.
import { setTimeout as sleep } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import type { Command } from 'commander'
import type { RingdClient } from '../../lib/client/client.js'
import type { OwnerReport, StatusReport } from '../../lib/client/reports.js'
import { RingdError } from '../../lib/errors.js'
import { printable, printableLines, printableValues } from '../../lib/printable.js'
import { systemClock } from '../../lib/system-clock.js'
import { confirm } from './confirm.js'
import { addPeerOptions, type PeerOptions, POLL_MS, withClient, withClientAt } from './peer-options.js'

interface DepartOptions extends PeerOptions {
  readonly force?: boolean
  readonly yes?: boolean
  /** Commander's form of --no-wait. */
  readonly wait: boolean
}

const NAME_LENGTH_MIN = 4
/** Each time after a pause: together some seconds, which gossip needs at most. */
const OTHERS_ASKED_MAX = 10

/** The asked peer asks the others for 60 s. */
const AGREE_MS = 70_000
/** Slots that move for this long without progress wait for a member that is down. */
const STALLED_MS = 600_000
const STALLED = 'it is removed, but its slots have stopped to move; see ringd status for members that are down'
const NOT_AGREED =
  'the members did not agree to remove it: most of them hear it, or too few answer; stop it, then repeat'

export function addDepartCommands(program: Command): void {
  const leave = program
    .command('leave')
    .description('take a peer out of its ring: it hands over all its entries, then its daemon ends')
    .action((options: DepartOptions) => withClient(options, (client) => runLeave(client, options)))
  const remove = program
    .command('remove')
    .description('have the ring go on without a member that is dead for good')
    .argument('<member>', 'its store or peer id, or the beginning of one (see ringd status)')
    .option('--yes', 'do not ask for confirmation')
    .action((name: string, options: DepartOptions) => withClient(options, (client) => runRemove(client, name, options)))
  for (const command of [leave, remove]) {
    addPeerOptions(command)
      .option('--force', 'even if fewer members remain than copies of an entry, or if acknowledged writes may be lost')
      .option('--no-wait', 'send the request and do not wait until it is complete')
      .option('--json', 'print the outcome as JSON')
  }
}

/** Waits until the member has left the ring and its daemon has ended. */
async function runLeave(client: RingdClient, options: DepartOptions): Promise<void> {
  const { storeId } = await client.id()
  await client.leave({ force: options.force === true })
  if (!options.wait) return finish(options, { storeId, done: false }, 'the peer was asked to leave')
  const bar = new Bar('leaving')
  try {
    await untilLeft(client, storeId, {
      askOther: (addresses) => withClientAt(addresses, options, (other) => other.status()),
      show: (left) => bar.show(left),
      pause: () => sleep(POLL_MS)
    })
  } finally {
    bar.end()
  }
  finish(options, { storeId, done: true }, 'left: all entries are handed over')
}

export interface LeaveDeps {
  /** The status that the first of these peers that answers reports. */
  readonly askOther: (addresses: readonly string[]) => Promise<StatusReport>
  readonly show: (slotsLeft: number | undefined) => void
  readonly pause: () => Promise<unknown>
}

/** Resolves when the member has left and its daemon has ended. Throws UNREACHABLE when it ended before it had left. */
export async function untilLeft(
  peer: Pick<RingdClient, 'id' | 'status'>,
  storeId: string,
  deps: LeaveDeps
): Promise<void> {
  let others: readonly string[] = []
  let isOut = false
  try {
    // Once its daemon has ended, another peer of the options may answer, or none.
    while ((await peer.id()).storeId === storeId) {
      const status = await peer.status()
      isOut = isOutOf(status, storeId)
      others = status.members.flatMap((member) => (member.storeId === storeId ? [] : member.addresses.slice(0, 1)))
      deps.show(isOut ? (status.surplus ?? undefined) : undefined)
      await deps.pause()
    }
  } catch (thrown) {
    // The last slots may have been handed over, and the daemon may have ended, since it was asked last.
    if (!isOut && !(await othersSeeItOut(storeId, deps, () => deps.askOther(others)))) throw thrown
    return
  }
  if (!isOut && !(await othersSeeItOut(storeId, deps, () => peer.status())))
    throw new RingdError(
      'UNREACHABLE',
      'the peer ended before it had left; see ringd status of another peer, and repeat leave when it is up'
    )
}

/** Another peer may learn a moment later that the member is out, so it is asked several times. */
async function othersSeeItOut(storeId: string, deps: LeaveDeps, ask: () => Promise<StatusReport>): Promise<boolean> {
  for (let asked = 0; asked < OTHERS_ASKED_MAX; asked++) {
    const status = await ask().catch(() => undefined)
    if (status === undefined) return false
    if (isOutOf(status, storeId)) return true
    await deps.pause()
  }
  return false
}

function isOutOf({ members }: StatusReport, storeId: string): boolean {
  return !members.some((member) => member.storeId === storeId)
}

async function runRemove(client: RingdClient, name: string, options: DepartOptions): Promise<void> {
  const before = printableValues(await client.status())
  const { storeId, state } = memberCalled([...before.members, ...before.departing], name)
  if (options.yes !== true)
    await confirm(`Remove ${storeId} (${state}) for good? Entries that only it holds are lost.`, 'nothing was removed')
  await client.remove(storeId, { force: options.force === true })
  if (!options.wait) return finish(options, { storeId, done: false }, 'the ring was asked to remove it')
  const bar = new Bar('moving')
  try {
    await untilRemoved(client, storeId, {
      show: (left) => bar.show(left),
      pause: () => sleep(POLL_MS),
      elapsedMs: () => systemClock.elapsed()
    })
  } finally {
    bar.end()
  }
  finish(options, { storeId, done: true }, 'removed: every slot has settled without it')
}

export interface RemoveDeps {
  readonly show: (slotsLeft: number | undefined) => void
  readonly pause: () => Promise<unknown>
  /** Monotonic. */
  readonly elapsedMs: () => number
}

/**
 * Resolves when the member is out of the ring and every slot has settled without it. Throws TIMEOUT when the members do
 * not agree in time, or when slots stop to move. Bounded by the time that has passed, also while the peer is slow to
 * answer.
 */
export async function untilRemoved(
  peer: Pick<RingdClient, 'status'>,
  storeId: string,
  { show, pause, elapsedMs }: RemoveDeps
): Promise<void> {
  const begun = elapsedMs()
  let least = Number.POSITIVE_INFINITY
  let progressAt = begun
  for (;;) {
    const { members, departing, slots } = await peer.status()
    const now = elapsedMs()
    const isOut = ![...members, ...departing].some((member) => member.storeId === storeId)
    show(isOut ? slots.moving : undefined)
    if (isOut && slots.moving === 0) return
    if (!isOut && now - begun > AGREE_MS) throw new RingdError('TIMEOUT', NOT_AGREED)
    if (!isOut || slots.moving < least) progressAt = now
    if (isOut) least = Math.min(least, slots.moving)
    if (now - progressAt > STALLED_MS) throw new RingdError('TIMEOUT', STALLED)
    await pause()
  }
}

/** The one member whose store id begins with `name`, or whose peer id equals it. Throws BAD_REQUEST. */
export function memberCalled<M extends Pick<OwnerReport, 'storeId' | 'peerId'>>(
  members: readonly M[],
  name: string
): M {
  const found = members.filter(({ storeId, peerId }) => storeId.startsWith(name) || peerId === name)
  if (found.length === 1 && name.length >= NAME_LENGTH_MIN) return found[0]!
  const why =
    found.length === 0 ? 'there is no such member; see ringd status' : 'several members match; give more of the id'
  throw new RingdError('BAD_REQUEST', `${printable(name)}: ${why}`)
}

function finish(options: DepartOptions, outcome: { storeId: string; done: boolean }, text: string): void {
  process.stdout.write(options.json === true ? `${printableLines(JSON.stringify(outcome))}\n` : `${text}\n`)
}

/** Progress in slots, of the largest number seen so far. On stderr, and only on a terminal. */
class Bar {
  readonly #bar: SingleBar | undefined
  #most = 0

  constructor(verb: string) {
    if (!process.stderr.isTTY) return
    const format = `${verb} {bar} {percentage}% | {value}/{total} slots`
    this.#bar = new SingleBar({ format, stream: process.stderr, hideCursor: true }, Presets.shades_classic)
    this.#bar.start(1, 0)
  }

  /** `left`: the slots that remain; undefined until the ring has agreed. */
  show(left: number | undefined): void {
    if (left === undefined) return
    this.#most = Math.max(this.#most, left, 1)
    this.#bar?.setTotal(this.#most)
    this.#bar?.update(this.#most - left)
  }

  end(): void {
    this.#bar?.stop()
  }
}
