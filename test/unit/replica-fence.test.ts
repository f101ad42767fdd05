// The replica's fence: which operations it serves, refuses or holds, and the pulls that depend on it.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PulledBlock } from '../../lib/actors/replica/replica-messages.js'
import { readBlock, readVersions } from '../../lib/entry/block.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { slotOf } from '../../lib/ring/slots.js'
import { answerOf, type Kept, ReplicaHarness, stored } from '../sim/harness/replica-harness.js'
import { config, linkOf } from '../sim/harness/ring-views.js'

const test = suite('replica: fence and pulls')
const LIMITS = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }
const EVERYTHING = [{ first: 0, last: 16383 }]

async function harness(): Promise<ReplicaHarness> {
  const made = new ReplicaHarness()
  made.view({ number: 1, window: [config(1, 'abc')], ready: { a: 1 } })
  await made.clock.settle()
  return made
}

function pull(replica: ReplicaHarness, rest: { view?: number; config?: number; after?: Uint8Array; only?: boolean }) {
  const { view = 1, config: begin = 1, after, only = false } = rest
  const request = { view, from: linkOf('b'), config: begin, ranges: EVERYTHING, after, versionsOnly: only }
  return replica.send<PulledBlock, 'pull'>('pull', request)
}

function keysOf(kept: Kept<PulledBlock>): string[] {
  const { block, crc } = kept.result as PulledBlock
  return readBlock(block, crc, LIMITS).entries.map(({ key }) => Buffer.from(key).toString())
}

test('an operation of an outdated config is refused with the views that its router lacks', async () => {
  const replica = await harness()
  replica.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] })
  const answers = [replica.read('a', 1), replica.write('a', 1, '1', 1), replica.read('a', 1, undefined)]
  const served = [replica.read('a', 2), replica.write('b', 1, '1', 2)]
  await replica.clock.settle()
  assert.equal(answers.map(answerOf), ['STALE_VIEW', 'STALE_VIEW', 'STALE_VIEW'])
  assert.is((answers[0]!.result as Error).message, 'you know 1')
  assert.equal(served.map(answerOf), [undefined, undefined])
  assert.is(replica.stored('a'), undefined)
})

test('an older view is accepted in slots whose config is the same', async () => {
  const replica = await harness()
  const moved = slotOf(Buffer.from('moved'))
  replica.view({
    number: 5,
    window: [config(1, 'abc')],
    except: new Map([[moved, [config(1, 'abc'), config(5, 'abd')]]])
  })
  const answers = [replica.write('other', 1, '1', 1), replica.write('moved', 1, '1', 4), replica.read('moved', 5)]
  await replica.clock.settle()
  assert.equal(answers.map(answerOf), [undefined, 'STALE_VIEW', undefined])
})

test('an operation of a newer view waits until that view is known, and is then checked by it', async () => {
  const replica = await harness()
  const waiting = [replica.write('a', 1, '1', 3), replica.read('a', 2)]
  await replica.clock.advance(1900)
  assert.equal(waiting.map(answerOf), ['nothing', 'nothing'])
  assert.equal(replica.catchUps, ['peer-b'])
  replica.view({ number: 3, window: [config(1, 'abc'), config(3, 'abd')] })
  await replica.clock.settle()
  assert.equal(waiting.map(answerOf), [undefined, 'STALE_VIEW'])
})

test('every peer that names a newer view is asked for it, also while messages of another one are held', async () => {
  const replica = await harness()
  for (const letter of ['b', 'b', 'c']) {
    replica.send('read', { view: 9, from: linkOf(letter), key: Buffer.from('a') })
  }
  await replica.clock.settle()
  assert.equal(replica.catchUps, ['peer-b', 'peer-c'])
})

