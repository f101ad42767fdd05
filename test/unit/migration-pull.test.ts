// Pulls and the migration actor: which entries arrive, which are refused, and what is retried.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MembershipMessage } from '../../lib/actors/membership/membership-messages.js'
import { Migration, type MigrationMessage } from '../../lib/actors/migration/migration.js'
import { WINDOW_BYTES } from '../../lib/actors/migration/pull-frames.js'
import { PullStreams } from '../../lib/actors/migration/pull-streams.js'
import { pullSlots, type SlotPullOptions, type SlotPullReport } from '../../lib/actors/migration/slot-pull.js'
import { BlockWriter } from '../../lib/entry/block.js'
import { dataKey } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import { BLOCK_BODY_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { spawn } from '../../lib/runtime/actor.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { config, type HandMade, idOf, ringView } from '../sim/harness/ring-views.js'
import { type SentFrame, TransferHarness } from '../sim/harness/transfer-harness.js'
import { lonelyTransfers } from '../sim/harness/transfers.js'
import { syncCompression } from '../sim/seams/sync-compression.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('migration')
const limits = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }
const KEYS = Array.from({ length: 50 }, (_, number) => `key-${number}`)
const NOTHING: SlotPullReport = { entries: 0, bytes: 0, listed: 0, oversized: 0, due: [] }
const WINDOW = [config(1, 'abc'), config(2, 'abd')]

type Picture = Omit<HandMade, 'self'>

async function harness(letters: string, picture: Picture): Promise<TransferHarness> {
  const made = new TransferHarness(letters)
  for (const replica of made.replicas.values()) replica.view(picture)
  await made.clock.settle()
  return made
}

/** Pulls all slots from `b` to `d`. Returns its report, or the code of its error. */
async function pull(peers: TransferHarness, options: Partial<SlotPullOptions> = {}): Promise<SlotPullReport | string> {
  const { clock, network, compression } = peers
  const replica = peers.replica('d').ref
  const streams = new PullStreams({ clock, network, compression })
  const peerIds = new Map(Array.from('abcd', (letter) => [idOf(letter), `peer-${letter}`]))
  const deps = { clock, replica, streamTo: (source: string) => streams.to(source, peerIds) }
  const slots = Array.from({ length: SLOTS }, (_, slot) => slot)
  const base = { sources: [idOf('b')], view: 2, config: 2, slots, mustBeReady: false, limits }
  let outcome: SlotPullReport | string | undefined
  replica.tell({ type: 'watch', slots, reply: () => {} })
  pullSlots(deps, { ...base, isCancelled: () => false, ...options }).then(
    (report) => {
      outcome = report
    },
    (thrown: RingdError) => {
      outcome = thrown.code
    }
  )
  assert.ok(await clock.runUntil(() => outcome !== undefined, 60_000))
  streams.end(new RingdError('STOPPED'))
  await clock.advance(10)
  return outcome!
}

test('a pull into empty slots copies every entry, and asks for nothing else', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'x'.repeat(50_000))
  const report = (await pull(peers)) as SlotPullReport
  assert.equal([report.entries, report.listed], [50, 0])
  assert.equal(peers.takeAsked(), ['b promises', 'b entries'])
  for (const key of KEYS) assert.ok(peers.replica('d').stored(key))
  assert.equal(sumsOf(peers, 'd'), sumsOf(peers, 'b'))
  assert.is(peers.replica('d').slotStats.totals.entries, 50)
})

test('where something is stored, sums are compared, then versions; only what is missing or older comes', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  const keys = Array.from({ length: 10 }, (_, number) => `{one slot}-${number}`)
  await peers.fill('b', [...KEYS, ...keys], 5, 'new'.repeat(1000))
  await peers.fill('d', KEYS, 5, 'new'.repeat(1000))
  await peers.fill('d', keys.slice(0, 4), 5, 'new'.repeat(1000))
  await peers.fill('d', keys.slice(4, 6), 4, 'old')
  await peers.fill('d', keys.slice(6, 8), 6, 'newer')
  const slots = [...new Set([...KEYS, ...keys].map((key) => slotOf(Buffer.from(key))))].sort((a, b) => a - b)
  const report = (await pull(peers, { slots })) as SlotPullReport
  assert.equal([report.listed, report.entries], [10, 2 + 2])
  assert.equal(peers.takeAsked(), ['b promises', 'b sums', 'b versions', 'b keys'])
  assert.equal(peers.replica('d').stored('{one slot}-6'), peers.replica('d').envelope('{one slot}-6', 6, 'newer'))
})

