// Both ends of pull streams keep to the pace of their peer, survive a slow one, and leave nothing in it when they end.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CALM_MS, Pace, type Paced } from '../../lib/actors/migration/pace.js'
import { PART_BYTES_MAX } from '../../lib/actors/migration/pull-frames.js'
import { PullStreams } from '../../lib/actors/migration/pull-streams.js'
import { pullSlots, type SlotPullReport } from '../../lib/actors/migration/slot-pull.js'
import { RingdError, toRingdError } from '../../lib/errors.js'
import { KEY_BYTES_MAX, KiB, MiB, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { config, idOf } from '../sim/harness/ring-views.js'
import { TransferHarness } from '../sim/harness/transfer-harness.js'
import { syncCompression } from '../sim/seams/sync-compression.js'

const test = suite('migration: paced streams')

const KEYS = Array.from({ length: 40 }, (_, number) => `key-${number}`)
const SLOTS_OF_ALL = Array.from({ length: SLOTS }, (_, slot) => slot)
const PEER_IDS = new Map(Array.from('abcd', (letter) => [idOf(letter), `peer-${letter}`]))

/** Peer `b` holds 40 entries of 50 KB, and `d` pulls them. */
async function fixture(value = 'x'.repeat(50_000)) {
  const peers = new TransferHarness('bd')
  // What moves is what the entries take.
  peers.compression = { ...syncCompression, compress: async (bytes) => bytes }
  const picture = { number: 2, window: [config(1, 'abc'), config(2, 'abd')] }
  for (const replica of peers.replicas.values()) replica.view(picture)
  await peers.clock.settle()
  await peers.fill('b', KEYS, 1, value)
  const { clock } = peers
  const newPace = () =>
    new Pace({
      clock,
      pulse: { look: () => ({ isActive: false, p99Ms: 0, usualMs: undefined, variesMs: 0 }), moving() {} }
    })
  return { peers, clock, newPace }
}

function startPull(peers: TransferHarness, pace?: Paced) {
  const { clock, network, compression } = peers
  const streams = new PullStreams({ clock, network, compression, pace })
  const replica = peers.replica('d').ref
  const base = { view: 2, config: 2, slots: SLOTS_OF_ALL, mustBeReady: false }
  const limits = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }
  const state: { outcome: SlotPullReport | string | undefined } = { outcome: undefined }
  replica.tell({ type: 'watch', slots: SLOTS_OF_ALL, reply: () => {} })
  pullSlots(
    { clock, replica, streamTo: (source) => streams.to(source, PEER_IDS) },
    { ...base, sources: [idOf('b')], limits, isCancelled: () => false }
  ).then(
    (report) => {
      state.outcome = report
    },
    (thrown) => {
      state.outcome = toRingdError(thrown).code
    }
  )
  return { state, end: () => streams.end(new RingdError('STOPPED')) }
}

const RATE = 200 * KiB
/** 2 MB, less the burst and the last part. */
const LEAST_MS = ((2_000_000 - RATE / 10 - PART_BYTES_MAX) / RATE) * 1000

for (const end of ['puller', 'source'] as const) {
  test(`the limit of the ${end} alone bounds what comes, from the first part on`, async () => {
    const { peers, clock, newPace } = await fixture()
    const pace = newPace()
    pace.limit = RATE
    const paced: Paced = (bytes, ended) => pace.take(bytes, ended)
    if (end === 'source') peers.sourcePace = paced
    const { state } = startPull(peers, end === 'puller' ? paced : undefined)
    const began = clock.elapsed()
    while (state.outcome === undefined && clock.elapsed() - began < 60_000) {
      await clock.advance(100)
      const allowed = ((clock.elapsed() - began) / 1000) * RATE + RATE / 10 + PART_BYTES_MAX
      assert.ok(peers.partBytes <= allowed, `${peers.partBytes} B after ${clock.elapsed() - began} ms`)
    }
    assert.is((state.outcome as SlotPullReport).entries, KEYS.length)
    const tookMs = clock.elapsed() - began
    assert.ok(tookMs >= LEAST_MS && tookMs < LEAST_MS * 1.3, `it took ${tookMs} ms`)
  })
}

test('a puller does not give up a source that waits for its pace for minutes', async () => {
  const { peers, clock, newPace } = await fixture()
  const pace = newPace()
  pace.limit = 64 * KiB
  peers.sourcePace = (bytes, ended) => pace.take(bytes, ended)
  // An entry for somebody else went before.
  void pace.take(10 * MiB)
  const { state } = startPull(peers)
  await clock.advance(155_000)
  assert.is(state.outcome, undefined)
  await clock.advance(60_000)
  assert.is((state.outcome as SlotPullReport | undefined)?.entries, KEYS.length)
})

test('an entry that is larger than the window comes through a slow puller', async () => {
  const { peers, clock, newPace } = await fixture('x')
  await peers.fill('b', ['large'], 1, 'x'.repeat(8 * MiB))
  const pace = newPace()
  pace.limit = 64 * KiB
  const { state } = startPull(peers, (bytes, ended) => pace.take(bytes, ended))
  // Others share the pace: the credit for the window takes more than two minutes.
  const isOver = () => state.outcome !== undefined
  const other = async () => {
    while (!isOver()) await pace.take(PART_BYTES_MAX)
  }
  for (const _ of 'ab') void other()
  await clock.runUntil(isOver, 600_000)
  assert.is((state.outcome as SlotPullReport | undefined)?.entries, KEYS.length + 1)
})

for (const end of ['puller', 'source'] as const) {
  test(`a stream that ends leaves nothing in the pace of its ${end}`, async () => {
    const { peers, clock, newPace } = await fixture()
    const pace = newPace()
    pace.limit = 64 * KiB
    const paced: Paced = (bytes, ended) => pace.take(bytes, ended)
    if (end === 'source') peers.sourcePace = paced
    const pull = startPull(peers, end === 'puller' ? paced : undefined)
    await clock.advance(9000)
    assert.ok(pace.isMoving)
    pull.end()
    await clock.advance(10)
    assert.is(pull.state.outcome, 'STOPPED')
    // What was sent already must be made up for: a part at most.
    const served: string[] = []
    void pace.takeWithinLimit(1).then(() => served.push('next'))
    await clock.advance((PART_BYTES_MAX / (64 * KiB)) * 1000 + 200)
    assert.equal(served, ['next'])
    await clock.advance(CALM_MS + 200)
    assert.not.ok(pace.isMoving)
  })
}

test('a stream without asks takes nothing from the pace', async () => {
  const { peers, clock, newPace } = await fixture('x')
  const pace = newPace()
  pace.limit = 64 * KiB
  let taken = 0
  const { state } = startPull(peers, (bytes, ended) => {
    taken += bytes
    return pace.take(bytes, ended)
  })
  await clock.runUntil(() => state.outcome !== undefined, 60_000)
  assert.is((state.outcome as SlotPullReport | undefined)?.entries, KEYS.length)
  const before = taken
  await clock.advance(60_000)
  assert.is(taken, before)
  assert.not.ok(pace.isMoving)
})

test.run()