test('a held operation waits at most two seconds, whatever is learned meanwhile', async () => {
  const replica = await harness()
  const waiting = replica.read('a', 3)
  for (let time = 0; time < 1800; time += 300) {
    await replica.clock.advance(300)
    replica.view({ number: 1, window: [config(1, 'abc')], ready: { a: 1, b: 1 } })
  }
  const second = replica.read('a', 3)
  await replica.clock.advance(250)
  assert.equal([waiting, second].map(answerOf), ['BEHIND', 'nothing'])
  await replica.clock.advance(2000)
  assert.is(answerOf(second), 'BEHIND')
})

test('at most ten thousand operations wait', async () => {
  const replica = await harness()
  for (let count = 0; count < 10_000; count++) {
    replica.read('a', 2)
    if (count % 5000 === 0) await replica.clock.settle()
  }
  await replica.clock.settle()
  const refused = replica.read('a', 2)
  await replica.clock.settle()
  assert.is(answerOf(refused), 'OVERLOADED')
})

test("a write admitted before a pull is in the pull's snapshot, even if it reaches the disk later", async () => {
  const replica = await harness()
  replica.disk.hold()
  replica.write('first', 1)
  await replica.clock.settle()
  replica.write('second', 1)
  const pulled = pull(replica, {})
  await replica.clock.advance(50)
  assert.is(answerOf(pulled), 'nothing')
  replica.disk.release()
  await replica.clock.settle()
  assert.equal(keysOf(pulled).sort(), ['first', 'second'])
})

test('a pull of a newer view waits for that view, and no write of the old config is admitted after it', async () => {
  const replica = await harness()
  const pulled = pull(replica, { view: 2, config: 2 })
  replica.write('before', 1)
  await replica.clock.settle()
  assert.is(answerOf(pulled), 'nothing')
  replica.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] })
  const late = replica.write('late', 1, '1', 1)
  await replica.clock.settle()
  assert.equal(keysOf(pulled), ['before'])
  assert.is(answerOf(late), 'STALE_VIEW')
})

test('a pull fails when a write before it fails', async () => {
  const replica = await harness()
  replica.disk.failNext = 'STORE_FAILED'
  replica.write('a', 1)
  const pulled = pull(replica, {})
  await replica.clock.settle()
  assert.is(answerOf(pulled), 'STORE_FAILED')
})

test('each block continues after the last key of the one before, and the last block is marked', async () => {
  const replica = await harness()
  for (let number = 0; number < 9; number++) replica.write(`key-${number}`, 1, 'x'.repeat(300_000))
  await replica.clock.settle()
  const found: string[] = []
  let after: Uint8Array | undefined
  let blocks = 0
  for (;;) {
    const pulled = pull(replica, after === undefined ? {} : { after })
    await replica.clock.settle()
    const block = pulled.result as PulledBlock
    assert.ok(block.block.length <= 2 ** 20)
    const keys = keysOf(pulled)
    found.push(...keys)
    blocks += 1
    if (block.last) break
    after = stored(keys.at(-1)!)
  }
  assert.is(blocks, 3)
  assert.equal(
    found.sort(),
    Array.from({ length: 9 }, (_, number) => `key-${number}`)
  )
})

test('a pull returns the requested ranges only, and only versions when asked', async () => {
  const replica = await harness()
  for (const key of ['a', 'b', 'c']) replica.write(key, 1)
  await replica.clock.settle()
  const slot = slotOf(Buffer.from('b'))
  const ranges = [{ first: slot, last: slot }]
  const request = { view: 1, from: linkOf('b'), config: 1, after: undefined }
  const some = replica.send<PulledBlock, 'pull'>('pull', { ...request, ranges, versionsOnly: false })
  const versions = replica.send<PulledBlock, 'pull'>('pull', { ...request, ranges, versionsOnly: true })
  await replica.clock.settle()
  assert.equal(keysOf(some), ['b'])
  const { block, crc } = versions.result as PulledBlock
  const { entries } = readVersions(block, crc, KEY_BYTES_MAX)
  assert.equal(
    entries.map(({ dataKey, version }) => [Buffer.from(dataKey), Buffer.from(version)]),
    [[stored('b'), Buffer.from(replica.version(1))]]
  )
})

