// The router's reads: which owners it asks and when it asks more, what it repairs, and what it counts.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { streamOf } from '../../lib/actors/large-requests.js'
import { sameBytes } from '../../lib/bytes.js'
import { compareVersions, originOf, versionOf } from '../../lib/entry/envelope.js'
import { RingdError, ValueLarger } from '../../lib/errors.js'
import { config } from '../sim/harness/ring-views.js'
import { RouterHarness } from '../sim/harness/router-harness.js'

const test = suite('router: reads')

async function harness(letters = 'abc'): Promise<RouterHarness> {
  const made = new RouterHarness()
  made.view({ number: 1, window: [config(1, letters)] })
  await made.clock.settle()
  return made
}

test('before a ring is known nothing is served', async () => {
  const router = new RouterHarness()
  const results = [router.get(), router.put(), router.delete()]
  await router.clock.settle()
  assert.equal(
    results.map(({ result }) => result),
    ['NOT_SERVING', 'NOT_SERVING', 'NOT_SERVING']
  )
})

test('a read asks this peer and the quickest other owner, and no more when both agree', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  assert.is(router.owners, 'ab')
  await router.answer('a', router.envelope(1))
  assert.is(read.result, 'nothing')
  await router.answer('b', router.envelope(1))
  assert.is(read.result, '1')
  await router.clock.advance(1000)
  assert.is(router.owners, '')
})

test('a slow owner is not waited for: another one is asked, and the late answer changes nothing', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.advance(15)
  assert.is(router.owners, 'ab')
  await router.clock.advance(20)
  assert.is(router.owners, 'abc')
  await router.answer('a', router.envelope(1))
  await router.answer('c', router.envelope(1))
  assert.is(read.result, '1')
  await router.answer('b', router.envelope(9))
  assert.is(read.result, '1')
})

test('an owner that answers slowly is asked last from then on', async () => {
  const router = await harness()
  for (let round = 0; round < 5; round++) {
    router.get()
    await router.clock.settle()
    await router.answer('a')
    const slow = router.take(router.owners[0]!)
    await router.clock.advance(15)
    slow.answer()
    await router.clock.settle()
  }
  router.get()
  await router.clock.settle()
  const second = router.owners[1]!
  await router.answer('a')
  await router.answer(second)
  router.get()
  await router.clock.settle()
  assert.is(router.owners, `a${second}`)
})

test('after a refusal the next owner is asked at once', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  await router.refuse('b', 'OVERLOADED')
  assert.is(router.owners, 'ac')
  await router.answer('a')
  await router.answer('c')
  assert.is(read.result, undefined)
})

test('an owner without a link is not asked, and neither is a peer with another store id', async () => {
  for (const trouble of ['unlinked', 'reborn'] as const) {
    const router = await harness()
    router[trouble].add('b')
    const read = router.get()
    await router.clock.settle()
    assert.is(router.owners, 'ac', trouble)
    await router.answer('a', router.envelope(1))
    await router.answer('c', router.envelope(1))
    assert.is(read.result, '1')
  }
})

test("owners that refuse are asked again until the read's time is over: NO_QUORUM", async () => {
  const router = await harness()
  const read = router.get()
  let refusals = 0
  for (let time = 0; time < 4900; time += 100) {
    await router.clock.advance(100)
    for (const { answer } of router.asked.splice(0)) {
      refusals += 1
      answer(new RingdError('STORE_FAILED'))
    }
  }
  assert.ok(refusals > 40, `${refusals}`)
  assert.is(read.result, 'nothing')
  await router.clock.advance(200)
  assert.is(read.result, 'NO_QUORUM')
})

test('when owners differ, the newest entry is written back unchanged before the read returns', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  await router.answer('a', router.envelope(1))
  await router.answer('b', router.envelope(2))
  assert.is(read.result, 'nothing')
  assert.is(router.owners, 'abc')
  assert.ok(router.asked.every(({ envelope }) => envelope !== undefined && sameBytes(envelope, router.envelope(2))))
  await router.answer('a')
  assert.is(read.result, 'nothing')
  await router.answer('c')
  assert.is(read.result, '2')
})

