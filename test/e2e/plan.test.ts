// What `ringd plan` says is what then moves: a fourth daemon joins three, and leaves again. `ringd transfers` tells of
// the join while it runs, and its receipts count what has moved, also after a restart.
// time limit: 300 s
import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RingdClient } from '../../lib/client/client.js'
import type { EndedTransferReport, TransfersReport } from '../../lib/client/reports.js'
import type { ChangePlan } from '../../lib/ring/change-plan.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { type Cluster, type Daemon, pause, until, withCluster } from './cluster.js'
import { type Ended, ringd, startRingd } from './command.js'

const plans = suite('plan')
const KEYS = 5000
const VALUE_BYTES = 400
const AT_ONCE = 100
const SETTLE_MS_MAX = 60_000
/** The command prints a line each second. */
const WATCH_MS = 2500
/** Planned and real joiners get other slots, as many of them. */
const SHARE_MAX = 0.02

/** Keys in slots that lie evenly on the circle: else chance alone makes plan and move differ by a per cent. */
function evenKeys(): string[] {
  const wanted = new Map(Array.from({ length: KEYS }, (_, at) => [Math.floor((at * SLOTS) / KEYS), at]))
  const keys: string[] = []
  for (let number = 0; keys.length < KEYS; number++) {
    const key = `key-${number}`
    if (wanted.delete(slotOf(Buffer.from(key)))) keys.push(key)
  }
  return keys
}

async function fill(cluster: Cluster, daemon: Daemon): Promise<void> {
  const client = cluster.redis(daemon)
  const keys = evenKeys()
  for (let at = 0; at < keys.length; at += AT_ONCE) {
    const some = keys.slice(at, at + AT_ONCE)
    await Promise.all(some.map((key) => client.set(key, randomBytes(VALUE_BYTES))))
  }
}

async function planOf(daemon: Daemon, ...argv: readonly string[]): Promise<ChangePlan> {
  const { code, stdout, stderr } = await ringd(['plan', ...argv, '--json', '--data', daemon.data])
  assert.is(code, 0, stderr)
  return JSON.parse(stdout)
}

/** Keys and bytes of each member, as it tells itself. */
async function held(daemons: readonly Daemon[]): Promise<{ readonly keys: number; readonly bytes: number }[]> {
  return Promise.all(
    daemons.map(async (daemon) => {
      const own = (await daemon.status()).members.find(({ storeId }) => storeId === daemon.info.storeId)!
      return { keys: own.keys!, bytes: own.bytes! }
    })
  )
}

function assertNear(planned: number, real: number, what: string): void {
  const share = Math.abs(planned / real - 1)
  console.log(`${what}: planned ${planned}, real ${real}: ${(share * 100).toFixed(2)} % off`)
  assert.ok(share < SHARE_MAX, `${what}: planned ${planned}, real ${real}`)
}

/** `ringd transfers --watch --json`, and a client that asks more often for what is running. */
class Watch {
  readonly #ended: Promise<Ended>
  readonly #client: RingdClient
  readonly #running = new Set<string>()
  #isOver = false
  #interrupt: () => void

  private constructor(daemon: Daemon, client: RingdClient) {
    const { ended, interrupt } = startRingd(['transfers', '--watch', '--json', '--data', daemon.data])
    this.#ended = ended
    this.#interrupt = interrupt
    this.#client = client
    void this.#poll()
  }

  static async start(daemon: Daemon): Promise<Watch> {
    return new Watch(daemon, await daemon.client())
  }

  async #poll(): Promise<void> {
    while (!this.#isOver) {
      const { running } = await this.#client.transfers({ withEnded: false })
      for (const { to, why } of running) this.#running.add(`${why} to ${to}`)
      await pause(20)
    }
  }

  /** Was running and has ended; and an interrupt ends the command well. */
  async sees(joiner: string): Promise<void> {
    this.#isOver = true
    assert.ok(this.#running.has(`join to ${joiner}`), `seen running: ${[...this.#running]}`)
    await until('nothing moves', SETTLE_MS_MAX, async () => {
      const { running, move } = await this.#client.transfers({ withEnded: false })
      return running.length === 0 && move.copies === 0
    })
    await pause(WATCH_MS)
    this.#interrupt()
    const { code, stdout, stderr } = await this.#ended
    assert.is(code, 0, stderr)
    const reports = stdout
      .trim()
      .split('\n')
      .map((line): TransfersReport => JSON.parse(line))
    assert.ok(reports.length >= 2, `${reports.length} lines`)
    assert.equal([reports.at(-1)!.running, reports.at(-1)!.move.copies], [[], 0])
    assert.ok(reports.at(-1)!.ended.some(({ to, why, state }) => to === joiner && why === 'join' && state === 'done'))
  }
}

/** The transfers to `to` that have ended, as `ringd transfers` of another peer prints them. */
async function receiptsOf(asked: Daemon, to: Daemon): Promise<readonly EndedTransferReport[]> {
  const { code, stdout, stderr } = await ringd(['transfers', '--json', '--data', asked.data])
  assert.is(code, 0, stderr)
  const report: TransfersReport = JSON.parse(stdout)
  assert.equal(report.failures, [])
  return report.ended.filter((one) => one.to === to.info.storeId && one.why === 'join')
}

