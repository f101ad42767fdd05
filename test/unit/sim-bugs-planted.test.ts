// A few planted bugs from end to end: with the bug its scenario fails, without the bug the same process finds nothing.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runChild } from '../sim/bugs/hunt.js'

const test = suite('sim bugs planted')
const LIMIT_MS = 60_000

for (const [bug, scenario] of [
  ['noFence', 'lateWriteAfter'],
  ['acceptedBeforeDisk', 'hastyAcceptor'],
  ['lastArrivalWins', 'arrivalOrder'],
  ['settledByOne', 'oneReady']
] as const) {
  test(`${scenario} finds ${bug}`, async () => {
    const finding = await runChild(bug, ['scenario', scenario], LIMIT_MS)
    assert.is(finding.outcome, 'found', finding.message)
  })
}

test('without a bug the same process finds nothing', async () => {
  assert.equal(await runChild(undefined, ['scenario', 'arrivalOrder'], LIMIT_MS), { outcome: 'sound', message: '' })
})

test('a bug that does not exist is refused', async () => {
  try {
    await runChild('noSuchBug', ['scenario', 'arrivalOrder'], LIMIT_MS)
    assert.unreachable()
  } catch (thrown) {
    assert.match((thrown as Error).message, /there is no bug called noSuchBug/)
  }
})

test.run()
