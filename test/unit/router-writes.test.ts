// The router's writes: versions, quorums, retries, bounds, and the drain.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../lib/bytes.js'
import {
  compareVersions,
  type Envelope,
  isTombstone,
  originOf,
  valueBytes,
  versionOf
} from '../../lib/entry/envelope.js'
import { type Version, versionMs } from '../../lib/entry/version.js'
import { RingdError } from '../../lib/errors.js'
import { config } from '../sim/harness/ring-views.js'
import { RouterHarness } from '../sim/harness/router-harness.js'

const test = suite('router: writes')

async function harness(letters = 'abc'): Promise<RouterHarness> {
  const made = new RouterHarness()
  made.view({ number: 1, window: [config(1, letters)] })
  await made.clock.settle()
  return made
}

test('a write goes to every owner, and is done when a majority has it', async () => {
  const router = await harness()
  const write = router.put('hello')
  await router.clock.settle()
  assert.is(router.owners, 'abc')
  const [first, second] = router.asked.map(({ envelope }) => envelope!)
  assert.is(compareVersions(first!, second!), 0)
  assert.equal(Buffer.from(valueBytes(first!)).toString(), 'hello')
  await router.answer('a')
  assert.is(write.result, 'nothing')
  await router.answer('c')
  assert.is(write.result, undefined)
})

test('no version is made before the ceiling of the clock is on disk', async () => {
  const router = await harness()
  router.holdFacts = true
  const write = router.put()
  await router.clock.advance(100)
  assert.is(router.owners, '')
  router.release()
  await router.clock.settle()
  assert.equal(router.persisted, ['clock-ceiling'])
  assert.is(router.owners, 'abc')
  for (const owner of 'ab') await router.answer(owner)
  assert.is(write.result, undefined)
})

test('a write that cannot get a version fails when its time is over', async () => {
  const router = await harness()
  router.holdFacts = true
  const write = router.put()
  await router.clock.advance(5100)
  assert.is(write.result, 'NO_QUORUM')
})

test('owners that refuse are asked again with the same version until there are enough', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  const { envelope } = router.asked[0]!
  await router.answer('a')
  for (let round = 0; round < 3; round++) {
    for (const owner of 'bc') await router.refuse(owner, 'UNREACHABLE')
    assert.is(write.result, 'nothing')
    await router.clock.advance(100)
    assert.is(router.owners, 'bc')
    assert.ok(router.asked.every((asked) => compareVersions(asked.envelope!, envelope!) === 0))
  }
  await router.answer('b')
  assert.is(write.result, undefined)
})

test('without a majority a write fails once when its time is over', async () => {
  const router = await harness()
  for (const letter of 'bc') router.unlinked.add(letter)
  const write = router.put()
  await router.clock.settle()
  await router.answer('a')
  await router.clock.advance(4900)
  assert.is(write.result, 'nothing')
  await router.clock.advance(200)
  assert.is(write.result, 'UNKNOWN_OUTCOME', 'the owner that answered holds it')
})

test('after STALE_VIEW the view is learned, and the write begins again with the same version', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  const { envelope } = router.asked[0]!
  await router.answer('a', router.stale(2))
  await router.answer('b')
  await router.answer('c')
  assert.is(write.result, undefined, 'a majority of the only config had it')
  const next = router.put()
  await router.clock.settle()
  const { envelope: second } = router.asked[0]!
  assert.ok(compareVersions(second!, envelope!) > 0)
  await router.answer('a', router.stale(2))
  await router.answer('b', router.stale(2))
  assert.is(router.learned.length, 1, 'one lesson is enough')
  router.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] })
  await router.clock.settle()
  const fresh = router.asked.filter(({ view }) => view === 2)
  assert.is(fresh.map(({ owner }) => owner).join(''), 'abcd')
  assert.ok(fresh.every((asked) => compareVersions(asked.envelope!, second!) === 0))
  for (const { owner, answer } of fresh) if ('ab'.includes(owner)) answer()
  await router.clock.settle()
  assert.is(next.result, undefined)
})

