// What an owner promises to rounds: on disk before it is told, kept against every way in, and what ends it.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FreshPull, PrepareResult, StandingPromise } from '../../lib/actors/replica/replica-messages.js'
import { readPromises } from '../../lib/actors/replica/replica-records.js'
import { toHex } from '../../lib/bytes.js'
import { versionMsOf } from '../../lib/entry/envelope.js'
import { allPromises, promiseKey } from '../../lib/entry/promise-record.js'
import { latestVersion, type Version, versionMs } from '../../lib/entry/version.js'
import { RingdError } from '../../lib/errors.js'
import { slotOf } from '../../lib/ring/slots.js'
import { answerOf, type Kept, newer, ReplicaHarness, refusalOf, stored } from '../sim/harness/replica-harness.js'
import { config, linkOf } from '../sim/harness/ring-views.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('replica: promises')
const START = new VirtualClock().now()

async function harness(): Promise<ReplicaHarness> {
  const made = new ReplicaHarness()
  made.view({ number: 1, window: [config(1, 'abc')] })
  await made.clock.settle()
  return made
}

/** The same disk after a restart. */
async function restarted(replica: ReplicaHarness): Promise<ReplicaHarness> {
  const promises = await readPromises(replica.disk, latestVersion(START + 5000))
  const made = new ReplicaHarness(replica.clock, replica.disk, { promises })
  made.view({ number: 1, window: [config(1, 'abc')] })
  await made.clock.settle()
  return made
}

/** What a prepare was answered: `40 of 10: 10* | ?`, or `refused 50`; versions as ms. */
function told({ result, count }: Kept<PrepareResult>): string {
  if (count !== 1 || result === undefined) return 'nothing'
  if (result instanceof RingdError) return result.code
  if ('refusedBy' in result) return `refused ${msOf(result.refusedBy)}`
  const tellings = result.tellings.map(({ versions, isUnknown }) => {
    const names = versions.map(({ version, isShown }) => `${msOf(version)}${isShown ? '*' : ''}`)
    return [...names, ...(isUnknown ? ['?'] : [])].join(' ')
  })
  const held = result.envelope === undefined ? 'nothing' : versionMsOf(result.envelope) - START
  return [`promised over ${held}`, ...tellings].join(' | ')
}

function msOf(version: Version): number {
  return versionMs(version) - START
}

function promised(replica: ReplicaHarness, ms: number): unknown {
  return { promised: toHex(replica.version(ms)) }
}

async function promisesOnDisk(replica: ReplicaHarness): Promise<readonly StandingPromise[]> {
  return readPromises(replica.disk, latestVersion(0))
}

test('a promise is on disk before it is told, and carries what is held', async () => {
  const replica = await harness()
  replica.write('key', 10)
  await replica.clock.settle()
  replica.disk.hold()
  const asked = replica.prepare('key', 40, [10, 11])
  await replica.clock.settle()
  assert.is(told(asked), 'nothing')
  replica.disk.release()
  await replica.clock.settle()
  assert.is(told(asked), 'promised over 10 | 10* | ')
  assert.equal(
    (await promisesOnDisk(replica)).map(({ ballot }) => msOf(ballot)),
    [40]
  )
})

test('a ballot is refused by a newer entry and by another promise, and promised again to its own round', async () => {
  const replica = await harness()
  replica.write('key', 30)
  const answers = [40, 20, 30, 40, 39, 41, 40].map((ms) => replica.prepare('key', ms))
  await replica.clock.settle()
  const refused = 'refused 40'
  assert.equal(answers.map(told), [
    'promised over 30',
    refused,
    refused,
    'promised over 30',
    refused,
    'promised over 30',
    'refused 41'
  ])
})

