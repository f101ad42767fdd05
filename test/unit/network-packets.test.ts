// Packets on the wire: bytes written by hand are valid protobuf, and reading does not depend on how the stream was cut.

import fc from 'fast-check'
import { Uint8ArrayList } from 'uint8arraylist'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import type { Body } from '../../lib/network/network.js'
import { decodePacket, PacketReader, UNKNOWN_BODY } from '../../lib/network/packet-reader.js'
import {
  PACKET_BYTES_SOFT,
  PACKET_FRAMES_MAX,
  PacketWriter,
  PREFIX_BYTES,
  VALUE_PACKET_BYTES_MAX
} from '../../lib/network/packet-writer.js'
import { Packet } from '../../lib/network/wire.js'

const test = suite('packets')

const anyBytes = fc
  .oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 400 }))
  .map((bytes) => new Uint8Array(bytes))
const view = fc.oneof(fc.constant(0), fc.nat({ max: 300 }), fc.nat({ max: 0xffffffff }))
const bodies: fc.Arbitrary<Body> = fc.oneof(
  fc.record({ view, key: anyBytes }).map((read) => ({ read })),
  fc.record({ view, key: anyBytes, bytesMax: view }).map((read) => ({ read })),
  view.map((size) => ({ value: { size } })),
  fc.record({ view, key: anyBytes, envelope: anyBytes }).map((write) => ({ write })),
  fc.record({ view, key: anyBytes, envelope: anyBytes }).map((write) => ({ write: { ...write, repair: true } })),
  view.map((closed) => ({ value: { closed } })),
  fc.record({ closed: view, envelope: anyBytes }).map((value) => ({ value })),
  fc.record({ view, key: anyBytes, envelope: anyBytes, confirmedBelow: view }).map((write) => ({ write })),
  fc.option(anyBytes, { nil: undefined }).map((envelope) => ({ value: envelope === undefined ? {} : { envelope } })),
  fc
    .option(anyBytes, { nil: undefined })
    .map((newerVersion) => ({ written: newerVersion === undefined ? {} : { newerVersion } })),
  fc.constant({ done: {} }),
  fc.record({ value: anyBytes }).map((clientValue) => ({ clientValue })),
  fc.record({ value: anyBytes, expiresInMs: fc.maxSafeNat() }).map((clientValue) => ({ clientValue })),
  view.map((expiresInMs) => ({ clientValue: { expiresInMs } })),
  fc.record({ value: anyBytes, version: anyBytes }).map((clientValue) => ({ clientValue })),
  view.map((number) => ({ ping: { view: number } })),
  fc.record({ code: fc.string(), message: fc.string() }).map((refusal) => ({ refusal })),
  fc
    .record({ block: anyBytes, crc: fc.nat(), last: fc.boolean() })
    .map(({ block, crc, last }) => ({ offer: { view: 1, config: 1, block, crc, versionsOnly: last } }))
)
const frames = fc.array(fc.record({ id: fc.nat({ max: 0xffffffff }), answer: fc.boolean(), body: bodies }), {
  minLength: 1,
  maxLength: 12
})

function packetOf(list: ReadonlyArray<{ id: number; answer: boolean; body: Body }>, ms = 1764000000000): Uint8Array {
  const writer = new PacketWriter(VALUE_PACKET_BYTES_MAX)
  for (const { id, answer, body } of list) assert.ok(writer.append(id, answer, body))
  return Buffer.concat(writer.finish(ms, 77))
}

