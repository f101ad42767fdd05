// Whole nodes that tell of their transfers: every peer tells the same of the whole ring, receipts agree with what has
// moved and outlast a crash, and each transfer says why it was.
// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SlotSums } from '../../lib/anti-entropy/slot-sums.js'
import { encodeTallies, SlotTallies } from '../../lib/anti-entropy/slot-tallies.js'
import { EMPTY_BYTES, fromText } from '../../lib/bytes.js'
import type { StatusReport, TransfersReport } from '../../lib/client/reports.js'
import { asEnvelope } from '../../lib/entry/envelope.js'
import { readU32 } from '../../lib/entry/integers.js'
import { slotScan } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import type { TallyQuestion } from '../../lib/node/owner-tallies.js'
import { gatherSourceSizes } from '../../lib/node/source-sizes.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { Window } from '../../lib/views/configs.js'
import type { RingView } from '../../lib/views/ring-view.js'
import { config, idOf, ringView } from '../sim/harness/ring-views.js'
import { message, Steering } from '../sim/seams/steering.js'
import type { SimNode } from '../sim/sim-node.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node transfers')
const KEYS = Array.from({ length: 120 }, (_, at) => `key-${at}`)
const QUIET = { repairEveryMs: 0, scrubMs: 0 }

async function filled(seed: number, members: number, options = {}): Promise<SimRing> {
  const ring = new SimRing(seed)
  await ring.startAll(names(members), { ...QUIET, ...options })
  await ring.untilWhole(members, 60_000)
  for (const key of KEYS) await ring.wait(ring.node('n0').put(key, `value of ${key}`))
  await ring.clock.advance(1000)
  return ring
}

function transfersAt(ring: SimRing, name: string, argument = ''): Promise<TransfersReport> {
  return ring.wait(ring.node(name).node.report('transfers', fromText(argument))) as Promise<TransfersReport>
}

function statusAt(ring: SimRing, name: string): Promise<StatusReport> {
  return ring.wait(ring.node(name).node.report('status', EMPTY_BYTES)) as Promise<StatusReport>
}

/** Entries on the disk of the node, and the sum of their checksums. */
async function storedAt(ring: SimRing, { store }: SimNode): Promise<{ entries: number; checksum: number }> {
  const scan = store.scan(slotScan(0, SLOTS - 1))
  const pairs = await ring.wait(scan.next(Number.POSITIVE_INFINITY))
  await ring.wait(scan.close())
  const checksum = pairs.reduce((sum, [, envelope]) => (sum + readU32(asEnvelope(envelope), 0)) >>> 0, 0)
  return { entries: pairs.length, checksum }
}

function receiptsOf({ ended }: TransfersReport, to: string) {
  const mine = ended.filter((transfer) => transfer.to === to)
  return {
    entries: mine.reduce((sum, { receipt }) => sum + receipt.entries, 0),
    checksum: mine.reduce((sum, { receipt }) => (sum + receipt.checksum) >>> 0, 0),
    mine
  }
}

test('a join is told while it runs and when it has ended; its receipts add up to what the joiner stores', async () => {
  const ring = await filled(21, 3)
  const steering = new Steering(ring.hub)
  const pulls = steering.hold(message('pull', ['n3']))
  await ring.start('n3', { ...QUIET, join: ring.node('n0').network.addresses() })
  await ring.until(() => pulls.caught.length > 0, 30_000, 'n3 asks for entries')
  await ring.clock.advance(1000)
  const joiner = ring.node('n3').node.storeId
  const meanwhile = await transfersAt(ring, 'n1', 'running')
  const running = meanwhile.running.filter(({ to }) => to === joiner)
  assert.ok(running.length >= 2)
  for (const { why, heldBy, slots, slotsInAll, entries } of running) {
    assert.equal([why, heldBy, slots, entries], ['join', 'source', 0, 0])
    assert.ok(slotsInAll > 0)
  }
  assert.equal([meanwhile.ended, meanwhile.failures], [[], []])
  const { move } = await statusAt(ring, 'n2')
  assert.ok(move.copies > 0 && move.bytes! > 0, JSON.stringify(move))
  assert.is(move.etaS, null, 'nothing has come, so there is no pace')
  pulls.release()
  await ring.untilWhole(4)
  await ring.clock.advance(1000)
  const report = await transfersAt(ring, 'n2')
  const { entries, checksum, mine } = receiptsOf(report, joiner)
  assert.equal({ entries, checksum }, await storedAt(ring, ring.node('n3')))
  assert.ok(entries > KEYS.length / 2)
  for (const { why, state, receipt } of mine) assert.equal([why, state, receipt.rangesLeftOut], ['join', 'done', 0])
  assert.equal([report.running, report.failures, report.move.copies], [[], [], 0])
  assert.equal(await transfersAt(ring, 'n3'), report)
  assert.equal((await statusAt(ring, 'n0')).move, { copies: 0, bytes: 0, etaS: 0, etaMs: 0 })
  ring.kill('n3')
  await ring.start('n3', QUIET)
  await ring.clock.advance(5000)
  const later = await transfersAt(ring, 'n0')
  assert.equal(later.failures, [], 'the joiner answers again')
  assert.equal(receiptsOf(later, joiner).mine, mine, 'a crash loses no receipt')
  ring.close()
})

