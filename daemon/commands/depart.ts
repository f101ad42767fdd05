// leave and remove: requests that a member leaves, then watches until it has left. An interrupt only ends the watching.
import { createInterface } from 'node:readline/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import type { Command } from 'commander'
import type { RingdClient } from '../../lib/client/client.js'
import type { OwnerReport } from '../../lib/client/reports.js'
import { RingdError, toRingdError } from '../../lib/errors.js'
import { addPeerOptions, type PeerOptions, POLL_MS, withClient } from './peer-options.js'
import { printable } from './table.js'

interface DepartOptions extends PeerOptions {
  readonly force?: boolean
  readonly yes?: boolean
  /** Commander's form of --no-wait. */
  readonly wait: boolean
}

const NAME_LENGTH_MIN = 4

/** The asked peer asks the others for 60 s. */
const AGREE_MS = 70_000
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
  let isOut = false
  try {
    // Once its daemon has ended, another peer may answer, or none.
    while ((await client.id()).storeId === storeId) {
      const { members, surplus } = await client.status()
      isOut = !members.some((member) => member.storeId === storeId)
      bar.show(isOut ? (surplus ?? undefined) : undefined)
      await sleep(POLL_MS)
    }
    if (!isOut)
      throw new RingdError(
        'UNREACHABLE',
        'the peer ended before it had left; see ringd status of another peer, and repeat leave when it is up'
      )
  } catch (thrown) {
    if (!isOut) throw thrown
  } finally {
    bar.end()
  }
  finish(options, { storeId, done: true }, 'left: all entries are handed over')
}

async function runRemove(client: RingdClient, name: string, options: DepartOptions): Promise<void> {
  const before = await client.status()
  const { storeId, state } = memberCalled([...before.members, ...before.departing], name)
  if (options.yes !== true)
    await confirm(`Remove ${storeId} (${state}) for good? Entries that only it holds are lost. [y/N] `)
  await client.remove(storeId, { force: options.force === true })
  if (!options.wait) return finish(options, { storeId, done: false }, 'the ring was asked to remove it')
  const bar = new Bar('moving')
  try {
    for (let waitedMs = 0; ; waitedMs += POLL_MS) {
      const { members, departing, slots } = await client.status()
      const isOut = ![...members, ...departing].some((member) => member.storeId === storeId)
      bar.show(isOut ? slots.moving : undefined)
      if (isOut && slots.moving === 0) break
      if (!isOut && waitedMs > AGREE_MS) throw new RingdError('TIMEOUT', NOT_AGREED)
      await sleep(POLL_MS)
    }
  } finally {
    bar.end()
  }
  finish(options, { storeId, done: true }, 'removed: every slot has settled without it')
}

/** The one member whose store id begins with `name`, or whose peer id equals it. Throws BAD_REQUEST. */
function memberCalled(members: readonly OwnerReport[], name: string): OwnerReport {
  const found = members.filter(({ storeId, peerId }) => storeId.startsWith(name) || peerId === name)
  if (found.length === 1 && name.length >= NAME_LENGTH_MIN) return found[0]!
  const why =
    found.length === 0 ? 'there is no such member; see ringd status' : 'several members match; give more of the id'
  throw new RingdError('BAD_REQUEST', `${printable(name)}: ${why}`)
}

async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY)
    throw new RingdError('BAD_REQUEST', 'stdin is not a terminal, so this cannot be confirmed: add --yes to remove it')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(question)
    if (!/^y(es)?$/i.test(answer.trim())) throw new RingdError('BAD_REQUEST', 'nothing was removed')
  } catch (thrown) {
    throw toRingdError(thrown)
  } finally {
    terminal.close()
  }
}

function finish(options: DepartOptions, outcome: { storeId: string; done: boolean }, text: string): void {
  process.stdout.write(options.json === true ? `${JSON.stringify(outcome)}\n` : `${text}\n`)
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
