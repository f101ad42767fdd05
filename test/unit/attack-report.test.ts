// The verdict on an attack, and the means of the attackers that other attacks rest on.
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Frame, Packet } from '../../lib/network/wire.js'
import { ROLES } from '../attack/attack.js'
import { ATTACKS, attackNamed } from '../attack/attacks/all.js'
import { drawsOf, mutate, vary } from '../attack/means/draws.js'
import { bodiesOf, type Kind } from '../attack/means/frames.js'
import { packetOf } from '../attack/means/peer-stream.js'
import { field, prefixed, varint, whole } from '../attack/means/protobuf.js'
import { INVALID_HEADERS, PING, SYN, yamuxHeader } from '../attack/means/yamux-frames.js'
import { brokenBounds, judge, type Seen, table } from '../attack/report.js'

const test = suite('attack/report')

const MIB = 1024 * 1024
const SOUND: Seen = {
  attack: 'some-attack',
  as: 'outsider',
  seconds: 5,
  watched: {
    ...{ peaks: [100 * MIB, 110 * MIB], down: [], evicted: [], view: 3, ended: [], asked: 6, shutOut: 0 }
  },
  idle: [90 * MIB, 90 * MIB],
  logBytes: 1000,
  good: { times: new Array(200).fill(4), failures: {}, visits: 10, visitsFailed: 1, stale: [] },
  isTimed: true,
  lost: [],
  breaches: [],
  did: { packets: 7 }
}

function boundsOf(seen: Seen): string[] {
  return judge(seen).broken.map(({ bound }) => bound)
}

test('an attack that breaks nothing has held, with the growth of the largest daemon', () => {
  const result = judge(SOUND)
  assert.equal(result.broken, [])
  assert.is(result.memoryMiB, 20)
  assert.is(result.p99Ms, 4)
  assert.match(table([result], true), /some-attack.*\+20.*nobody.*held/)
})

test('each bound is broken by what breaks it, and by nothing else', () => {
  const { watched, good } = SOUND
  const cases: ReadonlyArray<readonly [bound: string, seen: Seen]> = [
    ['alive', { ...SOUND, watched: { ...watched, ended: ['b'] } }],
    ['down', { ...SOUND, watched: { ...watched, down: ['a takes b for down'] } }],
    ['down', { ...SOUND, watched: { ...watched, evicted: ['a no longer lists b'] } }],
    ['memory', { ...SOUND, watched: { ...watched, peaks: [391 * MIB, 100 * MIB] } }],
    ['loss', { ...SOUND, lost: ['good:1 through a: 3, acknowledged 4'] }],
    ['loss', { ...SOUND, good: { ...good, stale: ['good:1: 3, acknowledged 4'] } }],
    ['access', { ...SOUND, breaches: ['read is answered'] }],
    ['doors', { ...SOUND, watched: { ...watched, shutOut: 1 } }],
    ['doors', { ...SOUND, good: { ...good, visitsFailed: 5 } }],
    ['log', { ...SOUND, logBytes: 10 * MIB }],
    ['timing', { ...SOUND, good: { ...good, times: [...new Array(97).fill(4), 300, 300, 300] } }],
    ['timing', { ...SOUND, good: { ...good, times: [...new Array(97).fill(4), ...new Array(3).fill(Infinity)] } }],
    ['timing', { ...SOUND, good: { ...good, times: [] } }]
  ]
  for (const [bound, seen] of cases) assert.equal(boundsOf(seen), [bound], bound)
})

test('without a judgement of times only the p99 is let off', () => {
  const slow = judge({ ...SOUND, lost: ['good:1'], good: { ...SOUND.good, times: [900] } })
  assert.equal(
    brokenBounds(slow, false).map(({ bound }) => bound),
    ['loss']
  )
  assert.is(brokenBounds(slow, true).length, 2)
})

