// Keys, peer ids, signatures.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromText } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import {
  newPrivateKey,
  peerIdOf,
  privateKeyFromBytes,
  privateKeyToBytes,
  sign,
  verify
} from '../../lib/network/identity.js'
import { systemRandom } from '../../lib/system-random.js'

const test = suite('identity')

test('a key survives encoding', async () => {
  const key = await newPrivateKey(systemRandom)
  const again = privateKeyFromBytes(privateKeyToBytes(key))
  assert.is(peerIdOf(again), peerIdOf(key))
})

test('the same random bytes give the same peer', async () => {
  const fixed = { next: () => 0, bytes: (length: number) => new Uint8Array(length).fill(5) }
  assert.is(peerIdOf(await newPrivateKey(fixed)), peerIdOf(await newPrivateKey(fixed)))
})

test('malformed bytes of a key are DATA_DAMAGED', () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(40), fromText('not a key')]) {
    assert.throws(
      () => privateKeyFromBytes(bytes),
      (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'DATA_DAMAGED'
    )
  }
})

test('a signature is valid for its peer and its bytes only', async () => {
  const key = await newPrivateKey(systemRandom)
  const other = await newPrivateKey(systemRandom)
  const bytes = fromText('let me join')
  const signature = sign(key, bytes)
  assert.is(signature.length, 64)
  assert.ok(verify(peerIdOf(key), bytes, signature))
  assert.not.ok(verify(peerIdOf(other), bytes, signature))
  assert.not.ok(verify(peerIdOf(key), fromText('let me Join'), signature))
  assert.not.ok(verify(peerIdOf(key), bytes, signature.slice(1)))
  assert.not.ok(verify(peerIdOf(key), bytes, new Uint8Array(0)))
  assert.not.ok(verify('nobody', bytes, signature))
})

test.run()