test('where little is stored, all entries of the slot come', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  const keys = Array.from({ length: 10 }, (_, number) => `{one slot}-${number}`)
  await peers.fill('b', keys, 5, 'new')
  await peers.fill('d', keys.slice(0, 1), 6, 'newer')
  const report = (await pull(peers, { slots: [slotOf(Buffer.from(keys[0]!))] })) as SlotPullReport
  assert.equal([report.listed, report.entries], [0, 10])
  assert.equal(peers.replica('d').stored(keys[0]!), peers.replica('d').envelope(keys[0]!, 6, 'newer'))
  assert.is(peers.replica('d').slotStats.totals.entries, 10)
})

test('entries that clients write while a pull runs are kept when they are newer, and counted once', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 5, 'x'.repeat(20_000))
  const replica = peers.replica('d')
  peers.tamper = (frame, _to, count) => {
    if (count === 2) for (const key of KEYS.slice(0, 10)) write(peers, key, 7, 'newer')
    if (count === 3) for (const key of KEYS.slice(10, 20)) write(peers, key, 4, 'older')
    return frame
  }
  assert.is(((await pull(peers)) as SlotPullReport).entries, 50)
  for (const key of KEYS.slice(0, 10)) assert.equal(replica.stored(key), replica.envelope(key, 7, 'newer'))
  for (const key of KEYS.slice(10)) assert.equal(replica.stored(key), replica.envelope(key, 5, 'x'.repeat(20_000)))
  const counted = replica.slotStats.sums.encode(ALL_SLOTS)
  await replica.slotStats.countAll(new GuardedStore(replica.disk))
  assert.equal(replica.slotStats.sums.encode(ALL_SLOTS), counted)
})

test('a second source is compared, and sends only what the first one lacked', async () => {
  const peers = await harness('bcd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 5, 'x'.repeat(10_000))
  await peers.fill('c', KEYS, 5, 'x'.repeat(10_000))
  await peers.fill('c', ['key-7'], 6, 'newer')
  const report = (await pull(peers, { sources: [idOf('b'), idOf('c')] })) as SlotPullReport
  assert.equal([report.listed, report.entries], [1, 51])
  assert.equal(peers.takeAsked(), ['b promises', 'b entries', 'c promises', 'c sums', 'c versions', 'c keys'])
  assert.equal(peers.replica('d').stored('key-7'), peers.replica('d').envelope('key-7', 6, 'newer'))
})

test('a pull from an empty source brings nothing', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  assert.equal(await pull(peers), NOTHING)
})

