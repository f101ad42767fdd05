// The rounds of the router: updates, what is in their way, turns of one key, and the outcomes that clients are told.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../lib/bytes.js'
import { ABSENT, increment, writeIf } from '../../lib/decisions.js'
import { compareVersions, isTombstone, originOf, valueBytes, versionOf } from '../../lib/entry/envelope.js'
import type { Version } from '../../lib/entry/version.js'
import { config } from '../sim/harness/ring-views.js'
import { type Asked, RouterHarness, START_MS } from '../sim/harness/router-harness.js'

const test = suite('router: rounds')

async function harness(letters = 'abc'): Promise<RouterHarness> {
  const made = new RouterHarness()
  made.view({ number: 1, window: [config(1, letters)] })
  await made.clock.advance(100)
  return made
}

/** What an owner knows of one attempt. */
function told(versions: readonly Version[] = [], isShown = true, isUnknown = false) {
  return { versions: versions.map((version) => ({ version, isShown })), isUnknown }
}

function textOf({ envelope }: Asked): string {
  return isTombstone(envelope!) ? 'nothing' : Buffer.from(valueBytes(envelope!)).toString()
}

/** Takes all open requests; they are of this kind. */
function takeAll(router: RouterHarness, kind: 'read' | 'prepare' | 'write'): Asked[] {
  const taken = router.asked
  router.asked = []
  for (const { envelope, ballot } of taken) {
    assert.is(envelope !== undefined ? 'write' : ballot !== undefined ? 'prepare' : 'read', kind)
  }
  return taken
}

async function answerAll(router: RouterHarness, asked: readonly Asked[], result?: Parameters<Asked['answer']>[0]) {
  for (const { answer } of asked) answer(result)
  await router.clock.settle()
}

test('an increment takes a promise of a quorum, and writes to all owners', async () => {
  const router = await harness()
  const sum = router.change(increment(5n))
  await router.clock.settle()
  const prepares = takeAll(router, 'prepare')
  assert.is(prepares.length, 2, 'as few owners as a quorum needs')
  await answerAll(router, prepares, router.promise(router.envelope(1, '37')))
  const writes = takeAll(router, 'write')
  assert.is(writes.length, 3)
  assert.equal(writes.map(textOf), ['42', '42', '42'])
  assert.equal(toHex(versionOf(writes[0]!.envelope!)), toHex(prepares[0]!.ballot!), 'the entry has the ballot')
  await answerAll(router, writes.slice(0, 1))
  assert.is(sum.result, 'nothing')
  await answerAll(router, writes.slice(1, 2))
  assert.is(sum.result, 42n)
})

test('nothing is built on an entry that a quorum does not hold: it is written again first', async () => {
  const router = await harness()
  const sum = router.change(increment(1n))
  await router.clock.settle()
  const [a, b] = takeAll(router, 'prepare')
  a!.answer(router.promise(router.envelope(1, '7')))
  await answerAll(router, [b!], router.promise())
  const adoption = takeAll(router, 'write')
  assert.is(textOf(adoption[0]!), '7')
  assert.equal(originOf(adoption[0]!.envelope!), router.version(1))
  assert.ok(compareVersions(adoption[0]!.envelope!, router.envelope(1)) > 0)
  await answerAll(router, adoption)
  await answerAll(router, takeAll(router, 'prepare'), router.promise(router.envelope(2, '7')))
  await answerAll(router, takeAll(router, 'write'))
  assert.is(sum.result, 8n)
})

test('a condition that fails is answered after the entry it was decided by is on a quorum again', async () => {
  const router = await harness()
  const write = router.change(writeIf(ABSENT, Buffer.from('w'), undefined))
  await router.clock.settle()
  const [a, b] = takeAll(router, 'prepare')
  a!.answer(router.promise(router.envelope(1, 'v')))
  await answerAll(router, [b!], router.promise())
  const adoption = takeAll(router, 'write')
  assert.equal(adoption.map(textOf), ['v', 'v', 'v'])
  assert.is(write.result, 'nothing')
  await answerAll(router, adoption)
  assert.is((write.result as { isDone: boolean }).isDone, false)
})

test('a conditional write reads first, and needs no round when its condition fails', async () => {
  const router = await harness()
  const write = router.change(writeIf(ABSENT, Buffer.from('w'), undefined), { isConditional: true })
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'read'), router.envelope(1, 'v'))
  assert.is((write.result as { isDone: boolean }).isDone, false)
  assert.is(router.owners, '')
})