test('nothing below the promise enters, by whichever way it comes; what is not below it ends it', async () => {
  const replica = await harness()
  replica.write('key', 10)
  replica.prepare('key', 40)
  await replica.clock.settle()
  const entries = [{ dataKey: stored('key'), envelope: replica.envelope('key', 20) }]
  const offer = { view: 1, from: linkOf('b'), config: 1, versions: [] }
  const resolution = { envelope: replica.envelope('key', 20), confirmedBelow: 0, deniedBelow: 0, isTie: false }
  const writes = [replica.write('key', 20), replica.repair('key', 30), replica.adopt('key', 35, 10)]
  const merged = replica.send<readonly StandingPromise[]>('merge', { entries })
  const offered = replica.send('offer', { ...offer, entries })
  const repaired = replica.send('repair-merge', { entries, member: linkOf('b').storeId })
  replica.send('heal', { key: Buffer.from('key'), resolution })
  await replica.clock.settle()
  assert.equal(
    writes.map(refusalOf),
    [40, 40, 40].map((ms) => promised(replica, ms))
  )
  assert.equal(
    (merged.result as readonly StandingPromise[]).map(({ ballot }) => msOf(ballot)),
    [40]
  )
  assert.is(answerOf(offered), 'OVERLOADED', 'a handoff must not take it for held')
  assert.is(answerOf(repaired), 0, 'repair counts it as not taken')
  assert.equal(replica.stored('key'), replica.envelope('key', 10))
  const [same, late] = [replica.write('key', 10), replica.write('key', 40)]
  await replica.clock.settle()
  assert.equal([same, late].map(refusalOf), [undefined, undefined])
  assert.equal(await promisesOnDisk(replica), [])
  const after = [replica.write('key', 39), replica.write('key', 41)]
  await replica.clock.settle()
  assert.equal(after.map(refusalOf), [newer(replica.version(40)), undefined])
})

test('an entry of a pull does not enter below the first promise of this owner, given in the same batch', async () => {
  const replica = await harness()
  const slots = [slotOf(Buffer.from('key'))]
  replica.send('watch', { slots })
  const begun = replica.send<FreshPull>('begin-pull', { slots })
  await replica.clock.settle()
  const pull = begun.result as FreshPull
  assert.equal([...pull.slots], slots)
  const entries = [{ dataKey: stored('key'), envelope: replica.envelope('key', 20) }]
  replica.disk.hold()
  replica.write('other', 1)
  await replica.clock.settle()
  const asked = replica.prepare('key', 40)
  const merged = replica.send<readonly StandingPromise[]>('merge', { entries, pull })
  await replica.clock.settle()
  replica.disk.release()
  await replica.clock.settle()
  assert.is(told(asked), 'promised over nothing')
  assert.equal(
    (merged.result as readonly StandingPromise[]).map(({ ballot }) => msOf(ballot)),
    [40]
  )
  assert.is(replica.stored('key'), undefined)
})

test('a promise outlives a restart, for keys with and without an entry', async () => {
  const replica = await harness()
  replica.write('key', 10)
  replica.prepare('key', 40)
  replica.prepare('empty', 50)
  await replica.clock.settle()
  const again = await restarted(replica)
  const writes = [again.write('key', 20), again.write('empty', 20), again.prepare('key', 39), again.write('key', 41)]
  await again.clock.settle()
  assert.equal(refusalOf(writes[0]!), promised(replica, 40))
  assert.equal(refusalOf(writes[1]!), promised(replica, 50))
  assert.is(told(writes[2] as Kept<PrepareResult>), 'refused 40')
  assert.is(refusalOf(writes[3]!), undefined)
  assert.equal(
    (await promisesOnDisk(again)).map(({ ballot }) => msOf(ballot)),
    [50]
  )
})

test('of a damaged promise the highest that may have been given counts', async () => {
  const replica = await harness()
  replica.prepare('key', 40)
  await replica.clock.settle()
  await replica.disk.disk.write([{ type: 'put', key: promiseKey(stored('key')), value: new Uint8Array(21) }])
  const again = await restarted(replica)
  const writes = [again.write('key', 41), again.write('key', 4000)]
  await again.clock.settle()
  assert.equal(
    writes.map(refusalOf),
    writes.map(() => ({ promised: toHex(latestVersion(START + 5000)) }))
  )
})

