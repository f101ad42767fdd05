// Transfers and the migration actor around them: what comes over, what is refused, and what is tried again.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MembershipMessage } from '../../lib/actors/membership/membership-messages.js'
import { Migration, type MigrationMessage } from '../../lib/actors/migration/migration.js'
import { runTransfer, type TransferOptions, type TransferReport } from '../../lib/actors/migration/transfer.js'
import { BlockWriter } from '../../lib/entry/block.js'
import { dataKey } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import type { Body } from '../../lib/network/network.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { spawn } from '../../lib/runtime/actor.js'
import { stored } from '../sim/harness/replica-harness.js'
import { config, type HandMade, idOf, ringView } from '../sim/harness/ring-views.js'
import { TransferHarness } from '../sim/harness/transfer-harness.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('migration')
const limits = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }
const KEYS = Array.from({ length: 50 }, (_, number) => `key-${number}`)
const WINDOW = [config(1, 'abc'), config(2, 'abd')]

type Picture = Omit<HandMade, 'self'>

async function harness(letters: string, picture: Picture): Promise<TransferHarness> {
  const made = new TransferHarness(letters)
  for (const replica of made.storages.values()) replica.view(picture)
  await made.clock.settle()
  return made
}

/** From `b` to `d`; the report, or the code of the error. */
async function transfer(
  world: TransferHarness,
  options: Partial<TransferOptions> = {}
): Promise<TransferReport | string> {
  const { clock, network } = world
  const deps = { clock, log: silent, network, replica: world.replica('d').ref }
  const ranges = [{ first: 0, last: SLOTS - 1 }]
  const whole = { member: idOf('b'), mustBeReady: false, versionsFirst: false, limits }
  const base = { source: 'peer-b', view: 2, config: 2, ranges, ...whole }
  let outcome: TransferReport | string | undefined
  runTransfer(deps, { ...base, isCancelled: () => false, ...options }).then(
    (report) => {
      outcome = report
    },
    (thrown: RingdError) => {
      outcome = thrown.code
    }
  )
  assert.ok(await clock.runUntil(() => outcome !== undefined, 60_000))
  return outcome!
}

test('a transfer brings everything, in blocks', async () => {
  const world = await harness('bd', { number: 2, window: WINDOW })
  await world.fill('b', KEYS, 1, 'x'.repeat(50_000))
  const report = (await transfer(world)) as TransferReport
  assert.equal([report.seen, report.entries, report.damaged], [50, 50, 0])
  assert.equal(world.takeAsked(), ['b pull', 'b pull', 'b pull'])
  for (const key of KEYS) assert.ok(world.replica('d').stored(key))
})

test('comparing versions first, only what is missing or older comes over', async () => {
  const world = await harness('bd', { number: 2, window: WINDOW })
  await world.fill('b', KEYS, 5, 'new'.repeat(1000))
  await world.fill('d', KEYS.slice(0, 40), 5, 'new'.repeat(1000))
  await world.fill('d', KEYS.slice(40, 44), 4, 'old')
  await world.fill('d', KEYS.slice(44, 47), 6, 'newer')
  const report = (await transfer(world, { versionsFirst: true })) as TransferReport
  assert.equal([report.seen, report.entries], [50, 4 + 3])
  assert.ok(report.bytes < 8 * 3200, `${report.bytes} bytes`)
  assert.equal(world.takeAsked(), ['b versions', 'b fetch'])
  assert.equal(world.replica('d').stored('key-45'), world.replica('d').envelope('key-45', 6, 'newer'))
})

test('an empty source has nothing, and says so', async () => {
  const world = await harness('bd', { number: 2, window: WINDOW })
  assert.equal(await transfer(world), { seen: 0, entries: 0, bytes: 0, damaged: 0 })
  assert.equal(await transfer(world, { versionsFirst: true }), { seen: 0, entries: 0, bytes: 0, damaged: 0 })
})