test('a decision that throws changes nothing, and its error is the answer', async () => {
  const router = await harness()
  const update = router.change(() => {
    throw new Error('a defect')
  })
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise(router.envelope(1, 'v')))
  const writes = takeAll(router, 'write')
  assert.equal(writes.map(textOf), ['v', 'v', 'v'])
  await answerAll(router, writes)
  assert.is(update.result, 'INTERNAL')
})

test('a refused ballot is asked again after a pause, above what refused it', async () => {
  const router = await harness()
  const sum = router.change(increment(1n))
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), { refusedBy: router.version(900) })
  assert.is(takeAll(router, 'prepare').length, 1, 'the third owner was asked in place of the first that refused')
  await router.clock.advance(20)
  const prepares = takeAll(router, 'prepare')
  assert.ok(Buffer.compare(prepares[0]!.ballot!, router.version(900)) > 0)
  await answerAll(router, prepares, router.promise())
  await answerAll(router, takeAll(router, 'write'))
  assert.is(sum.result, 1n)
})

test('an owner that had the entry counts, and one that has promised another round does not', async () => {
  const router = await harness()
  const sum = router.change(increment(1n))
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  const [a, b, c] = takeAll(router, 'write')
  a!.answer({ promised: router.version(950) })
  await answerAll(router, [b!])
  assert.is(sum.result, 'nothing')
  await answerAll(router, [c!], { newer: router.version(950), had: true })
  assert.is(sum.result, 1n)
})

/** An increment whose first attempt reached owner b only; its second prepare is open. */
async function halfWritten(router: RouterHarness) {
  const sum = router.change(increment(1n))
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  const [a, b, c] = takeAll(router, 'write')
  const attempt = b!.envelope!
  await answerAll(router, [b!])
  await answerAll(router, [a!, c!], { promised: router.version(950) })
  await router.clock.advance(20)
  const prepares = takeAll(router, 'prepare')
  for (const { origins } of prepares) assert.equal(origins.map(toHex), [toHex(versionOf(attempt))])
  return { sum, attempt, prepares }
}

test('an attempt that is the newest entry is written again, and its first answer stands', async () => {
  const router = await harness()
  const { sum, attempt, prepares } = await halfWritten(router)
  prepares[0]!.answer(router.promise(attempt, [told([versionOf(attempt)])]))
  await answerAll(router, [prepares[1]!], router.promise(undefined, [told()]))
  const writes = takeAll(router, 'write')
  assert.equal(toHex(originOf(writes[0]!.envelope!)), toHex(versionOf(attempt)))
  assert.is(textOf(writes[0]!), '1')
  await answerAll(router, writes)
  assert.is(sum.result, 1n)
})

test('an attempt that was overwritten unseen is made anew, on top of the newest entry', async () => {
  const router = await harness()
  const { sum, attempt, prepares } = await halfWritten(router)
  const newest = router.envelope(950, '10')
  prepares[0]!.answer(router.promise(newest, [told([versionOf(attempt)], false)]))
  await answerAll(router, [prepares[1]!], router.promise(newest, [told()]))
  const writes = takeAll(router, 'write')
  assert.is(textOf(writes[0]!), '11')
  await answerAll(router, writes)
  assert.is(sum.result, 11n)
})

test('while nobody knows whether an attempt took effect, others are heard, then the outcome is unknown', async () => {
  const router = await harness()
  const { sum, attempt, prepares } = await halfWritten(router)
  const newest = router.envelope(950, '10')
  prepares[0]!.answer(router.promise(newest, [told([versionOf(attempt)], true)]))
  await answerAll(router, [prepares[1]!], router.promise(newest, [told()]))
  const [third] = takeAll(router, 'prepare')
  assert.equal(toHex(third!.ballot!), toHex(prepares[0]!.ballot!), 'under the same ballot')
  await answerAll(router, [third!], router.promise(newest, [told([], true, true)]))
  assert.is(sum.result, 'UNKNOWN_OUTCOME')
})

