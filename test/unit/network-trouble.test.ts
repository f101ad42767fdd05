// What a pong tells of its sender's troubles: nothing when there are none, within its bounds, and refused beyond them.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import { decodePacket } from '../../lib/network/packet-reader.js'
import {
  CONDITIONS_MAX,
  NO_TROUBLE,
  type Trouble,
  troubleFromWire,
  troubleToWire,
  UNREACHED_MAX
} from '../../lib/network/trouble.js'
import { Packet, type Trouble as WireTrouble } from '../../lib/network/wire.js'

const test = suite('trouble on the wire')

const ID = 'ab'.repeat(16)
const FULL = { name: 'disk-full', says: 'the disk of the store has 3 MiB left' }
const told = (change: Partial<Trouble>) => troubleFromWire(troubleToWire({ ...NO_TROUBLE, ...change }))

test('a peer without troubles sends no field, and a pong without the field tells of none', () => {
  assert.is(troubleToWire(NO_TROUBLE), undefined)
  assert.equal(troubleFromWire(undefined), NO_TROUBLE)
})

test('conditions, members out of reach and a store that is not trusted arrive as they were', () => {
  const trouble = { conditions: [FULL], unreached: [ID], unreachedCount: 1, untrusted: true }
  assert.equal(told(trouble), trouble)
  assert.equal(told({ untrusted: true }), { ...NO_TROUBLE, untrusted: true })
  assert.equal(told({ conditions: [{ name: 'of-tomorrow', says: '' }] })?.conditions[0]?.name, 'of-tomorrow')
})

test('a peer with more troubles than fit sends the first of them, and the number of members', () => {
  const unreached = Array.from({ length: 40 }, () => ID)
  const trouble = told({ conditions: Array.from({ length: 20 }, () => FULL), unreached, unreachedCount: 40 })!
  assert.equal(
    [trouble.conditions.length, trouble.unreached.length, trouble.unreachedCount],
    [CONDITIONS_MAX, UNREACHED_MAX, 40]
  )
})

const ID_BYTES = fromHex(ID) as Uint8Array<ArrayBuffer>
const sound: WireTrouble = { conditions: [FULL], unreached: [ID_BYTES], unreachedCount: 1, untrusted: false }

test('names, words, ids and lists beyond the bounds are refused', () => {
  assert.ok(troubleFromWire(sound))
  const wrong: readonly Partial<WireTrouble>[] = [
    { conditions: [{ ...FULL, name: '' }] },
    { conditions: [{ ...FULL, name: 'x'.repeat(33) }] },
    { conditions: [{ ...FULL, name: 'Disk\u001b[2J' }] },
    { conditions: [{ ...FULL, says: 'x'.repeat(201) }] },
    { conditions: new Array(CONDITIONS_MAX + 1).fill(FULL) },
    { unreached: [ID_BYTES.subarray(1)] },
    { unreached: [new Uint8Array(0)] },
    { unreached: new Array(UNREACHED_MAX + 1).fill(ID_BYTES), unreachedCount: 99 },
    { unreachedCount: 0 }
  ]
  for (const change of wrong) assert.is(troubleFromWire({ ...sound, ...change }), undefined, JSON.stringify(change))
})

test('the decoder refuses longer lists before it makes objects of them', () => {
  const packetWith = (trouble: WireTrouble) => {
    const numbers = { view: 1, entries: 0, bytes: 0, batch: 0, highestBatchHeard: 0 }
    const signatures = { signature: new Uint8Array(0), heardSignature: new Uint8Array(0) }
    const pong = { ...numbers, ringDigest: '', ...signatures, trouble }
    return Packet.encode({ clockMs: 1, clockCounter: 0, frames: [{ id: 1, answer: true, pong }] })
  }
  assert.is(decodePacket(packetWith(sound)).frames.length, 1)
  for (const change of [
    { conditions: new Array(CONDITIONS_MAX + 1).fill(FULL) },
    { unreached: new Array(UNREACHED_MAX + 1).fill(ID_BYTES) }
  ]) {
    assert.throws(
      () => decodePacket(packetWith({ ...sound, ...change })),
      (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
    )
  }
})

test.run()
