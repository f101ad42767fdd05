// A ring that has lost its majority says so at once, and goes on when the majority is back.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RingdError } from '../../lib/errors.js'
import { lostMajority } from '../../lib/node/lost-majority.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node lost majority')
const DOWN_MS = 8000

function view(count: number, elder?: string) {
  const members = new Map(names(count).map((name) => [name, undefined as never]))
  return { members, self: 'n0', elder }
}

function down(...ids: readonly string[]) {
  return new Map(ids.map((id) => [id, { liveness: 'down' as const }]))
}

test('the words name how many are lost, and the command for it', () => {
  assert.is(lostMajority(view(3), down('n1')), undefined)
  const lost = lostMajority(view(3), down('n1', 'n2'))
  assert.equal([lost?.kind, lost?.down, lost?.members], ['choose', ['n1', 'n2'], 3])
  assert.match(lost!.says, /^2 of 3 members .*ringd rescue --data DIR/)
  const second = lostMajority(view(2, 'n0'), down('n1'))
  assert.is(second?.kind, 'second')
  assert.match(second!.says, /ringd remove n1 --force/)
  assert.is(lostMajority(view(2), down('n1'))?.kind, 'choose')
  for (const one of [lost, second]) assert.ok(one!.says.length <= 300)
})

test('a removal on which too few members can agree is refused at once', async () => {
  const ring = new SimRing(1)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  const [, lost] = names(3).map((name) => ring.node(name).node.storeId)
  for (const name of ['n1', 'n2']) ring.kill(name)
  await ring.clock.advance(DOWN_MS)
  const before = ring.clock.elapsed()
  const refused = ring.node('n0').node.remove(lost!, { force: true })
  const error = await ring.wait(
    refused.then(
      () => undefined,
      (thrown: RingdError) => thrown
    )
  )
  assert.is(error?.code, 'NO_QUORUM')
  assert.match(error!.message, /2 of 3 members .*ringd rescue/)
  assert.ok(ring.clock.elapsed() - before < 1000)
  await ring.start('n1')
  await ring.until(() => ring.agrees(3), 30_000, 'the majority is back')
  assert.is(
    await ring.wait(
      ring
        .node('n0')
        .node.remove(ring.node('n1').node.storeId, { force: true })
        .then(
          () => 'asked',
          () => 'refused'
        )
    ),
    'refused'
  )
  ring.close()
})

test('the first member of a ring of two goes on alone when told to, and the second one believes that', async () => {
  const ring = new SimRing(2)
  await ring.startAll(names(2))
  await ring.untilWhole(2)
  await ring.wait(ring.node('n1').put('a', '1'))
  ring.kill('n1')
  await ring.clock.advance(DOWN_MS)
  const first = ring.node('n0').node
  const second = [...first.view!.members.keys()].find((id) => id !== first.storeId)!
  await ring.wait(first.remove(second, { force: true }))
  await ring.untilWhole(1)
  assert.is(await ring.wait(ring.node('n0').get('a')), '1')
  await ring.wait(ring.node('n0').put('a', '2'))
  const back = await ring.start('n1')
  const error = await ring.wait(back.node.failed, 60_000)
  assert.is(error.code, 'REMOVED')
  await ring.stop('n1')
  await ring.start('n1')
  await ring.untilWhole(2, 60_000)
  assert.is(await ring.wait(ring.node('n1').get('a')), '2')
  ring.close()
})

test('the second member cannot go on alone', async () => {
  const ring = new SimRing(3)
  await ring.startAll(names(2))
  await ring.untilWhole(2)
  const first = ring.node('n0').node.storeId
  ring.kill('n0')
  await ring.clock.advance(DOWN_MS)
  const refused = ring.node('n1').node.remove(first, { force: true })
  assert.is(await ring.wait(refused.catch((thrown: RingdError) => thrown.code)), 'NO_QUORUM')
  ring.close()
})

test.run()