test('an owner that holds a newer entry at the repair makes the read begin again', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  await router.answer('a', router.envelope(1))
  await router.answer('b')
  await router.answer('a')
  await router.answer('b', router.version(3))
  assert.is(read.result, 'nothing')
  await router.answer('a', router.envelope(1))
  await router.answer('b', router.envelope(3))
  await router.answer('a')
  await router.answer('b')
  assert.is(read.result, '3')
})

test('a delete whose repair is outdated deletes the entry found then, and does not repeat the repair', async () => {
  const router = await harness()
  await router.clock.advance(10)
  const remove = router.delete()
  await router.clock.settle()
  await router.answer('a', router.envelope(1, '', true))
  await router.answer('b')
  await router.answer('a')
  await router.answer('b', router.version(2))
  router.take('c')
  await router.answer('a', router.envelope(1, '', true))
  await router.answer('b', router.envelope(2))
  for (const owner of 'ab') await router.answer(owner, router.promise(router.envelope(2)))
  assert.is(router.owners, 'abc')
  for (const { envelope } of router.asked) assert.ok(compareVersions(envelope!, router.envelope(2)) > 0)
  for (const owner of 'ab') await router.answer(owner)
  assert.is(remove.result, true)
})

test('a read of a key that is written all the time runs a round in the end', async () => {
  const router = await harness()
  await router.clock.advance(100)
  const read = router.get()
  await router.clock.settle()
  let rounds = 0
  for (; router.asked.every(({ ballot }) => ballot === undefined) && rounds < 20; rounds++) {
    await router.answer('a', router.envelope(rounds + 1))
    await router.answer('b')
    await router.answer('a')
    await router.answer('b', router.version(rounds + 2))
  }
  assert.is(rounds, 9)
  router.asked = router.asked.filter(({ ballot }) => ballot !== undefined)
  const last = router.envelope(rounds)
  for (const owner of 'ab') await router.answer(owner, router.promise(last))
  assert.equal(originOf(router.asked[0]!.envelope!), versionOf(last))
  for (const owner of 'ab') await router.answer(owner)
  assert.is(read.result, '9')
})

test('a tombstone reads as absent, and is repaired like any entry', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  await router.answer('a', router.envelope(1))
  await router.answer('b', router.envelope(2, '', true))
  assert.is(router.owners, 'abc')
  await router.answer('a')
  await router.answer('b')
  assert.is(read.result, undefined)
})

test('level one needs one answer and repairs nothing, and level all waits for every owner', async () => {
  const router = await harness()
  const one = router.get('k', 'one')
  await router.clock.settle()
  assert.is(router.owners, 'a')
  await router.answer('a', router.envelope(1))
  assert.is(one.result, '1')
  const all = router.get('k', 'all')
  await router.clock.settle()
  assert.is(router.owners, 'abc')
  for (const owner of 'ab') await router.answer(owner, router.envelope(1))
  assert.is(all.result, 'nothing')
  await router.answer('c', router.envelope(1))
  assert.is(all.result, '1')
})

test('with several configs each needs its quorum, and one owner counts in each of its configs', async () => {
  const router = new RouterHarness()
  router.view({ number: 3, window: [config(1, 'abc'), config(2, 'bcd'), config(3, 'cde')] })
  const read = router.get()
  await router.clock.settle()
  // a and b complete the first config, b and c would complete the second, d completes the third.
  assert.is([...router.owners].sort().join(''), 'abcd')
  await router.answer('a')
  await router.answer('b')
  await router.answer('c')
  assert.is(read.result, 'nothing')
  await router.answer('d')
  assert.is(read.result, undefined)
})

test('a dead joiner delays nothing while each config has its majority', async () => {
  const router = new RouterHarness()
  router.unlinked.add('d')
  router.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] })
  const [read, write] = [router.get(), router.put()]
  await router.clock.settle()
  for (const owner of ['a', 'b', 'a', 'b']) await router.answer(owner)
  assert.equal([read.result, write.result], [undefined, undefined])
})

