// The rollback guard alone: what a majority, one member, and a lying member can say of a store.
import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Bytes, EMPTY_BYTES } from '../../lib/bytes.js'
import { silent } from '../../lib/logger.js'
import type { Pong } from '../../lib/network/wire.js'
import { RollbackGuard } from '../../lib/node/rollback-guard.js'
import { config, idOf, ringView } from '../sim/harness/ring-views.js'

const test = suite('rollback guard')

const VIEW = ringView({ number: 1, self: 'a', window: [config(1, 'abc')] })

function sign(peerId: string, bytes: Bytes): Bytes {
  return createHash('sha256').update(peerId).update(bytes).digest()
}

function guard(openedWith: number, isNew = false, letter = 'a'): RollbackGuard {
  const peerId = `peer-${letter}`
  const signer = {
    sign: async (bytes: Bytes) => sign(peerId, bytes),
    verify: async (id: string, bytes: Bytes, signature: Bytes) => Buffer.compare(sign(id, bytes), signature) === 0
  }
  return new RollbackGuard({ signer, log: silent, peerId, storeId: idOf(letter) }, { openedWith, isNew })
}

function pong(fields: Partial<Pong>): Pong {
  const nothing = { batch: 0, signature: EMPTY_BYTES, highestBatchHeard: 0, heardSignature: EMPTY_BYTES }
  return { view: 1, ringDigest: '', entries: 0, bytes: 0, ...nothing, ...fields }
}

test('a store is trusted when a majority knows of no later batch', async () => {
  const store = guard(90)
  store.count(VIEW)
  assert.not(store.isTrusted)
  assert.ok(await store.hear(idOf('b'), pong({ highestBatchHeard: 90 })))
  store.count(VIEW)
  assert.ok(store.isTrusted)
})

test('one member that heard a later batch is enough, because it shows what the store itself has signed', async () => {
  const { batch, signature } = await guard(0, true).statement(120)
  const witness = guard(0, true, 'b')
  await witness.hear(idOf('a'), pong({ batch, signature }))
  const heard = witness.heardOf(idOf('a'))
  assert.is(heard.batch, 120)
  const oldCopy = guard(90)
  const told = pong({ highestBatchHeard: heard.batch, heardSignature: heard.signature })
  assert.not(await oldCopy.hear(idOf('b'), told))
  const sound = guard(120)
  assert.ok(await sound.hear(idOf('b'), told))
})

test('no member can invent a later batch, and one that does confirms nothing', async () => {
  const { signature } = await guard(0, true).statement(80)
  const forged = await guard(0, true, 'b').statement(2 ** 48)
  for (const heardSignature of [EMPTY_BYTES, signature, forged.signature, new Uint8Array(5000)]) {
    const store = guard(90)
    for (const letter of ['b', 'c']) {
      assert.ok(await store.hear(idOf(letter), pong({ highestBatchHeard: 2 ** 48, heardSignature })))
    }
    store.count(VIEW)
    assert.not(store.isTrusted)
    await store.hear(idOf('c'), pong({ highestBatchHeard: 88 }))
    store.count(VIEW)
    assert.ok(store.isTrusted, 'the other member is a majority with this one')
  }
})

test('a store that is not trusted yet tells nothing, so that others keep what they heard before', async () => {
  const store = guard(90)
  assert.equal(await store.statement(91), { batch: 0, signature: EMPTY_BYTES })
  await store.hear(idOf('b'), pong({ highestBatchHeard: 0 }))
  store.count(VIEW)
  assert.is((await store.statement(91)).batch, 91)
})

test('only members of the view are remembered, and no signature of any length', async () => {
  const store = guard(0, true)
  for (const letter of ['b', 'x']) await store.hear(idOf(letter), pong({ batch: 5 }))
  await store.hear(idOf('c'), pong({ batch: 6, signature: new Uint8Array(129) }))
  store.count(VIEW)
  assert.equal(
    ['b', 'x', 'c'].map((letter) => store.heardOf(idOf(letter)).batch),
    [5, 0, 0]
  )
})

test.run()
