// Owners with little room on their disks: a write that needs them asks them first, so that nobody stores a refused one.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { config } from '../sim/harness/ring-views.js'
import { RouterHarness } from '../sim/harness/router-harness.js'

const test = suite('router: full owners')

/** The owners are a (this peer), b and c. Those of `short` have little room. */
async function harness(short: string): Promise<RouterHarness> {
  const router = new RouterHarness()
  router.view({ number: 1, window: [config(1, 'abc')] })
  for (const letter of short) router.room(letter, true)
  await router.clock.settle()
  return router
}

test('a write that needs owners with little room asks them first, and nobody else when they refuse', async () => {
  const router = await harness('bc')
  const write = router.put()
  await router.clock.settle()
  assert.is(router.owners, 'bc')
  await router.refuse('b', 'DISK_FULL')
  await router.refuse('c', 'DISK_FULL')
  assert.is(write.result, 'DISK_FULL')
  assert.is(router.owners, '')
})

test('when one of them has stored it, the others are asked, and the write is done with a quorum', async () => {
  const router = await harness('bc')
  const write = router.put()
  await router.clock.settle()
  await router.answer('c')
  assert.is(router.owners, 'ba')
  await router.refuse('b', 'DISK_FULL')
  assert.is(write.result, 'nothing')
  await router.answer('a')
  assert.is(write.result, undefined)
  assert.equal(
    router.hinted.map(({ owner }) => owner),
    ['b']
  )
})

test('an owner that is left for last and cannot be reached gets a hint', async () => {
  const router = await harness('ab')
  router.unlinked.add('c')
  const write = router.put()
  await router.clock.settle()
  assert.is(router.owners, 'ab')
  await router.answer('a')
  await router.answer('b')
  assert.is(write.result, undefined)
  assert.equal(
    router.hinted.map(({ owner }) => owner),
    ['c']
  )
})

test('one owner with little room delays nothing: the others are a quorum', async () => {
  const router = await harness('c')
  const write = router.put()
  await router.clock.settle()
  assert.is(router.owners, 'abc')
  for (const owner of 'ab') await router.answer(owner)
  assert.is(write.result, undefined)
})

test('an owner without a link cannot stand in for one with little room', async () => {
  const router = await harness('b')
  router.unlinked.add('c')
  const write = router.put()
  await router.clock.settle()
  assert.is(router.owners, 'b')
  await router.answer('b')
  assert.is(router.owners, 'a')
  await router.answer('a')
  assert.is(write.result, undefined)
})

test('every config of a moving slot needs room', async () => {
  const router = await harness('bc')
  router.view({ number: 2, window: [config(1, 'abc'), config(2, 'cde')] })
  const write = router.put()
  await router.clock.settle()
  assert.is(router.owners, 'bc')
  await router.answer('b')
  assert.is([...router.owners].sort().join(''), 'acde')
  for (const owner of 'ade') await router.answer(owner)
  assert.is(write.result, undefined)
})

test('a refusal for want of room is remembered until the owner tells that it has room', async () => {
  const router = await harness('')
  const first = router.put()
  await router.clock.settle()
  assert.is(router.owners, 'abc')
  await router.refuse('b', 'DISK_FULL')
  await router.refuse('c', 'DISK_FULL')
  await router.answer('a')
  assert.is(first.result, 'UNKNOWN_OUTCOME', 'one owner stored it: it may be found later')
  router.put()
  await router.clock.settle()
  assert.is(router.owners, 'bc')
  for (const owner of 'bc') await router.refuse(owner, 'DISK_FULL')
  router.room('b', false)
  router.put()
  await router.clock.settle()
  assert.is(router.owners, 'abc')
})

test('the owners of a repair are asked at once: it may use their reserves', async () => {
  const router = await harness('bc')
  router.get()
  await router.clock.settle()
  await router.answer('a', router.envelope(2))
  await router.answer(router.owners, router.envelope(1))
  assert.is(router.owners, 'abc')
})

test.run()
