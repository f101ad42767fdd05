// Bytes from a peer may be anything. The packet reader answers any bytes with packets or BAD_MESSAGE: no crash, no
// hang, no memory beyond the bytes received. Repeat a failure with SEED=<seed> node dist/test/unit/wire-fuzz.test.js

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { helloOf, NOBODY } from '../../lib/network/hello.js'
import { CLIENT_LINK_OPTIONS } from '../../lib/network/link-options.js'
import { decodePacket, PacketReader } from '../../lib/network/packet-reader.js'
import { PACKET_FRAMES_MAX, PacketWriter, VALUE_PACKET_BYTES_MAX } from '../../lib/network/packet-writer.js'
import { StreamLink } from '../../lib/network/stream-link.js'
import { Packet } from '../../lib/network/wire.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('fuzzed wire')

const RUNS = 3000

function check<T>(property: fc.IRawProperty<T>): void {
  const given = process.env['SEED']
  const seed = given === undefined ? Math.floor(performance.timeOrigin) % 2 ** 31 : Number(given)
  try {
    fc.assert(property, { seed, numRuns: RUNS })
  } catch (thrown) {
    throw new Error(`again: SEED=${seed} node dist/test/unit/wire-fuzz.test.js`, { cause: thrown })
  }
}

/** Reads the whole stream. Returns the number of packets before the first refused one. */
function readAll(stream: Uint8Array, cuts: readonly number[], limit: number): number {
  const reader = new PacketReader(limit)
  let packets = 0
  try {
    for (let at = 0, turn = 0; at < stream.length; turn++) {
      const length = cuts[turn % cuts.length]!
      reader.push(stream.subarray(at, at + length))
      at += length
      for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
        assert.ok(packet.length <= limit)
        const { frames, clockMs, clockCounter } = decodePacket(packet)
        assert.ok(frames.length <= PACKET_FRAMES_MAX)
        assert.ok(Number.isSafeInteger(clockMs) && clockMs < 2 ** 48 && clockCounter < 2 ** 16)
        packets++
      }
      assert.ok(reader.bytes <= stream.length)
    }
  } catch (thrown) {
    if (!(thrown instanceof RingdError) || thrown.code !== 'BAD_MESSAGE') throw thrown
  }
  return packets
}

const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 8 })
const member = {
  storeId: new Uint8Array(16),
  peerId: '12D3KooW',
  tokens: [1, 2, 16383],
  zone: 'z',
  weight: 1.5
}
const knowledge = {
  changes: [
    {
      number: 1,
      joins: [member],
      removals: [new Uint8Array(16)],
      lost: [],
      ringId: new Uint8Array(16),
      replicas: 3,
      votes: [{ storeId: new Uint8Array(16), signature: new Uint8Array(64) }],
      votesBallot: { round: 1, storeId: new Uint8Array(16) }
    }
  ],
  bases: [{ first: 0, last: 16383, value: 1 }],
  records: [
    {
      storeId: new Uint8Array(16),
      peerId: 'p',
      sequence: 9,
      addresses: ['/ip4/1.2.3.4/tcp/1'],
      ready: [],
      signature: new Uint8Array(64)
    }
  ],
  joins: [{ ringId: new Uint8Array(16), member, addresses: [], issuedAtMs: 5, signature: new Uint8Array(64) }],
  departures: [
    {
      ringId: new Uint8Array(16),
      storeId: new Uint8Array(16),
      dead: true,
      peerId: 'p',
      force: false,
      issuedAtMs: 5,
      signature: new Uint8Array(64)
    }
  ],
  snapshot: {
    number: 5,
    ringId: new Uint8Array(16),
    replicas: 3,
    members: [member],
    former: [{ storeId: new Uint8Array(16), peerId: 'p', lost: true }],
    begins: [{ first: 0, last: 16383, value: 1 }]
  }
}