test('a promise of a failed batch was not given, and an entry that ended it in one has not', async () => {
  for (const lands of [false, true]) {
    const replica = await harness()
    replica.prepare('old', 40)
    await replica.clock.settle()
    replica.disk.failNext = 'STORE_FAILED'
    replica.disk.failWritten = lands
    const failed = [replica.prepare('key', 40), replica.write('old', 50)]
    await replica.clock.advance(3000)
    assert.equal(failed.map(answerOf), ['STORE_FAILED', 'STORE_FAILED'])
    const writes = [replica.write('key', 20), replica.write('old', 30)]
    await replica.clock.settle()
    const expected = lands ? [promised(replica, 40), newer(replica.version(50))] : [undefined, promised(replica, 40)]
    assert.equal(writes.map(refusalOf), expected)
    const ballots = (await promisesOnDisk(replica)).map(({ ballot }) => msOf(ballot))
    assert.equal(ballots, [40])
  }
})

test('writes and prepares of one batch see each other', async () => {
  const replica = await harness()
  replica.disk.hold()
  replica.write('first', 1)
  await replica.clock.settle()
  const answers = [
    replica.prepare('key', 40),
    replica.write('key', 30),
    replica.write('key', 40),
    replica.write('key', 45),
    replica.prepare('key', 44),
    replica.prepare('key', 50, [40, 45]),
    replica.write('key', 46)
  ]
  await replica.clock.settle()
  replica.disk.release(true)
  await replica.clock.settle()
  replica.disk.release()
  await replica.clock.settle()
  assert.is(told(answers[0] as Kept<PrepareResult>), 'promised over nothing')
  assert.equal(refusalOf(answers[1]!), promised(replica, 40))
  assert.equal([answers[2]!, answers[3]!].map(refusalOf), [undefined, undefined])
  assert.is(told(answers[4] as Kept<PrepareResult>), 'refused 45')
  assert.is(told(answers[5] as Kept<PrepareResult>), 'promised over 45 | 40 | 45*')
  assert.equal(refusalOf(answers[6]!), promised(replica, 50))
})

test('what was overwritten is told, with whether a read, a write-back or a round may have told of it', async () => {
  const replica = await harness()
  const next = async (make: () => unknown) => {
    make()
    await replica.clock.settle()
  }
  await next(() => replica.write('key', 10))
  await next(() => replica.write('key', 20))
  await next(() => replica.read('key'))
  await next(() => replica.write('key', 30))
  await next(() => replica.repair('key', 40))
  await next(() => replica.adopt('key', 50, 10))
  await next(() => replica.write('key', 60))
  const asked = replica.prepare('key', 70, [10, 20, 30, 40, 60, 65])
  const late = [replica.write('key', 30), replica.write('key', 31), replica.repair('key', 30)]
  await replica.clock.settle()
  assert.is(told(asked), 'promised over 60 | 50* 10 | 20* | 30 | 40* | 60* | ')
  assert.equal(
    late.map(refusalOf),
    [true, false, true].map((had) => newer(replica.version(60), had))
  )
  const again = replica.prepare('key', 71, [30])
  await replica.clock.settle()
  assert.is(told(again), 'promised over 60 | 30*', 'a reader told of what it wrote back late')
  replica.write('key', 80)
  const after = replica.prepare('key', 90, [60])
  await replica.clock.settle()
  assert.is(told(after), 'promised over 80 | 60*', 'a round was told of it')
})

test('after a restart what was overwritten before is unknown, and what is held counts as shown', async () => {
  const replica = await harness()
  replica.write('key', 10)
  replica.write('key', 20)
  await replica.clock.settle()
  const again = await restarted(replica)
  const asked = again.prepare('key', 30, [10, 20, 25])
  await again.clock.settle()
  assert.is(told(asked), 'promised over 20 | ? | 20* ? | ')
  again.write('key', 40)
  const later = again.prepare('key', 50, [20, 25])
  await again.clock.settle()
  assert.is(told(later), 'promised over 40 | ? | ')
})

test('a larger entry than asked for is answered with its size, and nothing is promised', async () => {
  const replica = await harness()
  replica.write('key', 10, 'x'.repeat(1000))
  const rest = { view: 1, from: linkOf('b'), key: Buffer.from('key'), ballot: replica.version(40), origins: [] }
  const asked = replica.send('prepare', { ...rest, bytesMax: 500 })
  const write = replica.write('key', 20)
  await replica.clock.settle()
  assert.equal([answerOf(asked), refusalOf(write)], ['VALUE_LARGER', undefined])
})

