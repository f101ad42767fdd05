// The slot of a key equals that of Redis Cluster, also for binary keys.

import keySlot from 'cluster-key-slot'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromText } from '../../lib/bytes.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'

const test = suite('ring slots')

/** Random keys with many braces at any place. */
const anyKey = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0x7b, 0x7d)), { maxLength: 40 })
  .map((bytes) => Uint8Array.from(bytes))

function slotOfText(key: string): number {
  return slotOf(fromText(key))
}

test('the check value of CRC16-XMODEM and the examples of the Redis specification hold', () => {
  assert.is(slotOfText('123456789'), 0x31c3 % SLOTS)
  assert.is(slotOfText('foo'), 12182)
  assert.is(slotOfText(''), 0)
  assert.is(slotOfText('{user1000}.following'), slotOfText('user1000'))
  assert.is(slotOfText('{user1000}.followers'), slotOfText('user1000'))
  assert.is(slotOfText('foo{{bar}}zap'), slotOfText('{bar'))
  assert.is(slotOfText('foo{bar}{zap}'), slotOfText('bar'))
})

test('an empty first tag hashes the whole key, and so does a brace that never closes', () => {
  // cluster-key-slot uses a later tag here. The specification says that the whole key is hashed.
  assert.is(slotOfText('foo{}{bar}'), 8363)
  assert.is.not(slotOfText('foo{}{bar}'), slotOfText('bar'))
  assert.is.not(slotOfText('foo{bar'), slotOfText('bar'))
  assert.is.not(slotOfText('foo}bar{'), slotOfText('bar'))
})

test('binary keys have the slots of cluster-key-slot', () => {
  fc.assert(
    fc.property(anyKey, (key) => {
      const open = key.indexOf(0x7b)
      fc.pre(open === -1 || key[open + 1] !== 0x7d)
      assert.is(slotOf(key), keySlot(Buffer.from(key)))
    }),
    { numRuns: 2000 }
  )
})

test('text keys have the slots of cluster-key-slot', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (key) => {
      fc.pre(!/^[^{]*\{\}/.test(key))
      assert.is(slotOfText(key), keySlot(Buffer.from(key)))
    })
  )
})

test('bytes outside the tag do not matter', () => {
  const noBraces = anyKey.map((key) => key.filter((byte) => byte !== 0x7b && byte !== 0x7d))
  fc.assert(
    fc.property(noBraces, noBraces, anyKey, (before, tag, after) => {
      fc.pre(tag.length > 0)
      assert.is(slotOf(Buffer.concat([before, fromText('{'), tag, fromText('}'), after])), slotOf(tag))
    })
  )
})

test.run()