test('the answer of an owner that left the window does not count', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  const [, b, c] = router.asked.splice(0)
  router.view({ number: 2, window: [config(2, 'ade')] })
  await router.clock.settle()
  b!.answer()
  c!.answer()
  await router.clock.settle()
  assert.is(write.result, 'nothing')
  await router.answer('d')
  await router.answer('e')
  assert.is(write.result, undefined)
})

/** The owners ab promise a round, which asks about this one attempt, and hold these entries. */
async function promiseRound(router: RouterHarness, attempt: Version, a: Envelope, b: Envelope): Promise<void> {
  const rounds = router.asked.filter(({ ballot }) => ballot !== undefined)
  assert.is(rounds.map(({ owner }) => owner).join(''), 'ab')
  for (const { origins } of rounds) assert.equal(origins.map(toHex), [toHex(attempt)])
  router.asked = router.asked.filter(({ ballot }) => ballot === undefined)
  const tellings = [{ versions: [], isUnknown: false }]
  rounds[0]!.answer(router.promise(a, tellings))
  rounds[1]!.answer(router.promise(b, tellings))
  await router.clock.settle()
}

test('a newer version at one owner changes nothing, and at a majority it leads to a round', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  const old = router.asked[0]!.envelope!
  await router.answer('a', router.version(3000))
  assert.is(router.owners, 'bc')
  await router.answer('b', router.version(3000))
  router.take('c')
  await promiseRound(router, versionOf(old), router.envelope(3000), router.envelope(3000))
  const again = router.asked.filter(({ envelope }) => envelope !== undefined)
  assert.is(again.map(({ owner }) => owner).join(''), 'abc')
  assert.ok(versionMs(versionOf(again[0]!.envelope!)) >= versionMs(router.version(3000)))
  assert.ok(Buffer.compare(versionOf(again[0]!.envelope!), router.version(3000)) > 0)
  for (const { answer } of again.slice(0, 2)) answer()
  await router.clock.settle()
  assert.is(write.result, undefined)
})

test('while one owner is dead, a newer version at another one leads to a round', async () => {
  const router = await harness()
  router.unlinked.add('c')
  const write = router.put()
  await router.clock.settle()
  const first = router.asked[0]!.envelope!
  await router.answer('a')
  await router.answer('b', versionOf(router.envelope(20)))
  await router.clock.advance(100)
  assert.is(write.result, 'nothing')
  // The first owner holds the attempt, so the newest entry is chosen first, and then the write comes on top of it.
  await promiseRound(router, versionOf(first), first, router.envelope(20))
  assert.is(router.owners, 'ab')
  assert.equal(originOf(router.asked[0]!.envelope!), versionOf(router.envelope(20)))
  for (const owner of 'ab') await router.answer(owner)
  const adopted = router.asked[0]!
  assert.ok(adopted.ballot !== undefined)
  await promiseRound(router, versionOf(first), router.envelope(20), router.envelope(20))
  assert.is(router.owners, 'ab')
  assert.ok(compareVersions(router.asked[0]!.envelope!, router.envelope(20)) > 0)
  for (const owner of 'ab') await router.answer(owner)
  assert.is(write.result, undefined)
})

test('an error is certain only when every owner that was asked has refused', async () => {
  for (const [last, code] of [
    ['DISK_FULL', 'DISK_FULL'],
    ['TIMEOUT', 'UNKNOWN_OUTCOME'],
    [undefined, 'UNKNOWN_OUTCOME']
  ] as const) {
    const router = await harness()
    const write = router.put()
    await router.clock.settle()
    for (const owner of 'ab') await router.refuse(owner, 'DISK_FULL')
    assert.is(write.result, 'nothing', 'the answer of the third owner decides')
    if (last === undefined) await router.answer('c')
    else await router.refuse('c', last)
    assert.is(write.result, code)
  }
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  for (const owner of 'ab') await router.refuse(owner, 'DISK_FULL')
  await router.clock.advance(300)
  assert.is(write.result, 'UNKNOWN_OUTCOME', 'a silent owner is awaited for a moment only')
})