test('a prepare passes the fence like a write, and its ballot must not lie ahead', async () => {
  const replica = await harness()
  const rest = { from: linkOf('b'), key: Buffer.from('key'), origins: [] }
  const ahead = replica.send('prepare', { ...rest, view: 1, ballot: replica.version(60_000) })
  replica.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] })
  const older = replica.send('prepare', { ...rest, view: 1, ballot: replica.version(10) })
  const long = replica.send('prepare', { ...rest, view: 2, ballot: replica.version(10), key: new Uint8Array(70_000) })
  await replica.clock.settle()
  assert.equal([ahead, older, long].map(answerOf), ['CLOCK_SKEW', 'STALE_VIEW', 'KEY_TOO_LARGE'])
})

test('a damaged entry is promised nothing; a round that is written replaces it', async () => {
  const replica = await harness()
  replica.write('key', 10)
  replica.prepare('key', 40)
  await replica.clock.settle()
  await replica.disk.disk.write([{ type: 'put', key: stored('key'), value: Buffer.from('nonsense') }])
  const resolution = { envelope: replica.envelope('key', 10), confirmedBelow: 0, deniedBelow: 0, isTie: false }
  const asked = replica.prepare('key', 41)
  replica.send('heal', { key: Buffer.from('key'), resolution })
  await replica.clock.settle()
  assert.is(told(asked), 'BAD_ENTRY')
  assert.equal(Buffer.from(replica.stored('key')!), Buffer.from('nonsense'), 'healing waits for the round')
  const written = replica.write('key', 40)
  await replica.clock.settle()
  assert.is(answerOf(written), 'BAD_ENTRY', 'it may have been newer, so the write does not count')
  assert.equal(replica.stored('key'), replica.envelope('key', 40))
  const later = replica.prepare('key', 50, [10, 40])
  await replica.clock.settle()
  assert.is(told(later), 'promised over 40 | ? | 40* ?')
})

test('promises that stand for long are named, the oldest first', async () => {
  const replica = await harness()
  for (const key of ['a', 'b', 'c']) {
    replica.prepare(key, 10)
    await replica.clock.advance(1000)
  }
  replica.prepare('a', 20)
  await replica.clock.settle()
  const keysOf = async (olderThanMs: number, limit: number) => {
    const kept = replica.send<readonly Uint8Array[]>('promises', { olderThanMs, limit })
    await replica.clock.settle()
    return (kept.result as readonly Uint8Array[]).map((key) => Buffer.from(key).toString())
  }
  assert.equal(await keysOf(1500, 10), ['b'])
  assert.equal(await keysOf(1500, 10), [], 'it was named just now')
  assert.equal(await keysOf(0, 2), ['c', 'a'], 'those that were not named come first')
  assert.equal(await keysOf(0, 10), ['b', 'c', 'a'])
  replica.view({ number: 2, window: [config(2, 'bcd')] })
  assert.equal(await keysOf(0, 10), [], 'operations do not ask this member any more')
})

test('the promises of released slots go with them', async () => {
  const replica = await harness()
  replica.prepare('gone', 10)
  replica.prepare('kept', 10)
  await replica.clock.settle()
  replica.view({ number: 2, window: [config(2, 'bcd')] })
  const surplus = replica.send('surplus', {})
  const released = replica.send('release', { config: 2, slots: [slotOf(Buffer.from('gone'))] })
  await replica.clock.settle()
  const both = ['gone', 'kept'].map((key) => slotOf(Buffer.from(key))).sort((one, other) => one - other)
  assert.equal([surplus, released].map(answerOf), [both, undefined])
  assert.equal(
    (await promisesOnDisk(replica)).map(({ storedKey }) => storedKey),
    [stored('kept')].map((key) => new Uint8Array(key))
  )
})

test('nothing but promises lies behind the records', async () => {
  const replica = await harness()
  replica.write('key', 10)
  await replica.clock.settle()
  const scan = replica.disk.scan(allPromises())
  assert.equal(await scan.next(1000), [])
  await scan.close()
})

test.run()