/** Plain arrays instead of the various byte arrays, so that messages can be compared. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_key, item) => (item instanceof Uint8Array ? [...item] : item)))
}

test('bytes written by hand are the protobuf of wire.proto', () => {
  fc.assert(
    fc.property(frames, fc.nat({ max: 2 ** 31 }), (list, ms) => {
      const packet = packetOf(list, ms * 1000)
      const decoded = Packet.decode(new Uint8Array(packet.subarray(PREFIX_BYTES)))
      assert.equal(decoded.clockMs, ms * 1000)
      assert.equal(decoded.clockCounter, 77)
      assert.equal(plain(decoded.frames), plain(list.map(({ id, answer, body }) => ({ id, answer, ...body }))))
    })
  )
})

test('packets of protons are read the same way', () => {
  fc.assert(
    fc.property(frames, (list) => {
      const encoded = Packet.encode({
        clockMs: 5,
        clockCounter: 6,
        frames: list.map(({ id, answer, body }) => ({ id, answer, ...body }))
      })
      const decoded = decodePacket(encoded)
      assert.is(decoded.clockMs, 5)
      assert.equal(plain(decoded.frames.map(({ id, answer, body }) => ({ id, answer, body }))), plain(list))
    })
  )
})

test('packets arrive whole wherever the stream was cut', () => {
  const chunked = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(fc.array(frames, { minLength: 1, maxLength: 4 }), chunked, fc.boolean(), (packets, cuts, asList) => {
      const stream = Buffer.concat(packets.map((list) => packetOf(list)))
      const reader = new PacketReader(VALUE_PACKET_BYTES_MAX)
      const received: unknown[] = []
      for (let at = 0, cut = 0; at < stream.length; cut++) {
        const length = cuts[cut % cuts.length]!
        const chunk = new Uint8Array(stream.subarray(at, at + length))
        const half = chunk.length >> 1
        reader.push(asList ? new Uint8ArrayList(chunk.subarray(0, half), chunk.subarray(half)) : chunk)
        for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
          received.push(decodePacket(packet).frames.map(({ id, answer, body }) => ({ id, answer, body })))
        }
        at += length
      }
      assert.equal(plain(received), plain(packets))
      assert.is(reader.bytes, 0)
    })
  )
})

test('the bytes of a body share little memory with the stream, and none with other bodies', () => {
  const small = new Uint8Array(100).fill(7)
  const large = new Uint8Array(200_000).fill(8)
  const list = Array.from({ length: 1000 }, (_, index) => ({
    id: index + 1,
    answer: false,
    body: { read: { view: 1, key: small } }
  }))
  const packet = packetOf([...list, { id: 5000, answer: false, body: { read: { view: 1, key: large } } }])
  const { frames: decoded } = decodePacket(packet.subarray(PREFIX_BYTES))
  const keys = decoded.map(({ body }) => body.read!.key)
  for (const key of keys) assert.ok(key.buffer.byteLength <= Math.max(16 * 1024, 8 * key.length))
  keys[0]!.fill(9)
  assert.is(keys[1]![0], 7)
  assert.is(small[0], 7)
})

test('a length above the limit is refused before memory is taken for it', () => {
  const reader = new PacketReader(1000)
  reader.push(new Uint8Array([0, 0, 3, 0xe9]))
  assert.throws(
    () => reader.next(),
    (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
  )
})

test('a packet in many small pieces takes time in proportion to its bytes', () => {
  const reader = new PacketReader(VALUE_PACKET_BYTES_MAX)
  const packet = packetOf([{ id: 1, answer: false, body: { read: { view: 1, key: new Uint8Array(8 << 20) } } }])
  for (let at = 0; at < packet.length; at += 64) {
    assert.is(reader.next(), undefined)
    reader.push(packet.subarray(at, at + 64))
  }
  assert.is(decodePacket(reader.next()!).frames[0]!.body.read!.key.length, 8 << 20)
})

test('a body too large for the current packet goes into the next one, a body too large for any is refused', () => {
  const writer = new PacketWriter(10_000)
  const body = { read: { view: 1, key: new Uint8Array(6000) } }
  assert.ok(writer.append(1, false, body))
  assert.not.ok(writer.append(2, false, body))
  Buffer.concat(writer.finish(1, 1))
  assert.ok(writer.append(2, false, body))
  for (const tooLarge of [
    { read: { view: 1, key: new Uint8Array(10_000) } },
    { clientReport: { json: 'x'.repeat(10_000) } }
  ]) {
    const fresh = new PacketWriter(10_000)
    assert.throws(
      () => fresh.append(1, false, tooLarge),
      (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_REQUEST'
    )
    assert.is(fresh.frames, 0)
  }
})

test('long bytes are a part of their own, without a copy', () => {
  const writer = new PacketWriter(VALUE_PACKET_BYTES_MAX)
  const [key, envelope] = [new Uint8Array(3).fill(1), new Uint8Array(100_000).fill(7)]
  writer.append(1, false, { read: { view: 1, key } })
  writer.append(2, false, { write: { view: 1, key, envelope, repair: true } })
  writer.append(3, true, { clientValue: { value: envelope } })
  const parts = writer.finish(5, 6)
  assert.is(parts[1], envelope)
  const reader = new PacketReader(VALUE_PACKET_BYTES_MAX)
  for (const part of parts) reader.push(part)
  const { frames: read } = decodePacket(reader.next()!)
  assert.equal(plain(read.map(({ body }) => body)), [
    plain({ read: { view: 1, key } }),
    plain({ write: { view: 1, key, envelope, repair: true } }),
    plain({ clientValue: { value: envelope } })
  ])
  assert.is(reader.bytes, 0)
  assert.ok(writer.append(4, false, { done: {} }), 'the next packet')
  assert.is(decodePacket(Buffer.concat(writer.finish(5, 7)).subarray(PREFIX_BYTES)).frames[0]!.id, 4)
})

test('a packet without a frame, and one of many unknown fields, are malformed', () => {
  const writer = new PacketWriter(VALUE_PACKET_BYTES_MAX)
  writer.append(1, false, { done: {} })
  const packet = Buffer.concat(writer.finish(1, 1)).subarray(PREFIX_BYTES)
  const clockOnly = Buffer.from([1 << 3, 7])
  const unknown = (fields: number) => Buffer.concat([packet, Buffer.alloc(2 * fields, Buffer.from([9 << 3, 1]))])
  assert.is(decodePacket(unknown(64)).frames.length, 1)
  for (const bytes of [new Uint8Array(0), clockOnly, unknown(65)]) {
    assert.throws(
      () => decodePacket(bytes),
      (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
    )
  }
})

test('a packet is full by its bytes or by its frames', () => {
  const byBytes = new PacketWriter(VALUE_PACKET_BYTES_MAX)
  byBytes.append(1, false, { read: { view: 1, key: new Uint8Array(PACKET_BYTES_SOFT) } })
  assert.ok(byBytes.full)
  const byFrames = new PacketWriter(VALUE_PACKET_BYTES_MAX)
  for (let id = 1; id < PACKET_FRAMES_MAX; id++) byFrames.append(id, false, { done: {} })
  assert.not.ok(byFrames.full)
  byFrames.append(PACKET_FRAMES_MAX, false, { done: {} })
  assert.ok(byFrames.full)
  assert.is(decodePacket(Buffer.concat(byFrames.finish(1, 1)).subarray(PREFIX_BYTES)).frames.length, PACKET_FRAMES_MAX)
})

test('a message of an unknown kind is unknown, not malformed', () => {
  // Frame { id: 1, field 99: "x" }
  const frame = [0x08, 0x01, 0x9a, 0x06, 0x01, 0x78]
  const packet = new Uint8Array([0x1a, frame.length, ...frame])
  assert.is(decodePacket(packet).frames[0]!.body, UNKNOWN_BODY)
})

test.run()
