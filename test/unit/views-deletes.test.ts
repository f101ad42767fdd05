// Deletes of a key that is absent already: after one has answered "nothing found", no read may return the value.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimRing } from '../sim/sim-ring.js'

const test = suite('views/deletes')

test('what is absent at one owner only is so at a quorum before a delete finds nothing', async () => {
  const ring = new SimRing(5)
  await ring.startAll(['a', 'b', 'c'])
  await ring.untilWhole(3)
  const a = ring.node('a')
  await ring.wait(a.put('key', 'value'))
  // What makes the key absent reaches only a. A delete needs a quorum; a value that expires at once does not.
  for (const name of ['b', 'c']) ring.kill(name)
  await ring.wait(a.put('key', 'short', 'one', 1))
  await ring.startAll(['b', 'c'])
  await ring.untilWhole(3)
  await ring.until(
    () => ring.running.every((one) => ring.running.every((other) => linked(one, other))),
    20_000,
    'links'
  )
  const b = ring.node('b')
  // The delete finds the expired value at a, while c is slow.
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
