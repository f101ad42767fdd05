// What the router does while the clock of this peer is wrong, was not compared yet, or meets entries of the future.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { versionOf } from '../../lib/entry/envelope.js'
import { versionMs } from '../../lib/entry/version.js'
import { config } from '../sim/harness/ring-views.js'
import { RouterHarness, START_MS } from '../sim/harness/router-harness.js'

const test = suite('router-clock')
const HOUR = 3_600_000

async function harness(): Promise<RouterHarness> {
  const router = new RouterHarness()
  router.view({ number: 1, window: [config(1, 'abc')] })
  await router.clock.settle()
  return router
}

test('a peer with a wrong clock refuses every operation at once, and asks no owner', async () => {
  for (const [aheadMs, words] of [
    [7200, '7.2 s ahead of most members'],
    [-HOUR, '3600.0 s behind most members']
  ] as const) {
    const router = await harness()
    router.verdict = { state: 'wrong', aheadMs }
    let message = ''
    router.keyValue.get(Buffer.from('k'), 'quorum', (result) => {
      message = result instanceof Error ? result.message : ''
    })
    const all = [router.get(), router.put(), router.delete(), router.find(), router.update(() => undefined)]
    await router.clock.settle()
    assert.equal(
      all.map(({ result }) => result),
      new Array(5).fill('CLOCK_SKEW')
    )
    assert.is(message, `the clock of this peer is ${words}; it takes no requests until the clock is right`)
    assert.is(router.owners, '')
    assert.equal(router.persisted, [])
  }
})

test('a write waits while the clock is doubtful, a read does not', async () => {
  const router = await harness()
  router.verdict = { state: 'doubtful' }
  const write = router.put()
  const read = router.get()
  await router.clock.advance(1000)
  assert.is(router.asked.filter(({ envelope }) => envelope !== undefined).length, 0)
  assert.equal(router.persisted, [], 'no ceiling moves')
  assert.ok(router.owners.includes('a'))
  router.asked = []
  router.verdict = { state: 'right' }
  await router.clock.advance(50)
  assert.is(router.owners.slice(-3), 'abc')
  const { envelope } = router.take('b')
  assert.ok(versionMs(versionOf(envelope!)) >= START_MS + 1000)
  await router.answer('a')
  await router.answer('c')
  assert.is(write.result, undefined)
  assert.is(read.result, 'nothing')
})

test('a write that waits for the clock ends with it, or at its deadline', async () => {
  const router = await harness()
  router.verdict = { state: 'doubtful' }
  const late = router.put()
  await router.clock.advance(5100)
  assert.is(late.result, 'NO_QUORUM')
  const refused = router.put()
  await router.clock.advance(500)
  router.verdict = { state: 'wrong', aheadMs: HOUR }
  await router.clock.advance(100)
  assert.is(refused.result, 'CLOCK_SKEW')
  assert.is(router.owners, '')
})

test('an owner whose entry lies too far ahead counts as one that failed, and the others are asked', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  assert.is(router.owners, 'ab')
  await router.answer('a', router.envelope(0, 'old'))
  await router.answer('b', router.envelope(HOUR, 'future'))
  assert.is(router.owners, 'c')
  await router.answer('c', router.envelope(0, 'old'))
  assert.is(read.result, 'old')
})

test('a read fails when only entries of the future could answer it', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  await router.answer('a', router.envelope(HOUR, 'future'))
  await router.answer('b', router.envelope(HOUR, 'future'))
  assert.is(read.result, 'CLOCK_SKEW')
})

test('a write passes an entry of the future at one owner', async () => {
  const router = await harness()
  const write = router.put()
  await router.clock.settle()
  await router.answer('a', router.version(HOUR))
  await router.answer('b')
  await router.answer('c')
  assert.is(write.result, undefined)
})

test('the ceiling leads further when the disk is slow, so that a write has its version in time', async () => {
  const router = await harness()
  router.diskSpeed.syncMs = 2500
  router.holdFacts = true
  const write = router.put()
  await router.clock.advance(4900)
  assert.is(router.owners, '')
  router.release()
  await router.clock.settle()
  assert.is(router.owners, 'abc')
  await router.answer('b')
  await router.answer('c')
  assert.is(write.result, undefined)
})

test.run()
