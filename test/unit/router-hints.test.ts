// The router's hints: which owners get one, when, and that a hint never counts towards a quorum.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compareBytes } from '../../lib/bytes.js'
import { isTombstone } from '../../lib/entry/envelope.js'
import type { ErrorCode } from '../../lib/errors.js'
import { config } from '../sim/harness/ring-views.js'
import { RouterHarness } from '../sim/harness/router-harness.js'

const test = suite('router: hints')

async function harness(): Promise<RouterHarness> {
  const made = new RouterHarness()
  made.view({ number: 1, window: [config(1, 'abc')] })
  await made.clock.settle()
  return made
}

function hinted(router: RouterHarness): string {
  return router.hinted.map(({ owner }) => owner).join('')
}

/** A write that a and b have taken. c was asked as well. */
async function acknowledged(): Promise<RouterHarness> {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  for (const owner of 'ab') await router.answer(owner)
  assert.is(write.result, undefined)
  assert.is(hinted(router), '')
  return router
}

test('an owner without a link gets a hint when the write is acknowledged, and not before', async () => {
  const router = await harness()
  router.unlinked.add('c')
  const write = router.put()
  await router.clock.settle()
  const { envelope } = router.asked[0]!
  await router.answer('a')
  assert.is(hinted(router), '')
  await router.answer('b')
  assert.is(write.result, undefined)
  assert.is(hinted(router), 'c')
  assert.is(compareBytes(router.hinted[0]!.envelope, envelope!), 0)
})

test('a peer with another store id is no link to the owner: the owner gets a hint', async () => {
  const router = await harness()
  router.reborn.add('c')
  router.put()
  await router.clock.settle()
  for (const owner of 'ab') await router.answer(owner)
  assert.is(hinted(router), 'c')
})

test('an owner that answers late gets no hint, and one that refuses late does', async () => {
  const router = await acknowledged()
  await router.answer('c')
  assert.is(hinted(router), '')
  for (const code of ['TIMEOUT', 'UNREACHABLE', 'OVERLOADED', 'STORE_FAILED', 'BEHIND', 'DISK_FULL'] as ErrorCode[]) {
    const other = await acknowledged()
    await other.refuse('c', code)
    assert.is(hinted(other), 'c', code)
  }
})

test('an owner that stays silent gets a hint when its time is over', async () => {
  const router = await acknowledged()
  await router.clock.advance(4900)
  assert.is(hinted(router), '')
  await router.clock.advance(200)
  assert.is(hinted(router), 'c')
})

test('an owner that has moved on, is damaged, or holds a newer version gets no hint', async () => {
  for (const code of ['STALE_VIEW', 'NOT_OWNER', 'BAD_ENTRY', 'CLOCK_SKEW'] as ErrorCode[]) {
    const late = await acknowledged()
    await late.refuse('c', code)
    assert.is(hinted(late), '', `${code} afterwards`)
  }
  const router = await acknowledged()
  await router.answer('c', router.version(3000))
  assert.is(hinted(router), '')
  const early = await harness()
  early.put()
  await early.clock.settle()
  await early.refuse('c', 'CLOCK_SKEW')
  for (const owner of 'ab') await early.answer(owner)
  assert.is(hinted(early), '')
})

test('an owner that refused before the acknowledgement gets a hint, unless it takes the write in the end', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  await router.refuse('c', 'OVERLOADED')
  for (const owner of 'ab') await router.answer(owner)
  assert.is(write.result, undefined)
  assert.is(hinted(router), 'c')
  const again = await harness()
  again.put()
  await again.clock.settle()
  await again.refuse('c', 'OVERLOADED')
  await again.answer('a')
  await again.clock.advance(100)
  await again.answer('c')
  await again.answer('b')
  assert.is(hinted(again), '')
})

test('a write that fails leaves no hint, and a hint does not make it succeed', async () => {
  const router = await harness()
  for (const letter of 'bc') router.unlinked.add(letter)
  const write = router.put()
  await router.clock.settle()
  await router.answer('a')
  await router.clock.advance(6000)
  assert.is(write.result, 'UNKNOWN_OUTCOME')
  assert.is(hinted(router), '')
})

test("a delete leaves a hint with its tombstone, and a read's repair leaves none", async () => {
  const router = await harness()
  router.unlinked.add('c')
  const deleted = router.delete()
  await router.clock.settle()
  await router.answer('a', router.envelope(1))
  await router.answer('b', router.envelope(1))
  for (const owner of 'ab') await router.answer(owner, router.promise(router.envelope(1)))
  for (const owner of 'ab') await router.answer(owner)
  assert.is(deleted.result, true)
  assert.is(hinted(router), 'c')
  assert.ok(isTombstone(router.hinted[0]!.envelope))
  const read = router.get()
  await router.clock.settle()
  await router.answer('a', router.envelope(1))
  await router.answer('b', router.envelope(2))
  for (const owner of 'ab') await router.answer(owner)
  assert.is(read.result, '2')
  assert.is(hinted(router), 'c', 'no other')
})

test('unanswered owners are remembered up to a bound, and the rest is counted', async () => {
  const value = 'x'.repeat(12 * 2 ** 20)
  const router = new RouterHarness(5000, value.length)
  router.view({ number: 1, window: [config(1, 'abc')] })
  const writes = [1, 2, 3, 4].map(() => router.put(value, 'one'))
  await router.clock.settle()
  for (const _ of writes) await router.answer('a')
  assert.ok(writes.every(({ result }) => result === undefined))
  assert.is(router.dropped, 3, 'five of eight fit into 64 MiB')
  await router.clock.advance(6000)
  assert.is(hinted(router), 'bcbcb')
  const next = router.put(value, 'one')
  await router.clock.settle()
  await router.answer('a')
  assert.is(next.result, undefined)
  assert.is(router.dropped, 3, 'there is room again')
})

test.run()
