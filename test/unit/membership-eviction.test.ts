// The evictor, the part of membership that evicts dead members: which reports of the detector it believes, and for how
// long.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Evictor } from '../../lib/actors/membership/evictor.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import { emptyRing, learn } from '../../lib/views/ring-state.js'
import { idOf } from '../sim/harness/ring-views.js'

const test = suite('membership: eviction')
const FOUNDING = { ringId: 'ab'.repeat(16), replicas: 3 }
const AFTER_MS = 20_000

function member(letter: string) {
  return { storeId: idOf(letter), peerId: `peer-${letter}`, tokens: [letter.charCodeAt(0)], zone: '', weight: 1 }
}

const change = { number: 1, joins: [...'abcde'].map(member), removals: [], founding: FOUNDING }
const ring = learn(emptyRing(), { ...NO_KNOWLEDGE, changes: [change] })

function start() {
  const evictor = new Evictor({ log: silent, metrics: noMetrics }, { evictAfterMs: AFTER_MS })
  const hear = (at: number, heard: string, down: Readonly<Record<string, number>>) =>
    evictor.hear({
      at,
      heard: new Set([...heard].map(idOf)),
      downSince: new Map(Object.entries(down).map(([letter, since]) => [idOf(letter), since]))
    })
  return { evictor, hear }
}

test('a member is due for eviction once it is down for long enough, from the time when this was first seen', () => {
  const { evictor, hear } = start()
  assert.is(evictor.due(ring, 50_000), undefined, 'nothing was heard yet')
  hear(50_000, 'bcd', { e: 30_001 })
  assert.is(evictor.due(ring, 50_100), undefined)
  hear(50_001, 'bcd', { e: 30_001 })
  assert.equal(evictor.due(ring, 50_200), { member: idOf('e'), from: 50_200 })
  hear(51_000, 'bcd', { e: 30_001 })
  assert.equal(evictor.due(ring, 51_000), { member: idOf('e'), from: 50_200 })
  hear(51_500, 'bcde', {})
  assert.is(evictor.due(ring, 51_500), undefined)
})

test('an old report of the detector makes no member due', () => {
  const { evictor, hear } = start()
  hear(50_000, 'bcd', { e: 0 })
  assert.ok(evictor.due(ring, 52_500))
  assert.is(evictor.due(ring, 52_501), undefined)
})

test('after a refusal this peer waits a while, so that others can propose first', () => {
  const { evictor, hear } = start()
  hear(50_000, 'bcd', { e: 0 })
  assert.ok(evictor.due(ring, 50_000))
  evictor.refused(idOf('e'), 50_000)
  for (let now = 51_000; now < 50_000 + AFTER_MS / 4; now += 1000) {
    hear(now, 'bcd', { e: 0 })
    assert.is(evictor.due(ring, now), undefined)
  }
  hear(55_000, 'bcd', { e: 0 })
  assert.ok(evictor.due(ring, 55_000))
})

test('the eviction of a member that is heard is refused, that of a down or unknown member is not', () => {
  const { evictor, hear } = start()
  const nobody = () => false
  const everybody = () => true
  assert.is(evictor.heardOf([idOf('e')], everybody), idOf('e'), 'linked, and nothing was told yet')
  hear(50_000, 'bc', { e: 0 })
  assert.is(evictor.heardOf([idOf('e'), idOf('d')], nobody), undefined)
  assert.is(evictor.heardOf([idOf('e'), idOf('c')], nobody), idOf('c'))
  assert.is(evictor.heardOf([idOf('e')], everybody), undefined, 'down, though a link is open')
  assert.is(evictor.heardOf([idOf('e'), idOf('d')], everybody), idOf('d'))
})

test.run()
