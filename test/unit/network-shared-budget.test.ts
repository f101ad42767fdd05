// The links of one peer share its part of the budget: what one holds does not end the others.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RingdError } from '../../lib/errors.js'
import { MiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { ByteBudget } from '../../lib/network/byte-budget.js'
import { helloOf, NOBODY } from '../../lib/network/hello.js'
import type { ByteStream, LinkOptions } from '../../lib/network/link-options.js'
import type { Body, Respond } from '../../lib/network/network.js'
import { PacketWriter } from '../../lib/network/packet-writer.js'
import { LINK_OPTIONS } from '../../lib/network/peer-table.js'
import { StreamLink } from '../../lib/network/stream-link.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('links of one peer')

const IDENTITY = { ...NOBODY, ringId: 'ab'.repeat(16), storeId: '11'.repeat(16) }
const PING: Body = { ping: { view: 1 } }
const WRITE: Body = { write: { view: 1, key: new Uint8Array(8), envelope: new Uint8Array(MiB) } }

/** Links of one member. Requests are answered when the test says so. */
class Member {
  readonly clock = new VirtualClock()
  readonly budget = new ByteBudget({ totalBytesMax: 256 * MiB, peerBytesMax: 16 * MiB })
  readonly held: Respond[] = []
  readonly closed: RingdError[] = []
  readonly operations = this.link(LINK_OPTIONS.operations)

  link(options: LinkOptions): StreamLink {
    const stream: ByteStream = { send: () => true, pause() {}, resume() {}, close() {}, abort() {} }
    const link = new StreamLink(
      { clock: this.clock, log: silent, hlc: { stamp: () => ({ ms: 0, counter: 0 }), observe() {} } },
      'a',
      IDENTITY,
      stream,
      (_from, _body, respond) => this.held.push(respond),
      { greeted() {}, closed: (_link, error) => this.closed.push(error) },
      { ...options, budget: this.budget }
    )
    link.received(packet({ hello: helloOf(IDENTITY) }))
    return link
  }

  /** The operations of the member wait for the disk, and are more than it may have under way. */
  exceed(): void {
    for (let n = 0; n < 17; n++) this.operations.received(packet(WRITE))
    assert.ok(this.budget.bytesOf('a') > 16 * MiB)
  }
}

function packet(body: Body, answer = false): Uint8Array {
  const writer = new PacketWriter(9 * MiB)
  writer.append(body.hello === undefined ? 1 : 0, answer, body)
  return Buffer.concat(writer.finish(0, 0))
}

test('a member is pinged while its operations hold all that it may hold', async () => {
  const member = new Member()
  const control = member.link(LINK_OPTIONS.control)
  member.exceed()
  const answers: unknown[] = []
  control.request(PING, 3000, (answer) => answers.push(answer))
  await member.clock.advance(100)
  assert.equal(answers, [])
  assert.equal(member.closed, [])
})

test('a ping of a member is answered while its operations hold all that it may hold', async () => {
  const member = new Member()
  const control = member.link(LINK_OPTIONS.control)
  member.exceed()
  const served = member.held.length
  control.received(packet(PING))
  assert.equal(member.closed, [])
  assert.is(member.held.length, served + 1)
})

test('an answer of a member ends no link while its operations hold all that it may hold', () => {
  const member = new Member()
  const control = member.link(LINK_OPTIONS.control)
  member.exceed()
  control.received(packet({ done: {} }, true))
  assert.equal(member.closed, [])
})

test('a block that arrives in parts ends no link while the operations hold all that the member may hold', async () => {
  const member = new Member()
  const bulk = member.link(LINK_OPTIONS.bulk)
  member.exceed()
  const block = packet(WRITE)
  bulk.received(block.subarray(0, MiB / 2))
  assert.equal(member.closed, [])
  bulk.received(block.subarray(MiB / 2))
  assert.equal(member.closed, [])
  assert.ok(member.budget.bytes <= 20 * MiB)
})

test('a packet that waited because this side had paused has its whole time afterwards', async () => {
  const member = new Member()
  const { clock, held, closed } = member
  const bulk = member.link(LINK_OPTIONS.bulk)
  await clock.advance(1)
  bulk.received(packet(WRITE))
  const block = packet(WRITE)
  bulk.received(block.subarray(0, 10))
  member.exceed()
  bulk.received(block.subarray(10, 20))
  await clock.advance(19_000)
  for (const respond of held.splice(0)) respond({ done: {} })
  await clock.advance(15_000)
  assert.equal(closed, [])
  const served = held.length
  bulk.received(block.subarray(20))
  assert.is(held.length, served + 1)
})

test('a packet that has begun before a pause and never ends is noticed after it', async () => {
  const member = new Member()
  const { clock, held, closed } = member
  const bulk = member.link(LINK_OPTIONS.bulk)
  await clock.advance(1)
  bulk.received(packet(WRITE))
  bulk.received(packet(WRITE).subarray(0, 10))
  member.exceed()
  bulk.received(new Uint8Array(10))
  await clock.advance(60_000)
  assert.equal(closed, [])
  for (const respond of held.splice(0)) respond({ done: {} })
  await clock.advance(21_000)
  assert.is(closed[0]?.code, 'UNREACHABLE')
})

test.run()