test('failed operations are counted, and many of them leave no p99', () => {
  const result = judge({ ...SOUND, good: { ...SOUND.good, times: [1, 2, Infinity, Infinity] } })
  assert.is(result.failed, 2)
  assert.is(result.p99Ms, null)
})

test('every attack has a name of its own, a role, and says what it tries and what must hold', () => {
  assert.is(new Set(ATTACKS.map(({ name }) => name)).size, ATTACKS.length)
  for (const { name, as, tries, holds } of ATTACKS) {
    assert.match(name, /^[a-z0-9-]+$/)
    assert.ok(as.length > 0 && as.every((role) => ROLES.includes(role)), name)
    assert.match(tries, /^[A-Z0-9].*\.$/, name)
    assert.match(holds, /^[A-Z].*\.$/, name)
    assert.is(attackNamed(name).name, name)
  }
  assert.throws(() => attackNamed('none-such'), /no attack/)
})

const TARGET = {
  ...{ victims: [], ringId: 'ab'.repeat(16), view: 4, secretId: '' },
  members: [{ storeId: 'cd'.repeat(16), peerId: '12D3KooWExample' }]
}

test('there is a valid message of every kind of wire.proto', () => {
  const proto = readFileSync('lib/network/wire.proto', 'utf8')
  const oneof = /oneof body \{([\s\S]*?)\n {2}\}/.exec(proto)?.[1] ?? ''
  const kinds = [...oneof.matchAll(/^\s+\w+ (\w+) = \d+;/gm)].map((match) => match[1])
  const bodies = bodiesOf({ target: TARGET })
  assert.equal(Object.keys(bodies).sort(), kinds.sort())
  for (const kind of Object.keys(bodies) as Kind[]) {
    const packet = packetOf([{ id: 1, answer: false, [kind]: bodies[kind] }], 5)
    const [frame] = Packet.decode(packet.subarray(4)).frames
    assert.ok(frame?.[kind] !== undefined, kind)
    assert.equal(Frame.decode(Frame.encode(frame!))[kind], frame![kind])
  }
})

test('the same seed draws the same, and a mutation differs from its original', () => {
  const [one, other] = [drawsOf(7), drawsOf(7)]
  assert.equal(one.bytes(50), other.bytes(50))
  assert.not.equal(drawsOf(8).bytes(50), drawsOf(9).bytes(50))
  const original = Uint8Array.from({ length: 100 }, (_, at) => at)
  let changed = 0
  for (let turn = 0; turn < 200; turn++) {
    if (Buffer.compare(Buffer.from(mutate(original, one)), Buffer.from(original)) !== 0) changed += 1
  }
  assert.ok(changed > 190)
  assert.is(original[99], 99)
})

test('a varied message can still be encoded, and seldom is the message that it was', () => {
  const draws = drawsOf(3)
  const bodies = bodiesOf({ target: TARGET }, 1_764_000_000_000)
  let same = 0
  for (let turn = 0; turn < 300; turn++) {
    const learn = vary(bodies.learn, draws)
    const [frame] = Packet.decode(packetOf([{ id: 1, answer: false, learn }]).subarray(4)).frames
    assert.ok(frame?.learn !== undefined)
    if (JSON.stringify(learn) === JSON.stringify(bodies.learn)) same += 1
  }
  assert.ok(same < 100, `${same} of 300 are unchanged`)
})

test('hand-made messages have the bytes of their specifications', () => {
  assert.equal([...varint(300)], [0xac, 2])
  assert.equal([...field(2, 'ab')], [0x12, 2, 97, 98])
  assert.equal([...whole(1, 1)], [8, 1])
  assert.equal([...prefixed(Uint8Array.of(9))], [1, 9])
  assert.equal(
    [...yamuxHeader({ type: PING, flags: SYN, streamId: 0, length: 258 })],
    [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2]
  )
  assert.ok(INVALID_HEADERS.every(([, header]) => yamuxHeader(header).length === 12))
})

test.run()