test('wrong checksums, nonsense and entries in wrong slots are refused, and nothing of them is kept', async () => {
  const foreign = (): Body => {
    const writer = new BlockWriter(1000)
    const key = Buffer.from('key-0')
    writer.add(dataKey((slotOf(key) + 1) % SLOTS, key), world.replica('b').envelope('key-0', 1))
    return { pullBlock: { ...writer.finish(), last: true, ready: true, closing: [], closed: [] } }
  }
  const world = await harness('bd', { number: 2, window: WINDOW })
  await world.fill('b', KEYS, 1, 'value')
  const cases: [string, (answer: Body) => Body | RingdError][] = [
    ['BAD_ENTRY', ({ pullBlock }) => ({ pullBlock: { ...pullBlock!, crc: pullBlock!.crc ^ 1 } })],
    ['BAD_MESSAGE', foreign],
    ['BAD_MESSAGE', () => ({ done: {} })],
    [
      'BAD_MESSAGE',
      () => ({ pullBlock: { block: new Uint8Array(0), crc: 0, last: false, ready: true, closing: [], closed: [] } })
    ],
    ['UNREACHABLE', () => new RingdError('UNREACHABLE')]
  ]
  for (const [code, tamper] of cases) {
    world.tamper = tamper
    assert.is(await transfer(world), code)
    assert.is(world.replica('d').slotStats.totals.entries, 0)
  }
})

test('entries outside the ranges that were asked for are refused', async () => {
  const world = await harness('bd', { number: 2, window: WINDOW })
  await world.fill('b', ['key-0', 'key-1'], 1, 'value')
  const slot = slotOf(Buffer.from('key-0'))
  world.tamper = ({ pullBlock }) => ({ pullBlock: { ...pullBlock!, ...blockOf(world, 'key-1') } })
  assert.is(await transfer(world, { ranges: [{ first: slot, last: slot }] }), 'BAD_MESSAGE')
})

test('a copy is refused by a source that is not ready itself', async () => {
  const world = await harness('bd', { number: 2, window: WINDOW, ready: { b: 1 } })
  assert.is(await transfer(world, { mustBeReady: true }), 'NOT_OWNER')
})

test('a transfer that is not wanted any more ends between two blocks', async () => {
  const world = await harness('bd', { number: 2, window: WINDOW })
  await world.fill('b', KEYS, 1, 'x'.repeat(50_000))
  assert.is(await transfer(world, { isCancelled: () => world.asked.length >= 2 }), 'STOPPED')
  assert.is(world.asked.length, 2)
  assert.ok(world.replica('d').slotStats.totals.entries >= 20, 'what came stays')
})

test('a transfer that failed in the middle fetches only the rest when it is begun again', async () => {
  const world = await harness('bd', { number: 2, window: WINDOW })
  await world.fill('b', KEYS, 1, 'x'.repeat(50_000))
  world.tamper = (answer, _to, count) => (count === 2 ? new RingdError('UNREACHABLE') : answer)
  assert.is(await transfer(world), 'UNREACHABLE')
  const before = world.replica('d').slotStats.totals.entries
  world.tamper = (answer) => answer
  const report = (await transfer(world, { versionsFirst: true })) as TransferReport
  assert.is(report.entries, 50 - before)
})

// ---- the actor ----

interface Moving {
  readonly world: TransferHarness
  /** Told ready: config and how many slots. */
  readonly ready: string[]
  readonly view: (picture: Picture) => void
  readonly stop: () => Promise<void>
}

/** The migration actor of member `d` on `world`. */
async function migration(letters: string, picture: Picture): Promise<Moving> {
  const world = await harness(letters, picture)
  const { clock, network } = world
  const ready: string[] = []
  const signal = (message: MembershipMessage) => {
    if (message.type === 'ready') ready.push(`${message.config}: ${message.slots.length}`)
  }
  const membership = { isOver: false, tell: () => true, signal }
  const base = { clock, log: silent, metrics: noMetrics, network, random: seeded(1) }
  const replica = world.replica('d').ref
  const actor = spawn<MigrationMessage>(
    base,
    'migration',
    (self) => new Migration({ ...base, replica, membership, learned: () => {}, self }, { limits }),
    {
      onCrash: (error) => {
        throw error
      }
    }
  )
  const view = (next: Picture) => actor.signal({ type: 'view', view: ringView({ ...next, self: 'd' }) })
  return { world, ready, view, stop: () => actor.stop() }
}

const GROWING = { number: 2, window: [config(1, 'abc'), config(2, 'bcd')] }
const WHOLE = '2: 16384'

function total(ready: readonly string[]): number {
  return ready.reduce((sum, told) => sum + Number(told.split(': ')[1]), 0)
}