test('after STALE_VIEW the view is learned, and the read begins again without its old answers', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  const late = router.take('b')
  await router.answer('a', router.stale(2))
  assert.is(router.learned.length, 1)
  assert.is(router.owners, 'c', 'another owner can complete the old phase')
  const other = router.take('c')
  router.view({ number: 2, window: [config(1, 'abc'), config(2, 'ade')] })
  await router.clock.settle()
  assert.ok(router.asked.every(({ view }) => view === 2))
  other.answer(router.envelope(9))
  late.answer(router.envelope(9))
  await router.clock.settle()
  assert.is(read.result, 'nothing')
  for (const owner of router.owners) await router.answer(owner, router.envelope(1))
  assert.is(read.result, '1')
})

test('an owner that always refuses with an invented view holds no operation up, and no real view', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  await router.answer('a', router.stale(1000))
  for (const owner of 'bc') await router.answer(owner, router.envelope(1))
  assert.is(read.result, '1')
  const write = router.put()
  await router.clock.settle()
  await router.answer('a', router.stale(1000))
  for (const owner of 'bc') await router.answer(owner)
  assert.is(write.result, undefined)
  assert.is(router.learned.length, 1)

  const next = router.get()
  await router.clock.advance(60)
  await router.answer('b', router.stale(2))
  assert.is(router.learned.length, 2, 'a real view that is told after an invented one')
  router.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] })
  await router.clock.settle()
  for (const { view, answer } of router.asked.splice(0)) if (view === 2) answer(router.envelope(1))
  await router.clock.settle()
  assert.is(next.result, '1')
})

test('a read asks for a small entry first, and for a large one on the stream of large values', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  const small = router.asked[0]!.bytesMax!
  assert.ok(small > 65_536 && small < 66_000)
  assert.equal(
    router.asked.map(({ bytesMax, stream }) => [bytesMax, stream]),
    [
      [small, undefined],
      [small, 'operations']
    ]
  )
  const late = router.take('a')
  await router.answer('b', new ValueLarger(small + 1))
  assert.equal(
    router.asked.map(({ bytesMax, stream }) => [bytesMax, stream]),
    [
      [undefined, undefined],
      [undefined, 'bulk']
    ]
  )
  late.answer(new ValueLarger(small + 1))
  const large = router.envelope(1, 'x'.repeat(70_000))
  for (const owner of 'ab') await router.answer(owner, large)
  assert.is((read.result as string).length, 70_000)

  const writeOf = (bytes: number) => ({ write: { view: 1, key: Buffer.from('k'), envelope: new Uint8Array(bytes) } })
  assert.equal([streamOf(writeOf(65_536)), streamOf(writeOf(70_000))], ['operations', 'bulk'])
})

test('a large value has half a second before another owner is asked', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  const late = router.take('b')
  await router.answer('a', new ValueLarger(100_000))
  late.answer(new ValueLarger(100_000))
  await router.clock.advance(480)
  const first = router.owners
  assert.is(first.length, 2)
  await router.clock.advance(40)
  assert.is(router.owners.length, 3)
  const large = router.envelope(1, 'x'.repeat(70_000))
  for (const owner of first) await router.answer(owner, large)
  assert.is((read.result as string).length, 70_000)
})

test('the time of a large value does not make its owner look slow', async () => {
  const router = await harness()
  router.get()
  await router.clock.settle()
  const late = router.take('a')
  await router.answer('b', new ValueLarger(100_000))
  late.answer(new ValueLarger(100_000))
  await router.clock.advance(300)
  assert.is(router.owners, 'ab')
  for (const owner of 'ab') await router.answer(owner, router.envelope(1, 'x'.repeat(70_000)))
  router.get()
  await router.clock.settle()
  assert.is(router.owners, 'ab')
})

test('a view that changes the owners restarts pending reads, and other views do not', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  router.view({ number: 2, window: [config(1, 'abc')] })
  await router.clock.settle()
  assert.is(router.owners, 'ab')
  router.view({ number: 3, window: [config(1, 'abc'), config(3, 'abd')] })
  await router.clock.settle()
  assert.ok(router.asked.slice(2).every(({ view }) => view === 3))
  for (const { answer } of router.asked.splice(2)) answer(router.envelope(1))
  await router.clock.settle()
  assert.is(read.result, '1')
})

test.run()