test('what a source may not send ends the pull, and nothing of it is merged', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  // Each byte of a part is the byte of an entry.
  peers.compression = { ...syncCompression, compress: async (bytes) => bytes }
  await peers.fill('b', KEYS, 1, 'value')
  const foreign = () => {
    const writer = new BlockWriter(1000)
    const key = Buffer.from('key-0')
    writer.add(dataKey((slotOf(key) + 1) % SLOTS, key), peers.replica('b').envelope('key-0', 1))
    return writer.take().block
  }
  const part = (change: (frame: SentFrame) => SentFrame | RingdError) => (frame: SentFrame) =>
    frame.head.part === undefined ? frame : change(frame)
  const garbled = ({ head, body }: SentFrame) => {
    const copy = Buffer.from(body)
    copy[copy.length - 1]! ^= 1
    return { head, body: copy }
  }
  const cases: [string, (frame: SentFrame) => SentFrame | RingdError][] = [
    ['BAD_ENTRY', part(garbled)],
    ['BAD_MESSAGE', part(({ head }) => ({ head: { part: { ...head.part!, entries: 1 } }, body: foreign() }))],
    ['BAD_MESSAGE', part(({ head, body }) => ({ head: { part: { ...head.part!, entries: 49 } }, body }))],
    ['BAD_MESSAGE', part(({ head, body }) => ({ head, body: body.subarray(0, body.length - 1) }))],
    ['BAD_MESSAGE', part(({ head, body }) => ({ head, body: Buffer.concat([body, body]) }))],
    ['BAD_MESSAGE', part(({ head, body }) => ({ head: { part: { ...head.part!, ask: 9 } }, body }))],
    ['BAD_MESSAGE', ({ body }) => ({ head: { credit: { bytes: 5 } }, body })],
    ['UNREACHABLE', () => new RingdError('UNREACHABLE')]
  ]
  for (const [code, tamper] of cases) {
    peers.tamper = tamper
    assert.is(await pull(peers), code)
    assert.is(peers.replica('d').slotStats.totals.entries, 0)
  }
  peers.tamper = ({ head, body }) => ({ head: head.end ? { end: { ...head.end, checksum: 1 } } : head, body })
  assert.is(await pull(peers), 'BAD_MESSAGE')
})

test('parts cross the wire compressed where that is worth it', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'x'.repeat(50_000))
  const report = (await pull(peers)) as SlotPullReport
  assert.is(report.entries, 50)
  assert.ok(report.bytes > 2_500_000 && report.bytes === peers.partBytes, `${report.bytes} bytes`)
  assert.ok(peers.wireBytes < 25_000, `${peers.wireBytes} bytes on the wire`)
  assert.equal(sumsOf(peers, 'd'), sumsOf(peers, 'b'))
})

test('a compressed part that is damaged or too long ends the pull, and nothing of it is merged', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'x'.repeat(1000))
  const cases: ((holds: number, body: Uint8Array) => [holds: number, body: Uint8Array])[] = [
    (holds, body) => [holds + 1, body],
    (holds, body) => [holds - 1, body],
    (holds, body) => [holds, body.subarray(0, body.length - 1)],
    (holds) => [holds, Buffer.from('no compressed bytes')],
    (holds) => [holds, new Uint8Array(holds)],
    (_, body) => [0, body],
    (_, body) => [BLOCK_BODY_BYTES_MAX + 1, body],
    (_, body) => [0xffffffff, body]
  ]
  for (const [number, change] of cases.entries()) {
    peers.tamper = ({ head, body }) => {
      if (head.part === undefined) return { head, body }
      const [holds, changed] = change(head.part.holds, body)
      return { head: { part: { ...head.part, holds } }, body: changed }
    }
    assert.is(await pull(peers), 'BAD_MESSAGE', `case ${number}`)
    assert.is(peers.replica('d').slotStats.totals.entries, 0)
  }
})

test('an entry that is longer than allowed is left out, and the rest of its slot is taken', async () => {
  const long = 'k'.repeat(KEY_BYTES_MAX + 1)
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', [...KEYS, long], 1, 'value')
  const report = (await pull(peers)) as SlotPullReport
  assert.equal([report.oversized, peers.replica('d').slotStats.totals.entries], [1, KEYS.length])
  assert.is(peers.replica('d').stored(long), undefined)
})

test('an entry or a purge bound from the future fails the pull, and nothing of it is stored', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'value')
  await peers.fill('b', ['key-7'], 3_600_000, 'tomorrow')
  assert.is(await pull(peers), 'CLOCK_SKEW')
  assert.is(peers.replica('d').stored('key-7'), undefined)
  const value = Math.floor(peers.clock.now() / 1000) + 3600
  for (const bound of ['closing', 'closed'] as const) {
    const runs = { closing: [], closed: [], [bound]: [{ first: 3, last: 5, value }] }
    peers.tamper = ({ head, body }) => ({ head: head.begin ? { begin: { ...head.begin, ...runs } } : head, body })
    assert.is(await pull(peers), 'CLOCK_SKEW')
    assert.equal([...peers.replica('d').bounds[bound].subarray(3, 6)], [0, 0, 0])
  }
})

