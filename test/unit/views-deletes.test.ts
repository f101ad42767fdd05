// Deletes of a key that is already deleted: after one has answered "nothing found", no read may return the value.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimRing } from '../sim/sim-ring.js'

const test = suite('views/deletes')

test('a tombstone on one owner only reaches a quorum before a second delete finds nothing', async () => {
  const ring = new SimRing(5)
  await ring.startAll(['a', 'b', 'c'])
  await ring.untilWhole(3)
  const a = ring.node('a')
  await ring.wait(a.put('key', 'value'))
  // The first delete reaches only a.
  for (const name of ['b', 'c']) ring.kill(name)
  const existed = new Promise((resolve) => a.node.keyValue.delete(Buffer.from('key'), 'one', resolve))
  assert.is(await ring.wait(existed), true)
  await ring.startAll(['b', 'c'])
  await ring.untilWhole(3)
  await ring.until(
    () => ring.running.every((one) => ring.running.every((other) => linked(one, other))),
    20_000,
    'links'
  )
  const b = ring.node('b')
  // The second delete reads the tombstone from a, while c is slow.
  ring.hub.slow('c', 200)
  assert.is(await ring.wait(b.delete('key')), false)
  ring.hub.slow('c', 0)
  ring.kill('a')
  assert.is(await ring.wait(b.get('key')), undefined)
  ring.close()
})

function linked(one: SimRing['running'][number], other: SimRing['running'][number]): boolean {
  return one === other || one.network.link(other.name) !== undefined
}

test.run()