test('the third owner can clear the doubt, and the increment goes on', async () => {
  const router = await harness()
  const { sum, attempt, prepares } = await halfWritten(router)
  const newest = router.envelope(950, '10')
  prepares[0]!.answer(router.promise(newest, [told([versionOf(attempt)], true)]))
  await answerAll(router, [prepares[1]!], router.promise(newest, [told()]))
  await answerAll(router, takeAll(router, 'prepare'), router.promise(newest, [told()]))
  const writes = takeAll(router, 'write')
  assert.is(textOf(writes[0]!), '11')
  await answerAll(router, writes)
  assert.is(sum.result, 11n)
})

test('while an owner that could tell is away, the outcome is unknown after two seconds', async () => {
  const router = await harness()
  router.unlinked.add('c')
  const { sum, attempt, prepares } = await halfWrittenWithout(router)
  const newest = router.envelope(950, '10')
  prepares[0]!.answer(router.promise(newest, [told([versionOf(attempt)], true)]))
  await answerAll(router, [prepares[1]!], router.promise(newest, [told()]))
  await router.clock.advance(1900)
  assert.is(sum.result, 'nothing')
  await router.clock.advance(200)
  assert.is(sum.result, 'UNKNOWN_OUTCOME')
})

async function halfWrittenWithout(router: RouterHarness) {
  const sum = router.change(increment(1n))
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  const [a, b] = takeAll(router, 'write')
  const attempt = b!.envelope!
  await answerAll(router, [b!])
  await answerAll(router, [a!], { promised: router.version(950) })
  await router.clock.advance(80)
  return { sum, attempt, prepares: takeAll(router, 'prepare') }
}

test('under a newer window a round keeps its entry, and a prepare takes a new ballot', async () => {
  const router = await harness()
  const sum = router.change(increment(1n))
  await router.clock.settle()
  const [first] = takeAll(router, 'prepare')
  router.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] })
  await router.clock.settle()
  const prepares = takeAll(router, 'prepare')
  assert.ok(Buffer.compare(prepares[0]!.ballot!, first!.ballot!) > 0)
  await answerAll(router, prepares, router.promise())
  const { envelope } = takeAll(router, 'write')[0]!
  router.view({ number: 3, window: [config(2, 'abd'), config(3, 'ade')] })
  await router.clock.settle()
  const writes = takeAll(router, 'write')
  assert.is(writes.map(({ owner }) => owner).join(''), 'abde')
  assert.is(compareVersions(writes[0]!.envelope!, envelope!), 0)
  await answerAll(router, writes)
  assert.is(sum.result, 1n)
})

test('when the peer stops, the operations of one round do not know their outcome', async () => {
  const router = await harness()
  const sums = Array.from({ length: 3 }, () => router.change(increment(1n)))
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  await answerAll(router, takeAll(router, 'write'))
  await answerAll(router, takeAll(router, 'prepare'), router.promise(router.envelope(10, '1')))
  takeAll(router, 'write')
  const waits = router.change(increment(1n))
  await router.clock.settle()
  await router.ref.stop()
  assert.equal(
    [...sums, waits].map(({ result }) => result),
    [1n, 'UNKNOWN_OUTCOME', 'UNKNOWN_OUTCOME', 'STOPPED']
  )
})

test('operations on one key take turns, and those that wait are done in one round', async () => {
  const router = await harness()
  const sums = Array.from({ length: 5 }, () => router.change(increment(1n)))
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  await answerAll(router, takeAll(router, 'write'))
  assert.is(sums[0]!.result, 1n)
  assert.is(sums[1]!.result, 'nothing')
  await answerAll(router, takeAll(router, 'prepare'), router.promise(router.envelope(10, '1')))
  const writes = takeAll(router, 'write')
  assert.is(textOf(writes[0]!), '5')
  await answerAll(router, writes)
  assert.equal(
    sums.map(({ result }) => result),
    [1n, 2n, 3n, 4n, 5n]
  )
  assert.is(router.owners, '')
})

test('of operations that are done in one round, each has its own answer', async () => {
  const router = await harness()
  router.change(increment(1n))
  const absent = () => router.change(writeIf(ABSENT, Buffer.from('x'), undefined))
  const [first, second] = [absent(), absent()]
  const sum = router.change(increment(1n))
  const gone = router.change(() => ({ change: { value: Buffer.from('y'), expiresAtMs: START_MS }, result: 'gone' }))
  const third = absent()
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  await answerAll(router, takeAll(router, 'write'))
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  const writes = takeAll(router, 'write')
  assert.is(textOf(writes[0]!), 'x')
  await answerAll(router, writes)
  const isDone = ({ result }: { result: unknown }) => (result as { isDone: boolean }).isDone
  assert.equal([first!, second!, third].map(isDone), [true, false, true])
  assert.is(sum.result, 'BAD_REQUEST')
  assert.is(gone.result, 'gone')
})