async function checkReceipts(asked: Daemon, joined: Daemon): Promise<void> {
  const receipts = await receiptsOf(asked, joined)
  const [{ keys }] = (await held([joined])) as [{ keys: number; bytes: number }]
  const compared = receipts.reduce((sum, { receipt }) => sum + receipt.entries, 0)
  assert.is(compared, keys, 'receipts count what the joiner stores')
  const { stdout } = await ringd(['transfers', '--data', asked.data])
  assert.match(stdout, /^move {4}nothing moves, view \d+$/m)
  assert.match(stdout, new RegExp(`^join +\\w{8} +${joined.info.storeId.slice(0, 8)} .* done$`, 'm'))
}

plans(
  'a join and a leave move what the plan says, and every peer plans the same',
  withCluster(async (cluster) => {
    const three = await cluster.startThree()
    const [a, b] = three as [Daemon, Daemon, Daemon]
    await fill(cluster, a)
    const isEverywhere = async () => (await held(three)).every(({ keys }) => keys === KEYS)
    await until('each of three holds every key', SETTLE_MS_MAX, isEverywhere)

    const join = await planOf(a, 'join')
    for (const daemon of three) assert.equal({ ...(await planOf(daemon, 'join')), etaS: join.etaS }, join)
    assert.equal([join.unknownSlots, join.movingSlots, join.short], [0, 0, { before: 0, meanwhile: 0, after: 0 }])
    assert.equal(
      join.members.filter(({ storeId }) => storeId !== 'new').map(({ before }) => before!.entries),
      [KEYS, KEYS, KEYS]
    )
    const watched = await Watch.start(a)
    const d = await cluster.daemon('d').start({ join: [a] })
    const four = [...three, d]
    await cluster.settled(four)
    await watched.sees(d.info.storeId)
    await checkReceipts(b, d)
    const [joined] = (await held([d])) as [{ keys: number; bytes: number }]
    assertNear(join.moved.entries, joined.keys, 'entries of the joiner')
    assertNear(join.moved.bytes, joined.bytes, 'bytes of the joiner')
    const released = async () => (await held(four)).reduce((sum, { keys }) => sum + keys, 0) === 3 * KEYS
    await until('the others have released what moved', SETTLE_MS_MAX, released)
    const receipts = await receiptsOf(b, d)
    await d.stop()
    await d.start({ join: [a] })
    await cluster.settled(four)
    assert.equal(await receiptsOf(b, d), receipts, 'receipts outlast a restart')

    const before = await held(three)
    const leave = await planOf(b, 'leave', d.info.storeId.slice(0, 12))
    const remove = await planOf(b, 'remove', d.info.storeId)
    assert.equal(remove.moved, leave.moved)
    assert.is(remove.short.meanwhile, leave.moved.slots)
    assert.is((await ringd(['leave', '--data', d.data])).code, 0)
    await cluster.settled(three)
    const after = await held(three)
    const gained = (what: 'keys' | 'bytes') => after.reduce((sum, one, at) => sum + one[what] - before[at]![what], 0)
    assert.is(leave.moved.entries, gained('keys'))
    assert.is(leave.moved.bytes, gained('bytes'))
    three.forEach((daemon, at) => {
      const { receives } = leave.members.find(({ storeId }) => storeId === daemon.info.storeId)!
      assert.is(receives.entries, after[at]!.keys - before[at]!.keys, daemon.name)
    })
  })
)

plans(
  'words and refusals of the command',
  withCluster(async (cluster) => {
    const alone = await cluster.daemon('a').start({ flags: ['--zone', 'left'] })
    const { storeId } = alone.info
    const words = await ringd(['plan', 'join', '--zone', 'right', '--tokens', '32', '--data', alone.data])
    assert.is(words.code, 0, words.stderr)
    assert.match(words.stdout, /^plan {6}join of a new member with 32 tokens; view 1, .* nothing was changed$/m)
    assert.match(words.stdout, /^time {6}unknown/m)
    assert.match(words.stdout, /^new {7}right +0\.5 /m)
    assert.match(words.stdout, /^left +1 +1 /m)
    const refused: [string[], RegExp][] = [
      [['plan', 'leave', storeId], /only member.*\(TOO_FEW_MEMBERS\)/],
      [['plan', 'remove', 'abcdef01'], /there is no such member.*\(BAD_REQUEST\)/],
      [['plan', 'join', '--weight', '1', '--tokens', '64'], /not both.*\(BAD_REQUEST\)/],
      [['plan', 'join', '--weight', '17'], /at most 16/],
      [['plan', 'join', '--zone', 'x', '--zone', 'y'], /given twice/]
    ]
    for (const [argv, says] of refused) {
      const { code, stderr } = await ringd([...argv, '--data', alone.data])
      assert.is(code, 2, stderr)
      assert.match(stderr, says)
    }
    const { stdout } = await ringd(['plan', '--help'])
    assert.match(stdout, /changes nothing/)
  })
)

plans.run()