function validStream(): Uint8Array {
  const writer = new PacketWriter(VALUE_PACKET_BYTES_MAX)
  const packets: Uint8Array[] = []
  writer.append(0, false, { hello: helloOf({ ...NOBODY, ringId: 'ab'.repeat(16) }) })
  packets.push(Buffer.concat(writer.finish(1764000000000, 1)))
  writer.append(1, false, { write: { view: 3, key: new Uint8Array(20), envelope: new Uint8Array(150) } })
  writer.append(2, false, { read: { view: 3, key: new Uint8Array(20) } })
  writer.append(2, false, { read: { view: 3, key: new Uint8Array(20), bytesMax: 65_536 } })
  writer.append(3, true, { value: { size: 8_000_000 } })
  writer.append(3, true, { value: { envelope: new Uint8Array(90) } })
  writer.append(4, true, { written: {} })
  writer.append(4, true, { written: { promised: new Uint8Array(16) } })
  const origins = [new Uint8Array(16)]
  writer.append(4, false, { prepareKey: { view: 1, key: new Uint8Array(3), ballot: new Uint8Array(16), origins } })
  const tellings = [{ versions: [{ version: new Uint8Array(16), isShown: true }], isUnknown: false }]
  writer.append(4, true, { preparedKey: { envelope: new Uint8Array(40), closed: 1, tellings } })
  writer.append(5, true, { done: {} })
  writer.append(6, true, { refusal: { code: 'STALE_VIEW', message: 'learn', knowledge } })
  packets.push(Buffer.concat(writer.finish(1764000000000, 2)))
  writer.append(7, false, { learn: knowledge })
  writer.append(10, false, { compare: { view: 1, config: 1, ranges: [{ first: 1, last: 2 }] } })
  writer.append(11, true, { compared: { sums: new Uint8Array(40) } })
  writer.append(11, false, { tally: { view: 1, ranges: [{ first: 1, last: 2 }] } })
  writer.append(11, true, { tallied: { tallies: new Uint8Array(52) } })
  writer.append(12, false, { offer: { view: 1, config: 1, block: new Uint8Array(9), crc: 3, versionsOnly: true } })
  writer.append(13, true, { wanted: { keys: [new Uint8Array(5)] } })
  const [change] = knowledge.changes
  const ballot = { round: 1, storeId: new Uint8Array(16) }
  const proof = {
    joins: knowledge.joins,
    leaves: knowledge.departures,
    evictions: [new Uint8Array(16)],
    ballot,
    promises: change!.votes
  }
  writer.append(14, false, { prepare: { instance: 2, ballot, evictions: proof.evictions } })
  const reported = { acceptedBallot: ballot, acceptedChange: change!, acceptedProof: proof }
  writer.append(15, true, { promised: { granted: true, promised: ballot, signature: new Uint8Array(64), ...reported } })
  writer.append(16, false, { accept: { instance: 2, ballot, change: change!, proof } })
  writer.append(17, true, { accepted: { granted: true, promised: ballot, signature: new Uint8Array(64) } })
  const pong = { view: 1, ringDigest: 'd', entries: 1, bytes: 2, batch: 3, highestBatchHeard: 4 }
  const conditions = [{ name: 'disk-full', says: 'full' }]
  const trouble = { conditions, unreached: [new Uint8Array(16)], unreachedCount: 1, untrusted: true }
  const signatures = { signature: new Uint8Array(64), heardSignature: new Uint8Array(64) }
  writer.append(18, true, { pong: { ...pong, ...signatures, trouble } })
  packets.push(Buffer.concat(writer.finish(1764000000000, 3)))
  return new Uint8Array(Buffer.concat(packets))
}

const VALID = validStream()
const mutations = fc.array(
  fc.record({
    at: fc.nat({ max: VALID.length - 1 }),
    kind: fc.constantFrom('set', 'flip', 'drop', 'insert'),
    byte: fc.nat({ max: 255 })
  }),
  { minLength: 1, maxLength: 6 }
)

function mutate(list: ReadonlyArray<{ at: number; kind: string; byte: number }>): Uint8Array {
  const bytes = [...VALID]
  for (const { at, kind, byte } of list) {
    if (kind === 'set') bytes[at % bytes.length] = byte
    else if (kind === 'flip') bytes[at % bytes.length]! ^= 1 << (byte & 7)
    else if (kind === 'drop') bytes.splice(at % bytes.length, 1 + (byte & 3))
    else bytes.splice(at % bytes.length, 0, byte)
  }
  return Uint8Array.from(bytes)
}

test('the stream that the tests below mutate is valid', () => {
  assert.is(readAll(VALID, [1], VALUE_PACKET_BYTES_MAX), 3)
})

test('random bytes are packets or BAD_MESSAGE', () => {
  check(fc.property(fc.uint8Array({ maxLength: 2000 }), cuts, (bytes, split) => void readAll(bytes, split, 4096)))
})

test('random bytes after a matching length are packets or BAD_MESSAGE', () => {
  check(
    fc.property(fc.uint8Array({ maxLength: 600 }), cuts, (bytes, split) => {
      readAll(Buffer.concat([Buffer.from([0, 0, bytes.length >> 8, bytes.length & 255]), bytes]), split, 4096)
    })
  )
})