test('an operation that waits for its turn until its time is over has changed nothing', async () => {
  const router = await harness()
  for (const letter of 'bc') router.unlinked.add(letter)
  const [first, second] = [router.change(increment(1n)), router.change(increment(1n))]
  await router.clock.advance(5100)
  assert.is(first!.result, 'NO_QUORUM')
  assert.is(second!.result, 'NO_QUORUM')
})

test('operations on other keys, reads and blind writes do not wait', async () => {
  const router = await harness()
  router.change(increment(1n))
  router.get()
  router.put()
  await router.clock.settle()
  assert.is(router.owners.length, 2 + 2 + 3)
})

test('a read whose repair is refused by a promise runs a round after some tries', async () => {
  const router = await harness()
  const read = router.get()
  await router.clock.settle()
  for (let tries = 0; tries < 3; tries++) {
    const [a, b] = takeAll(router, 'read')
    a!.answer(router.envelope(1, 'v'))
    await answerAll(router, [b!])
    await answerAll(router, takeAll(router, 'write'), { promised: router.version(50) })
    await router.clock.advance(20)
  }
  const prepares = takeAll(router, 'prepare')
  prepares[0]!.answer(router.promise(router.envelope(1, 'v')))
  await answerAll(router, [prepares[1]!], router.promise())
  const adoption = takeAll(router, 'write')
  assert.equal(originOf(adoption[0]!.envelope!), router.version(1))
  await answerAll(router, adoption)
  assert.is(read.result, 'v')
})

test('a round that settles a key writes what it holds again, a tombstone when it holds nothing', async () => {
  for (const held of ['v', undefined]) {
    const router = await harness()
    const settled = router.settle()
    await router.clock.settle()
    const envelope = held === undefined ? undefined : router.envelope(1, held)
    await answerAll(router, takeAll(router, 'prepare'), router.promise(envelope))
    const writes = takeAll(router, 'write')
    assert.is(textOf(writes[0]!), held ?? 'nothing')
    await answerAll(router, writes)
    assert.is(settled.result, undefined)
  }
})

test('a value that a round finds expired becomes a tombstone, so that no slower clock finds it alive', async () => {
  const router = await harness()
  const write = router.change((found) => ({ change: undefined, result: found === undefined ? 'absent' : 'there' }))
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise(router.expiring(1, 50, 'v')))
  const adoption = takeAll(router, 'write')
  assert.is(textOf(adoption[0]!), 'nothing')
  await answerAll(router, adoption)
  assert.is(write.result, 'absent')
})

test('a promise of a ballot below the entry that its owner holds is not believed', async () => {
  const router = await harness()
  router.change(increment(1n))
  await router.clock.settle()
  const prepares = takeAll(router, 'prepare')
  await answerAll(router, prepares.slice(0, 1), router.promise(router.envelope(4000, '7')))
  await answerAll(router, prepares.slice(1), router.promise())
  assert.is(takeAll(router, 'prepare').length, 1, 'the third owner is asked')
})

test('an update at level all is done when every owner has it, and one at level one takes a quorum', async () => {
  const router = await harness()
  const [all] = [router.change(increment(1n), {}, 'all')]
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  const writes = takeAll(router, 'write')
  await answerAll(router, writes.slice(0, 2))
  assert.is(all!.result, 'nothing')
  await answerAll(router, writes.slice(2))
  assert.is(all!.result, 1n)
  const one = router.change(increment(1n), {}, 'one')
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise(router.envelope(10, '1')))
  const [first, second] = takeAll(router, 'write')
  await answerAll(router, [first!])
  assert.is(one.result, 'nothing')
  await answerAll(router, [second!])
  assert.is(one.result, 2n)
})

test('when this peer stops, an operation that has written has an unknown outcome, and no other', async () => {
  const router = await harness()
  const [first, second] = [router.change(increment(1n)), router.change(increment(1n))]
  await router.clock.settle()
  await answerAll(router, takeAll(router, 'prepare'), router.promise())
  takeAll(router, 'write')
  await router.ref.stop()
  assert.is(first!.result, 'UNKNOWN_OUTCOME')
  assert.is(second!.result, 'STOPPED')
})

test.run()