test('a source that is not ready refuses to be copied', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW, ready: { b: 1 } })
  assert.is(await pull(peers, { mustBeReady: true }), 'NOT_OWNER')
})

test('a cancelled pull ends between two parts, and what came stays', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'x'.repeat(50_000))
  const { slotStats } = peers.replica('d')
  assert.is(await pull(peers, { isCancelled: () => slotStats.totals.entries > 0 }), 'STOPPED')
  const { entries } = slotStats.totals
  assert.ok(entries > 0 && entries < 50, `${entries} entries`)
})

test('a pull that is repeated after a failure fetches only the rest', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'x'.repeat(50_000))
  peers.tamper = (frame, _to, count) => (count === 5 ? new RingdError('UNREACHABLE') : frame)
  assert.is(await pull(peers), 'UNREACHABLE')
  const before = peers.replica('d').slotStats.totals.entries
  assert.ok(before > 0 && before < 50, `${before} entries`)
  peers.tamper = (frame) => frame
  const report = (await pull(peers)) as SlotPullReport
  assert.is(report.entries, 50 - before)
  assert.equal(sumsOf(peers, 'd'), sumsOf(peers, 'b'))
})

test('no more bytes are under way than the window, however slow the disk is', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  const keys = Array.from({ length: 400 }, (_, number) => `key-${number}`)
  await peers.fill('b', keys, 1, 'x'.repeat(50_000))
  const { disk } = peers.replica('d')
  let before = 0
  disk.hold()
  peers.clock.after(10_000, () => {
    before = peers.partBytes
    disk.release()
  })
  assert.is(((await pull(peers)) as SlotPullReport).entries, 400)
  assert.ok(before > WINDOW_BYTES / 2 && before <= WINDOW_BYTES, `${before} bytes`)
})

const ALL_SLOTS = Array.from({ length: SLOTS }, (_, slot) => slot)

function sumsOf(peers: TransferHarness, letter: string): Uint8Array {
  return peers.replica(letter).slotStats.sums.encode(ALL_SLOTS)
}

function write(peers: TransferHarness, key: string, ms: number, value: string): void {
  const replica = peers.replica('d')
  const envelope = replica.envelope(key, ms, value)
  replica.ref.tell({ type: 'write', view: 2, from: undefined, key: Buffer.from(key), envelope, reply: () => {} })
}

// ---- the actor ----

interface Moving {
  readonly peers: TransferHarness
  /** Announcements of the actor: config and number of ready slots. */
  readonly ready: string[]
  readonly view: (picture: Picture) => void
  readonly stop: () => Promise<void>
}

/** Starts the migration actor of member `d`, joined to its peers by the harness. */
async function migration(letters: string, picture: Picture): Promise<Moving> {
  const peers = await harness(letters, picture)
  const { clock, network } = peers
  const ready: string[] = []
  const signal = (message: MembershipMessage) => {
    if (message.type === 'ready') ready.push(`${message.config}: ${message.slots.length}`)
  }
  const membership = { isOver: false, tell: () => true, signal }
  const base = { clock, log: silent, metrics: noMetrics, network, compression: syncCompression, random: seeded(1) }
  const replica = peers.replica('d').ref
  const transfers = lonelyTransfers(clock)
  const actor = spawn<MigrationMessage>(
    base,
    'migration',
    (self) => new Migration({ ...base, replica, membership, transfers, learned: () => {}, self }, { limits }),
    {
      onCrash: (error) => {
        throw error
      }
    }
  )
  const view = (next: Picture) => actor.signal({ type: 'view', view: ringView({ ...next, self: 'd' }) })
  return { peers, ready, view, stop: () => actor.stop() }
}

const GROWING = { number: 2, window: [config(1, 'abc'), config(2, 'bcd')] }
const WHOLE = '2: 16384'

function total(ready: readonly string[]): number {
  return ready.reduce((sum, told) => sum + Number(told.split(': ')[1]), 0)
}