test('a joiner merges as many owners of the config before as meet every quorum, then is ready', async () => {
  const { world, ready, view } = await migration('abcd', GROWING)
  await world.fill('a', KEYS.slice(0, 20), 1, 'a')
  await world.fill('b', KEYS.slice(10, 40), 2, 'b')
  await world.fill('c', KEYS, 3, 'c')
  view(GROWING)
  assert.ok(await world.clock.runUntil(() => total(ready) === SLOTS, 10_000))
  assert.is(new Set(ready.map((told) => told.split(':')[0])).size, 1)
  const sources = new Set(world.asked.map((asked) => asked[0]))
  assert.is(sources.size >= 2, true)
  assert.ok(world.replica('d').slotStats.totals.entries >= 40)
})

test('one owner that is ready is enough; nothing is ready while it says that it is not', async () => {
  const picture = { number: 2, window: [config(2, 'bcd')], ready: { c: 2 } }
  const { world, ready, view } = await migration('bcd', { ...picture, ready: { c: 1 } })
  view(picture)
  await world.clock.advance(2000)
  assert.is(total(ready), 0)
  const tries = world.takeAsked().length
  assert.ok(tries < 16 * 10, `${tries} requests in two seconds: a refusal is waited out`)
})

test('readiness is not announced for a config that nobody honours any more by then', async () => {
  for (const next of [undefined, { number: 3, window: [config(3, 'abc')] }]) {
    // Its own data is enough, so it is ready at once; it tells so a moment later.
    const growing = { number: 2, window: [config(1, 'd'), config(2, 'bd')] }
    const { world, ready, view } = await migration('bd', growing)
    view(growing)
    await world.clock.settle()
    if (next !== undefined) view(next)
    await world.clock.advance(1000)
    assert.is(total(ready), next === undefined ? SLOTS : 0)
  }
})

test('a source that dies is replaced by another', async () => {
  const { world, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'abc') await world.fill(letter, KEYS, 1, 'value')
  world.tamper = (answer, to, count) => {
    if (to !== 'b' || count < 3) return answer
    world.unlinked.add('b')
    return new RingdError('UNREACHABLE')
  }
  view(GROWING)
  assert.ok(await world.clock.runUntil(() => total(ready) === SLOTS, 20_000))
  for (const key of KEYS) assert.ok(world.replica('d').stored(key))
})

test('with too few sources it waits, and goes on when there are enough', async () => {
  const { world, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'bc') world.unlinked.add(letter)
  view(GROWING)
  await world.clock.advance(3000)
  assert.equal([ready.length, world.asked.length], [0, 0])
  world.unlinked.clear()
  assert.ok(await world.clock.runUntil(() => total(ready) === SLOTS, 10_000))
})

test('a window that changes drops the job, and the new one is pulled for', async () => {
  const { world, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'abc') await world.fill(letter, KEYS, 1, 'x'.repeat(50_000))
  view(GROWING)
  await world.clock.advance(3)
  const next = { number: 3, window: [...GROWING.window, config(3, 'acd')] }
  for (const replica of world.storages.values()) replica.view(next)
  view(next)
  const forThree = () => total(ready.filter((told) => told.startsWith('3: ')))
  assert.ok(await world.clock.runUntil(() => forThree() === SLOTS, 20_000))
})

test('an owner of all configs before needs nobody when one copy was enough for their quorums', async () => {
  const picture = { number: 2, window: [config(1, 'd'), config(2, 'bcd')] }
  const { world, ready, view } = await migration('bcd', picture)
  view(picture)
  await world.clock.advance(100)
  assert.equal([ready, world.asked], [[WHOLE], []])
})

test('who is ready already pulls nothing, and a member that left does not either', async () => {
  const { world, ready, view, stop } = await migration('bcd', GROWING)
  view({ ...GROWING, ready: { d: 2 } })
  await world.clock.advance(1000)
  view({ number: 2, window: [config(1, 'abc')] })
  await world.clock.advance(1000)
  assert.equal([ready, world.asked], [[], []])
  const stopped = stop()
  await world.clock.advance(1000)
  await stopped
})

function blockOf(world: TransferHarness, key: string): { block: Uint8Array; crc: number } {
  const writer = new BlockWriter(1000)
  writer.add(stored(key), world.replica('b').envelope(key, 1))
  return writer.finish()
}

test.run()
