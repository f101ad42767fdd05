// The router and expiring values: when a value is absent, what is repaired, and updates of a value that was read.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compareVersions, expiresAt, isTombstone, valueBytes } from '../../lib/entry/envelope.js'
import { config } from '../sim/harness/ring-views.js'
import { RouterHarness, START_MS } from '../sim/harness/router-harness.js'

const test = suite('router: expiry')

async function harness(): Promise<RouterHarness> {
  const made = new RouterHarness()
  made.view({ number: 1, window: [config(1, 'abc')] })
  await made.clock.settle()
  return made
}

test('a value is present until its expiry, to the ms, and absent from then on', async () => {
  for (const [atMs, get, find] of [
    [99, 'v', 'v until 100'],
    [100, undefined, undefined]
  ] as const) {
    const router = await harness()
    await router.clock.advance(atMs)
    const results = [router.get(), router.find()]
    await router.clock.settle()
    for (const owner of [...router.owners]) await router.answer(owner, router.expiring(1, 100, 'v'))
    assert.equal(
      results.map(({ result }) => result),
      [get, find],
      `${atMs} ms`
    )
    assert.is(router.owners, '')
  }
})

test('a delete of an expired value finds nothing, and a round writes that it is absent for all', async () => {
  const router = await harness()
  await router.clock.advance(100)
  const remove = router.delete()
  await router.clock.settle()
  for (const owner of 'ab') await router.answer(owner, router.expiring(1, 100))
  assert.is(remove.result, 'nothing')
  for (const owner of [...router.owners]) await router.answer(owner, router.promise(router.expiring(1, 100)))
  assert.is(router.owners, 'abc')
  for (const { envelope } of router.asked) assert.ok(isTombstone(envelope!))
  for (const owner of 'ab') await router.answer(owner)
  assert.is(remove.result, false)
})

test('a value that expired at one owner is written back before the read returns absent', async () => {
  for (const ask of ['get', 'find'] as const) {
    const router = await harness()
    await router.clock.advance(100)
    const asked = router[ask]()
    await router.clock.settle()
    const expired = router.expiring(2, 100)
    await router.answer('a', expired)
    await router.answer('b', router.envelope(1, 'older'))
    assert.is(router.owners, 'abc')
    for (const { envelope } of router.asked) assert.is(compareVersions(envelope!, expired), 0)
    await router.answer('b')
    assert.is(asked.result, 'nothing')
    await router.answer('c')
    assert.is(asked.result, undefined)
  }
})

test('a put carries its expiry, also when it is written again', async () => {
  const router = await harness()
  const put = router.putUntil(START_MS + 5000, 'v')
  await router.clock.settle()
  for (const owner of 'bc') await router.answer(owner, router.version(50))
  router.take('a')
  const none = [{ versions: [], isUnknown: false }]
  for (const owner of [...router.owners]) await router.answer(owner, router.promise(router.envelope(50), none))
  for (const { envelope } of router.asked.slice(-3)) assert.is(expiresAt(envelope!), START_MS + 5000)
  for (const owner of 'ab') await router.answer(owner)
  assert.is(put.result, undefined)
})

test('a put whose expiry is past is a delete, and an invalid expiry is refused', async () => {
  const router = await harness()
  const put = router.putUntil(START_MS, 'v')
  await router.clock.settle()
  assert.is(router.owners, 'abc')
  assert.ok(router.asked.every(({ envelope }) => isTombstone(envelope!)))
  for (const owner of 'ab') await router.answer(owner)
  assert.is(put.result, undefined)
  for (const expiresAtMs of [2 ** 48, START_MS + 0.5, Number.NaN]) {
    assert.is(router.putUntil(expiresAtMs).result, 'BAD_REQUEST')
  }
})

test('an update writes the value computed from the old one, and returns the old one', async () => {
  const router = await harness()
  await router.clock.advance(10)
  const update = router.update((found) => found && { value: found.value, expiresAtMs: START_MS + 900 })
  await router.clock.settle()
  for (const owner of 'ab') await router.answer(owner, router.promise(router.expiring(1, 500, 'v')))
  const { envelope } = router.asked[0]!
  assert.is(Buffer.from(valueBytes(envelope!)).toString(), 'v')
  assert.is(expiresAt(envelope!), START_MS + 900)
  assert.ok(compareVersions(envelope!, router.envelope(1)) > 0)
  for (const owner of 'ab') await router.answer(owner)
  assert.is(update.result, 'v until 500')
})

test('an update that changes nothing is a read, repair included', async () => {
  const router = await harness()
  const update = router.update(() => undefined, { isConditional: true })
  await router.clock.settle()
  await router.answer('a', router.envelope(2, 'v'))
  await router.answer('b', router.envelope(1, 'older'))
  assert.is(router.owners, 'abc')
  for (const owner of 'bc') await router.answer(owner)
  assert.is(update.result, 'v')
})

test('an update to a past expiry, and one that deletes, write a tombstone', async () => {
  for (const change of ['delete', { value: Buffer.from('w'), expiresAtMs: START_MS }] as const) {
    const router = await harness()
    await router.clock.advance(10)
    const update = router.update(() => change)
    await router.clock.settle()
    for (const owner of 'ab') await router.answer(owner, router.promise(router.envelope(1, 'v')))
    assert.ok(router.asked.every(({ envelope }) => isTombstone(envelope!)))
    for (const owner of 'ab') await router.answer(owner)
    assert.is(update.result, 'v')
  }
})

test('an update that another write overtook asks again before it decides', async () => {
  const router = await harness()
  await router.clock.advance(10)
  const seen: string[] = []
  const update = router.update((found) => {
    seen.push(Buffer.from(found?.value ?? []).toString())
    return found && { value: found.value, expiresAtMs: START_MS + 900 }
  })
  await router.clock.settle()
  for (const owner of 'ab') await router.answer(owner, router.promise(router.envelope(1, 'old')))
  const quicker = router.envelope(1000, 'new')
  for (const owner of 'ab') await router.answer(owner, router.version(1000))
  router.take('c')
  await router.clock.advance(20)
  const none = [{ versions: [], isUnknown: false }]
  for (const owner of [...router.owners]) await router.answer(owner, router.promise(quicker, none))
  for (const owner of 'ab') await router.answer(owner)
  assert.equal(seen, ['old', 'new'])
  assert.is(update.result, 'new')
})

test('an update that cannot be written is refused, and changes nothing', async () => {
  for (const [change, code] of [
    [{ value: Buffer.from('v'), expiresAtMs: 2 ** 48 }, 'BAD_REQUEST'],
    [{ value: Buffer.alloc(1001), expiresAtMs: undefined }, 'VALUE_TOO_LARGE']
  ] as const) {
    const router = await harness()
    const update = router.update(() => change)
    await router.clock.settle()
    for (const owner of 'ab') await router.answer(owner, router.promise())
    assert.ok(
      router.asked.every(({ envelope }) => isTombstone(envelope!)),
      'only that there is nothing is written'
    )
    for (const owner of 'ab') await router.answer(owner)
    assert.is(update.result, code)
  }
})

test.run()