test('a newer version from too far ahead fails with CLOCK_SKEW', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  router.take('c').answer(new RingdError('BEHIND'))
  await router.answer('a', router.version(60_000))
  await router.answer('b', router.version(60_000))
  assert.is(write.result, 'CLOCK_SKEW')
})

test('a full disk at a majority fails the write at once; at one owner it does not', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  await router.refuse('a', 'DISK_FULL')
  assert.is(write.result, 'nothing')
  await router.refuse('b', 'DISK_FULL')
  await router.refuse('c', 'DISK_FULL')
  assert.is(write.result, 'DISK_FULL')
})

test('a delete reads first, and writes a tombstone only over an existing value', async () => {
  const router = await harness()
  for (const held of [undefined, router.envelope(1, '', true)]) {
    const missing = router.delete()
    await router.clock.settle()
    assert.ok(router.asked.every(({ envelope }) => envelope === undefined))
    for (const owner of router.owners) await router.answer(owner, held)
    assert.is(missing.result, false)
    assert.is(router.owners, '')
  }
  const existing = router.delete()
  await router.clock.settle()
  for (const owner of router.owners) await router.answer(owner, router.envelope(1))
  for (const owner of 'ab') await router.answer(owner, router.promise(router.envelope(1)))
  assert.is(router.owners, 'abc')
  assert.ok(router.asked.every(({ envelope }) => isTombstone(envelope!)))
  await router.answer('b')
  await router.answer('c')
  assert.is(existing.result, true)
})

test('level one needs one copy, and level all needs every copy', async () => {
  const router = await harness()
  const [one, all] = [router.put('v', 'one'), router.put('v', 'all')]
  await router.clock.settle()
  await router.answer('b')
  assert.is(one.result, undefined)
  router.asked = router.asked.filter(({ envelope }) => envelope !== undefined)
  const second = router.asked.slice(-3)
  second[0]!.answer()
  second[1]!.answer()
  await router.clock.settle()
  assert.is(all.result, 'nothing')
  second[2]!.answer()
  await router.clock.settle()
  assert.is(all.result, undefined)
})

test('keys and values that are too long are refused before any owner is asked', async () => {
  const router = await harness()
  const results = [
    router.put('v', 'quorum', 'k'.repeat(101)),
    router.put('v'.repeat(1001)),
    router.get('k'.repeat(101))
  ]
  await router.clock.settle()
  assert.equal(
    results.map(({ result }) => result),
    ['KEY_TOO_LARGE', 'VALUE_TOO_LARGE', 'KEY_TOO_LARGE']
  )
  assert.is(router.owners, '')
})

test('operations above the bound are refused', async () => {
  const router = await harness()
  for (let round = 0; round < 4; round++) {
    for (let count = 0; count < 5000; count++) router.get('k', 'one')
    await router.clock.settle()
  }
  const refused = router.get()
  await router.clock.settle()
  assert.is(refused.result, 'OVERLOADED')
  router.asked[0]!.answer()
  await router.clock.settle()
  const taken = router.get()
  await router.clock.settle()
  assert.is(taken.result, 'nothing')
})

test('a drain waits for pending operations, and a stop fails the remaining ones', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  let drained = false
  router.ref.tell({
    type: 'drain',
    reply: () => {
      drained = true
    }
  })
  await router.clock.settle()
  assert.not(drained)
  await router.answer('a')
  await router.answer('b')
  assert.is(write.result, undefined)
  assert.ok(drained)
  const left = router.get()
  await router.clock.settle()
  void router.ref.stop()
  await router.clock.settle()
  assert.is(left.result, 'STOPPED')
  router.take('a').answer(new RingdError('STOPPED'))
})

test.run()