test('a block is marked ready only when this member is ready for the config in every range', async () => {
  const replica = await harness()
  replica.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')], ready: { a: 1 } })
  const answers = [pull(replica, { config: 1, view: 2 }), pull(replica, { config: 2, view: 2 })]
  await replica.clock.settle()
  assert.equal(
    answers.map(({ result }) => (result as PulledBlock).ready),
    [true, false]
  )
})

test('a pull or fetch is served only to an owner of the slots in the config that it pulls for', async () => {
  const replica = await harness()
  replica.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')], ready: { a: 1 } })
  replica.write('key', 1, '1', 2)
  await replica.clock.settle()
  const ask = (letter: string, begin: number, view = 2) => {
    const rest = { view, from: linkOf(letter), config: begin }
    const pulled = replica.send('pull', { ...rest, ranges: EVERYTHING, after: undefined, versionsOnly: false })
    return [pulled, replica.send('fetch', { ...rest, keys: [stored('key')] })]
  }
  const served = [...ask('d', 2), ...ask('b', 2), ...ask('c', 1)]
  const refused = [...ask('d', 1, 1), ...ask('c', 2), ...ask('z', 2), ...ask('b', 3)]
  await replica.clock.settle()
  assert.ok(served.every((kept) => typeof answerOf(kept) === 'object'))
  const [stale, no] = [['STALE_VIEW', 'STALE_VIEW'], 'NOT_OWNER']
  assert.equal(refused.map(answerOf), [...stale, no, no, no, no, no, no])
})

test('at most 32 pulls are read at once', async () => {
  const replica = await harness()
  replica.disk.hold()
  replica.write('a', 1)
  await replica.clock.settle()
  const pulls = Array.from({ length: 33 }, () => pull(replica, {}))
  await replica.clock.settle()
  assert.is(answerOf(pulls[32]!), 'OVERLOADED')
  replica.disk.release()
  await replica.clock.settle()
  assert.ok(pulls.slice(0, 32).every((kept) => typeof answerOf(kept) === 'object'))
  const again = pull(replica, {})
  await replica.clock.settle()
  assert.is(typeof answerOf(again), 'object')
})

test('a fetch returns as many of its keys as fit into a block, and refuses malformed keys', async () => {
  const replica = await harness()
  for (let number = 0; number < 5; number++) replica.write(`key-${number}`, 1, 'x'.repeat(300_000))
  await replica.clock.settle()
  const names = [0, 1, 2, 3, 4].map((number) => `key-${number}`)
  const request = { view: 1, config: 1, from: linkOf('b') }
  const fetched = replica.send<PulledBlock>('fetch', { ...request, keys: [stored('none'), ...names.map(stored)] })
  const bad = replica.send('fetch', { ...request, keys: [Buffer.from('nonsense')] })
  const newer = replica.send('fetch', { ...request, view: 2, keys: [stored('key-0')] })
  await replica.clock.settle()
  assert.is((fetched.result as unknown as { taken: number }).taken, 4)
  assert.equal(keysOf(fetched), names.slice(0, 3))
  assert.equal([bad, newer].map(answerOf), ['BAD_REQUEST', 'nothing'])
})

test('a replica returns the keys whose offered versions are newer, and whether some slots hold entries', async () => {
  const replica = await harness()
  replica.write('a', 5)
  await replica.clock.settle()
  const versions = (['a', 'b'] as const).flatMap((key) =>
    [4, 5, 6].map((ms) => {
      const bytes = Buffer.from(key)
      return { key: bytes, slot: slotOf(bytes), dataKey: stored(key), version: replica.version(ms) }
    })
  )
  const missing = replica.send('missing', { versions })
  const slot = slotOf(Buffer.from('a'))
  const holds = replica.send('holds', { ranges: [{ first: slot, last: slot }] })
  const empty = replica.send('holds', { ranges: [{ first: 0, last: slot - 1 }] })
  await replica.clock.settle()
  assert.equal(answerOf(missing), [stored('a'), stored('b'), stored('b'), stored('b')])
  assert.equal([holds, empty].map(answerOf), [true, false])
})

test.run()