test('a leave, a removal by an operator, an eviction and a repair are told apart', async () => {
  const ring = await filled(22, 6, { evictAfterMs: 3000 })
  const { node: asker } = ring.node('n0')
  const causesSince = async (view: number) => {
    const { ended } = await transfersAt(ring, 'n0')
    return [...new Set(ended.filter(({ config }) => config > view).map(({ why }) => why))]
  }
  let before = asker.view!.number
  await ring.wait(ring.node('n5').node.leave({ force: false }))
  let hasLeft = false
  void ring.node('n5').node.left.then(() => {
    hasLeft = true
  })
  await ring.until(() => hasLeft, 90_000, 'n5 has left')
  await ring.stop('n5')
  await ring.untilWhole(5)
  assert.equal(await causesSince(before), ['leave'])

  before = asker.view!.number
  const removed = ring.node('n4').node.storeId
  ring.kill('n4')
  await ring.clock.advance(1000)
  await ring.wait(asker.remove(removed, { force: false }))
  await ring.until(() => ring.agrees(4), 20_000, 'n4 is removed')
  await ring.untilWhole(4)
  assert.equal(await causesSince(before), ['leave'])

  before = asker.view!.number
  ring.kill('n3')
  await ring.until(() => ring.agrees(3), 60_000, 'n3 is evicted')
  await ring.untilWhole(3)
  await ring.clock.advance(1000)
  assert.equal(await causesSince(before), ['loss'])
  ring.close()
})

test('what repair brings is told with its source', async () => {
  const ring = new SimRing(23)
  await ring.startAll(names(3), { hintBytesMax: 0 })
  await ring.untilWhole(3, 60_000)
  const steering = new Steering(ring.hub)
  const lost = steering.lose(message('write', undefined, ['n2']))
  for (const key of KEYS.slice(0, 20)) await ring.wait(ring.node('n0').put(key, 'new'))
  lost.release()
  const { node } = ring.node('n2')
  await ring.until(() => node.totals.entries === 20, 15_000, 'n2 is repaired')
  await ring.clock.advance(5000)
  const { ended } = await transfersAt(ring, 'n1')
  const repairs = ended.filter(({ to, why }) => to === node.storeId && why === 'repair')
  assert.is(
    repairs.reduce((sum, { receipt }) => sum + receipt.entries, 0),
    20
  )
  for (const { config, state, slots } of repairs) assert.equal([config, state, slots > 0], [0, 'done', true])
  ring.close()
})

test('owners that hold slots are asked for their sizes, in ascending order; what was here before is here', async () => {
  const slots = [7, 3, 5, 1, 2]
  const settled: Window = [config(2, 'abd')]
  const newcomers: Window = [config(1, 'abc'), config(2, 'def')]
  const except = new Map([
    [1, newcomers],
    [2, [config(1, 'bcd'), config(2, 'abd')]]
  ])
  const window = [config(1, 'abc'), config(2, 'abd')]
  const view = ringView({
    number: 2,
    self: 'd',
    window,
    except: new Map([...except, [3, settled]]),
    ready: { d: 1, b: 2 }
  })
  view.readiness.get(idOf('d'))!.fill(0).fill(1, 2, 3)
  const asked: TallyQuestion[] = []
  const askAll = async (_view: RingView, questions: readonly TallyQuestion[]) => {
    asked.push(...questions)
    return questions.map(
      ({ slots: some }) =>
        new SlotTallies(
          some,
          encodeTallies(some, new SlotSums(), (slot) => slot * 10)
        )
    )
  }
  assert.equal(await gatherSourceSizes({ askAll }, view, slots), [70, 30, 50, undefined, 0])
  assert.equal(
    asked.map(({ member, slots: some }) => [member, some]),
    [[idOf('b'), [3, 5, 7]]]
  )
  const refusing = { askAll: async () => [new RingdError('TIMEOUT')] }
  assert.equal(await gatherSourceSizes(refusing, view, [3, 5]), [undefined, undefined])
})

test('a member that does not answer is named, within seconds, and others are told of nevertheless', async () => {
  const ring = await filled(24, 4)
  const steering = new Steering(ring.hub)
  steering.lose(message('askTransfers', undefined, ['n2']))
  const began = ring.clock.elapsed()
  const [one, other] = await Promise.all([
    transfersAt(ring, 'n0'),
    ring.node('n0').node.report('transfers', EMPTY_BYTES)
  ])
  assert.ok(ring.clock.elapsed() - began < 4000)
  assert.is(one, other, 'it is gathered once for all that ask')
  assert.equal(one.failures, [{ storeId: ring.node('n2').node.storeId, error: 'TIMEOUT' }])
  assert.ok(one.ended.length > 0)
  const refused = await ring.wait(
    ring
      .node('n0')
      .node.report('transfers', fromText('all'))
      .catch((thrown) => thrown)
  )
  assert.is(refused.code, 'BAD_REQUEST')
  ring.close()
})

test.run()
