// Exchanges between peers of large rings: they send a crc of the records, and list the records only when it differs.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DurableRing } from '../../lib/actors/membership/durable-ring.js'
import { Gossip } from '../../lib/actors/membership/gossip.js'
import { silent } from '../../lib/logger.js'
import type { Answer, Body, Network } from '../../lib/network/network.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import { digestOf, emptyRing, learn, type RingState, shortDigestOf } from '../../lib/views/ring-state.js'
import { digestToWire } from '../../lib/views/wire-codec.js'
import { seeded } from '../sim/sim-node.js'
import { founding, id, member } from './views-support.js'

const test = suite('membership exchange')

/** A ring of `members` members whose records have the sequence 5, except the first one's. */
function ringOf(members: number, first = 5): RingState {
  const numbers = Array.from({ length: members }, (_, at) => at + 1)
  const changes = [{ number: 1, joins: numbers.map((number) => member(number)), removals: [], founding: founding(3) }]
  const rest = { addresses: [], ready: new Uint32Array(SLOTS), signature: Uint8Array.of(1) }
  const records = numbers.map((number) => {
    return { storeId: id(number), peerId: `peer-${number}`, sequence: number === 1 ? first : 5, ...rest }
  })
  return learn(emptyRing(), { ...NO_KNOWLEDGE, changes, records })
}

function gossipAt(ring: RingState) {
  const asked: Body[] = []
  const request: Network['request'] = (_to, _stream, body) => void asked.push(body)
  const durableRing = { ring, after: (effect: () => void) => effect() } as unknown as DurableRing
  const network = { request } as Partial<Network> as Network
  const self = { tell: () => true, signal: () => {}, isOver: false }
  return { asked, gossip: new Gossip({ random: seeded(1), log: silent, network, durableRing, self }) }
}

function answerTo(ring: RingState, digest: ReturnType<typeof digestOf>) {
  const answers: Answer[] = []
  gossipAt(ring).gossip.exchange({ digest: digestToWire(digest) }, (answer) => answers.push(answer))
  const { exchanged } = answers[0] as Body
  return { listed: exchanged!.digest!.records.length, told: exchanged!.knowledge!.records.length }
}

test('a small ring lists its records and needs one round trip', () => {
  const { gossip, asked } = gossipAt(ringOf(16))
  gossip.exchangeWith('peer-2')
  assert.is(asked[0]!.exchange!.digest!.records.length, 16)
  assert.equal(answerTo(ringOf(16, 6), shortDigestOf(ringOf(16))), { listed: 16, told: 1 })
})

test('a large ring sends a crc, and lists no records while it agrees', () => {
  const { gossip, asked } = gossipAt(ringOf(20))
  gossip.exchangeWith('peer-2')
  assert.is(asked[0]!.exchange!.digest!.records.length, 0)
  assert.equal(answerTo(ringOf(20), shortDigestOf(ringOf(20))), { listed: 0, told: 0 })
})

test('when the crc differs records are listed, and each side gets the ones it lacks', () => {
  assert.equal(answerTo(ringOf(20, 6), shortDigestOf(ringOf(20))), { listed: 20, told: 0 })
  const newer = gossipAt(ringOf(20, 6))
  newer.gossip.give('peer-2', digestOf(ringOf(20)), false)
  assert.is(newer.asked.length, 1)
  assert.is(newer.asked[0]!.learn!.records.length, 1)
  const older = gossipAt(ringOf(20))
  older.gossip.give('peer-2', digestOf(ringOf(20, 6)), false)
  assert.is(older.asked.length, 1)
  assert.is(older.asked[0]!.exchange!.digest!.records.length, 20)
  assert.equal(answerTo(ringOf(20, 6), digestOf(ringOf(20))), { listed: 0, told: 1 })
})

test('after a whole digest nothing more is asked, also when the other side has newer records', () => {
  const { gossip, asked } = gossipAt(ringOf(20))
  gossip.give('peer-2', digestOf(ringOf(20, 6)), true)
  assert.equal(asked, [])
})

test.run()
