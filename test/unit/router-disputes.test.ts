// Reads whose owners have closed the slot and contradict each other: which owners are asked, whose answer wins, what is
// repaired.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sameBytes } from '../../lib/bytes.js'
import { isTombstone, originOf, versionOf } from '../../lib/entry/envelope.js'
import { config } from '../sim/harness/ring-views.js'
import { RouterHarness } from '../sim/harness/router-harness.js'

const test = suite('router: disputes')

const CLOSED_MS = 60_000

/** A read of an entry that a holds and b lacks, although both have closed the slot. */
async function dispute(): Promise<{ router: RouterHarness; read: { result: unknown } }> {
  const router = new RouterHarness()
  router.view({ number: 1, window: [config(1, 'abc')] })
  await router.clock.advance(2 * CLOSED_MS)
  const read = router.get()
  await router.clock.settle()
  await router.answer('a', router.known(CLOSED_MS, router.envelope(1)))
  await router.answer('b', router.known(CLOSED_MS))
  return { router, read }
}

test("an entry below another owner's bound reads as absent, unless the third owner confirms it", async () => {
  for (const isThere of [false, true]) {
    const router = new RouterHarness()
    router.view({ number: 1, window: [config(1, 'abc')] })
    await router.clock.settle()
    const read = router.get()
    await router.clock.settle()
    await router.answer('a', router.envelope(1))
    await router.answer('b', router.known(CLOSED_MS))
    assert.is(router.owners, 'c')
    await router.answer('c', router.known(CLOSED_MS, isThere ? router.envelope(1) : undefined))
    assert.is(router.owners, isThere ? 'abc' : '')
    for (const owner of router.owners) await router.answer(owner)
    assert.is(read.result, isThere ? '1' : undefined)
  }
})

test('an owner that has lost an entry of the two others is outvoted, and gets it back', async () => {
  const { router, read } = await dispute()
  assert.is(read.result, 'nothing')
  assert.is(router.owners, 'c')
  await router.answer('c', router.known(CLOSED_MS, router.envelope(1)))
  assert.is(router.owners, 'abc')
  const { closed } = router.known(CLOSED_MS)
  for (const { envelope, confirmedBelow } of router.asked) {
    assert.ok(sameBytes(envelope!, router.envelope(1)))
    assert.is(confirmedBelow, closed)
  }
  for (const owner of 'ac') await router.answer(owner)
  assert.is(read.result, '1')
})

test('an owner that holds an entry again which the two others have purged is outvoted', async () => {
  const { router, read } = await dispute()
  await router.answer('c', router.known(CLOSED_MS))
  assert.is(read.result, undefined)
  assert.is(router.owners, '')
})

test('when the third owner is away or silent, the held entry is returned, and is not written back', async () => {
  for (const trouble of ['refuses', 'is behind', 'is silent', 'is away'] as const) {
    const router = new RouterHarness()
    if (trouble === 'is away') router.unlinked.add('c')
    router.view({ number: 1, window: [config(1, 'abc')] })
    await router.clock.advance(2 * CLOSED_MS)
    const read = router.get()
    await router.clock.settle()
    await router.answer('a', router.known(CLOSED_MS, router.envelope(1)))
    await router.answer('b', router.known(CLOSED_MS))
    if (trouble === 'refuses') await router.refuse('c', 'STORE_FAILED')
    if (trouble === 'is behind') await router.answer('c', router.stale(2))
    if (trouble === 'is silent') {
      router.take('c')
      await router.clock.advance(400)
      assert.is(router.owners, '')
      await router.clock.advance(200)
    }
    assert.is(router.owners, '', trouble)
    assert.is(read.result, '1', trouble)
  }
})

test('a denied newer entry does not make the read begin again', async () => {
  const { router, read } = await dispute()
  await router.answer('c', router.envelope(2))
  assert.is(router.owners, 'abc')
  await router.answer('a')
  await router.answer('c', router.version(2))
  assert.is(read.result, 'nothing', 'an owner that holds something else does not count')
  await router.answer('b')
  assert.is(read.result, '1')
})

test('a delete of a disputed key acts on the entry of the majority', async () => {
  const router = new RouterHarness()
  router.view({ number: 1, window: [config(1, 'abc')] })
  await router.clock.advance(2 * CLOSED_MS)
  const remove = router.delete()
  await router.clock.settle()
  await router.answer('a', router.known(CLOSED_MS))
  await router.answer('b', router.known(CLOSED_MS, router.envelope(1)))
  await router.answer('c', router.known(CLOSED_MS, router.envelope(1)))
  const { closed } = router.known(CLOSED_MS)
  await router.answer('a', router.promise(undefined, [], closed))
  await router.answer('b', router.promise(router.envelope(1), [], closed))
  await router.answer('c', router.promise(router.envelope(1), [], closed))
  assert.is(router.owners, 'abc')
  assert.equal(originOf(router.asked[0]!.envelope!), versionOf(router.envelope(1)), 'it is written again first')
  for (const owner of 'ab') await router.answer(owner)
  router.asked = router.asked.filter(({ ballot }) => ballot !== undefined)
  for (const owner of 'ab') await router.answer(owner, router.promise(router.envelope(1)))
  assert.ok(isTombstone(router.asked[0]!.envelope!))
  for (const { confirmedBelow } of router.asked) assert.is(confirmedBelow, undefined)
  for (const owner of 'ab') await router.answer(owner)
  assert.is(remove.result, true)
})

test.run()
