// Whole nodes that tell what every slot holds: all peers tell the same, and an owner that does not answer is replaced
// by another one.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LoadReport } from '../../lib/client/reports.js'
import { slotOf } from '../../lib/ring/slots.js'
import { message, Steering } from '../sim/seams/steering.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node load')
const KEYS = Array.from({ length: 60 }, (_, at) => `key-${at}`)
const NO_ARGUMENT = new Uint8Array(0)

async function filled(seed: number, members: number): Promise<SimRing> {
  const ring = new SimRing(seed)
  await ring.startAll(names(members), { repairEveryMs: 0 })
  await ring.untilWhole(members, 60_000)
  for (const key of KEYS) await ring.wait(ring.node('n0').put(key, `value of ${key}`))
  await ring.clock.advance(1000)
  return ring
}

function loadAt(ring: SimRing, name: string): Promise<LoadReport> {
  return ring.wait(ring.node(name).node.report('load', NO_ARGUMENT)) as Promise<LoadReport>
}

function sum(list: readonly (number | null)[]): number {
  return list.reduce<number>((all, one) => all + (one ?? 0), 0)
}

test('every peer tells the same of each slot, and all entries once', async () => {
  const ring = await filled(11, 5)
  const reports = []
  for (const name of names(5)) reports.push(await loadAt(ring, name))
  const [first] = reports as [LoadReport]
  assert.is(sum(first.entries), KEYS.length)
  for (const key of KEYS) assert.ok(first.entries[slotOf(Buffer.from(key))]! > 0, key)
  for (const { view, digest, entries, bytes, failures, moving } of reports) {
    assert.equal([view, digest, failures, moving], [first.view, first.digest, [], 0])
    assert.equal(entries, first.entries)
    assert.equal(bytes, first.bytes)
  }
  const stored = ring.running.reduce((all, { node }) => all + node.totals.bytes, 0)
  assert.is(sum(first.bytes) * 3, stored, 'three copies of each entry')
  ring.close()
})

test('another owner tells of the slots of one that does not answer', async () => {
  const ring = await filled(12, 4)
  const whole = await loadAt(ring, 'n0')
  const steering = new Steering(ring.hub)
  const lost = steering.lose(message('tally', undefined, ['n2']))
  const report = await loadAt(ring, 'n0')
  lost.release()
  assert.equal(report.failures, [{ storeId: ring.node('n2').node.storeId, error: 'TIMEOUT' }])
  assert.equal(report.entries, whole.entries)
  assert.equal(report.bytes, whole.bytes)
  ring.close()
})

test('slots of which no owner answers are unknown, and the report comes within ten seconds', async () => {
  const ring = await filled(13, 4)
  const steering = new Steering(ring.hub)
  steering.lose(message('tally'))
  const began = ring.clock.elapsed()
  const [one, other] = await Promise.all([loadAt(ring, 'n0'), ring.node('n0').node.report('load', NO_ARGUMENT)])
  assert.is(one, other, 'it is gathered once for all that ask')
  assert.ok(ring.clock.elapsed() - began < 10_000)
  const unknown = one.entries.filter((count) => count === null).length
  const { view, storeId } = ring.node('n0').node
  const own = view!.configs.windows.filter((window) => window.at(-1)!.owners.includes(storeId)).length
  assert.ok(unknown > 0 && unknown <= 16384 - own, `${unknown} unknown, ${own} owned here`)
  ring.close()
})

test('a member tells nothing of slots that it does not own, nor under an older view', async () => {
  const ring = await filled(14, 4)
  const { view, storeId } = ring.node('n1').node
  const target = ring.node('n1').network.peerId
  const foreign = view!.configs.windows.findIndex((window) => !window.at(-1)!.owners.includes(storeId))
  const ask = (number: number, slot: number) =>
    ring.wait(
      new Promise<unknown>((resolve) => {
        const body = { tally: { view: number, ranges: [{ first: slot, last: slot }] } }
        ring.node('n0').network.request(target, 'bulk', body, 3000, resolve)
      })
    ) as Promise<{ readonly code?: string; readonly refusal?: { readonly code: string } }>
  const codeOf = async (number: number, slot: number) => {
    const answer = await ask(number, slot)
    return answer.code ?? answer.refusal?.code
  }
  assert.is(await codeOf(view!.number, foreign), 'NOT_OWNER')
  const newest = view!.configs.windows.findIndex((window) => window.at(-1)!.begin > 1)
  assert.is(await codeOf(1, newest), 'STALE_VIEW')
  ring.close()
})

test.run()