test('mutated packets are packets or BAD_MESSAGE', () => {
  check(fc.property(mutations, cuts, (list, split) => void readAll(mutate(list), split, VALUE_PACKET_BYTES_MAX)))
})

test('a stream that breaks off gives the packets before, and waits for the rest', () => {
  check(
    fc.property(fc.nat({ max: VALID.length - 1 }), cuts, (end, split) => {
      assert.ok(readAll(VALID.subarray(0, end), split, VALUE_PACKET_BYTES_MAX) < 3)
    })
  )
})

test('lengths are accepted up to the limit, and take no memory before their bytes arrive', () => {
  const before = process.memoryUsage().arrayBuffers
  const readers: PacketReader[] = []
  for (let count = 0; count < 100; count++) {
    const reader = new PacketReader(VALUE_PACKET_BYTES_MAX)
    reader.push(new Uint8Array([0, 0x80, 0, 0]))
    assert.is(reader.next(), undefined)
    readers.push(reader)
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 8 << 20, '800 MiB were announced')
  for (const length of [VALUE_PACKET_BYTES_MAX + 1, 2 ** 31, 2 ** 32 - 1]) {
    const prefix = Buffer.alloc(4)
    prefix.writeUInt32BE(length)
    assert.throws(() => {
      const reader = new PacketReader(VALUE_PACKET_BYTES_MAX)
      reader.push(prefix)
      reader.next()
    }, /exceeds the limit/)
  }
})

test('counts are bounded: frames of a packet, and repeated fields of a frame', () => {
  const codeOf = (bytes: Uint8Array): string => {
    try {
      decodePacket(bytes)
      return 'decoded'
    } catch (thrown) {
      return (thrown as RingdError).code
    }
  }
  const empty = (count: number): Uint8Array =>
    Uint8Array.from({ length: 2 * count }, (_, at) => (at % 2 === 0 ? 0x1a : 0))
  assert.is(codeOf(empty(PACKET_FRAMES_MAX)), 'decoded')
  assert.is(codeOf(empty(PACKET_FRAMES_MAX + 1)), 'BAD_MESSAGE')
  const bases = (count: number): Uint8Array =>
    Packet.encode({
      frames: [
        {
          id: 1,
          answer: false,
          learn: {
            changes: [],
            records: [],
            joins: [],
            departures: [],
            bases: new Array(count).fill({ first: 1, last: 2, value: 3 })
          }
        }
      ]
    })
  assert.is(codeOf(bases(16384)), 'decoded')
  assert.is(codeOf(bases(16385)), 'BAD_MESSAGE')
  const tokens = Packet.encode({
    frames: [
      {
        id: 1,
        answer: false,
        accept: {
          instance: 1,
          change: {
            number: 1,
            removals: [],
            lost: [],
            votes: [],
            joins: [{ ...member, tokens: new Array(4097).fill(1) }]
          }
        }
      }
    ]
  })
  assert.is(codeOf(tokens), 'BAD_MESSAGE')
})

test('a clock too large for a version is BAD_MESSAGE', () => {
  for (const [clockMs, clockCounter] of [
    [2 ** 48, 0],
    [2 ** 52, 0],
    [0, 2 ** 16]
  ] as const) {
    assert.throws(
      () => decodePacket(Packet.encode({ clockMs, clockCounter, frames: [] })),
      (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
    )
  }
})

test('endlessly nested groups are BAD_MESSAGE, not a stack overflow', () => {
  const bytes = new Uint8Array(4 << 20).fill(0x0b)
  assert.throws(
    () => decodePacket(bytes),
    (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
  )
})

test('a link that gets mutated bytes closes at worst', () => {
  const clock = new VirtualClock()
  check(
    fc.property(mutations, cuts, (list, split) => {
      const stream = mutate(list)
      let closed = 0
      const link = new StreamLink(
        { clock, log: silent, hlc: { stamp: () => ({ ms: 1, counter: 0 }), observe() {} } },
        'peer',
        NOBODY,
        { send: () => true, pause() {}, resume() {}, close() {}, abort() {} },
        (_from, _body, respond) => respond({ done: {} }),
        { greeted() {}, closed: () => closed++ },
        CLIENT_LINK_OPTIONS
      )
      for (let at = 0, turn = 0; at < stream.length; turn++) {
        const length = split[turn % split.length]!
        link.received(stream.subarray(at, at + length))
        at += length
      }
      link.ended('over')
      assert.is(closed, 1)
    })
  )
})

test.run()