test('a joiner merges enough owners of the config before to meet every quorum, then it is ready', async () => {
  const { peers, ready, view } = await migration('abcd', GROWING)
  await peers.fill('a', KEYS.slice(0, 20), 1, 'a')
  await peers.fill('b', KEYS.slice(10, 40), 2, 'b')
  await peers.fill('c', KEYS, 3, 'c')
  view(GROWING)
  assert.ok(await peers.clock.runUntil(() => total(ready) === SLOTS, 10_000))
  assert.is(new Set(ready.map((told) => told.split(':')[0])).size, 1)
  const sources = new Set(peers.asked.map((asked) => asked[0]))
  assert.is(sources.size >= 2, true)
  assert.ok(peers.replica('d').slotStats.totals.entries >= 40)
})

test('one ready owner is enough, and nothing is ready while that owner denies it', async () => {
  const picture = { number: 2, window: [config(2, 'bcd')], ready: { c: 2 } }
  const { peers, ready, view } = await migration('bcd', { ...picture, ready: { c: 1 } })
  view(picture)
  await peers.clock.advance(2000)
  assert.is(total(ready), 0)
  const tries = peers.takeAsked().length
  assert.ok(tries < 32 * 10, `${tries} asks in two seconds: a refusal is waited out`)
})

test('readiness is not announced for a config that has left the window by then', async () => {
  for (const next of [undefined, { number: 3, window: [config(3, 'abc')] }]) {
    // Its own data is enough, so this member is ready at once. It announces that a moment later.
    const growing = { number: 2, window: [config(1, 'd'), config(2, 'bd')] }
    const { peers, ready, view } = await migration('bd', growing)
    view(growing)
    await peers.clock.settle()
    if (next !== undefined) view(next)
    await peers.clock.advance(1000)
    assert.is(total(ready), next === undefined ? SLOTS : 0)
  }
})

test('a source that dies is replaced by another one', async () => {
  const { peers, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'abc') await peers.fill(letter, KEYS, 1, 'value')
  peers.tamper = (frame, to, count) => {
    if (to !== 'b' || count < 3) return frame
    peers.unlinked.add('b')
    return new RingdError('UNREACHABLE')
  }
  view(GROWING)
  assert.ok(await peers.clock.runUntil(() => total(ready) === SLOTS, 20_000))
  for (const key of KEYS) assert.ok(peers.replica('d').stored(key))
})

test('a member waits while it has too few sources, and continues when it has enough', async () => {
  const { peers, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'bc') peers.unlinked.add(letter)
  view(GROWING)
  await peers.clock.advance(3000)
  assert.equal([ready.length, peers.asked.length], [0, 0])
  peers.unlinked.clear()
  assert.ok(await peers.clock.runUntil(() => total(ready) === SLOTS, 10_000))
})

test('a changed window cancels the job, and a job for the new window starts', async () => {
  const { peers, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'abc') await peers.fill(letter, KEYS, 1, 'x'.repeat(50_000))
  view(GROWING)
  await peers.clock.advance(3)
  const next = { number: 3, window: [...GROWING.window, config(3, 'acd')] }
  for (const replica of peers.replicas.values()) replica.view(next)
  view(next)
  const forThree = () => total(ready.filter((told) => told.startsWith('3: ')))
  assert.ok(await peers.clock.runUntil(() => forThree() === SLOTS, 20_000))
})

test('an owner of all earlier configs needs no source when each of their quorums is one copy', async () => {
  const picture = { number: 2, window: [config(1, 'd'), config(2, 'bcd')] }
  const { peers, ready, view } = await migration('bcd', picture)
  view(picture)
  await peers.clock.advance(300)
  assert.equal([ready, peers.asked], [[WHOLE], []])
})

test('a ready member pulls nothing, and neither does a former member', async () => {
  const { peers, ready, view, stop } = await migration('bcd', GROWING)
  view({ ...GROWING, ready: { d: 2 } })
  await peers.clock.advance(1000)
  view({ number: 2, window: [config(1, 'abc')] })
  await peers.clock.advance(1000)
  assert.equal([ready, peers.asked], [[], []])
  const stopped = stop()
  await peers.clock.advance(1000)
  await stopped
})

test.run()
