// A pull and the promises of its sources: what is due here before this member may call itself ready.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { endPull } from '../../lib/actors/migration/pull-end.js'
import { PullStreams } from '../../lib/actors/migration/pull-streams.js'
import { pullSlots, type SlotPullReport } from '../../lib/actors/migration/slot-pull.js'
import { DATA_KEY_OVERHEAD, slotOfDataKey } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { stored } from '../sim/harness/replica-harness.js'
import { config, idOf, linkOf } from '../sim/harness/ring-views.js'
import { TransferHarness } from '../sim/harness/transfer-harness.js'

const test = suite('migration: promises')

async function harness(letters: string): Promise<TransferHarness> {
  const made = new TransferHarness(letters)
  for (const replica of made.replicas.values()) {
    replica.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] })
  }
  await made.clock.settle()
  return made
}

/** Pulls all slots from these sources to `d`. */
async function pull(peers: TransferHarness, letters: string): Promise<SlotPullReport> {
  const { clock, network, compression } = peers
  const replica = peers.replica('d').ref
  const streams = new PullStreams({ clock, network, compression })
  const peerIds = new Map(Array.from('abcd', (letter) => [idOf(letter), `peer-${letter}`]))
  const deps = { clock, replica, streamTo: (source: string) => streams.to(source, peerIds) }
  const slots = Array.from({ length: SLOTS }, (_, slot) => slot)
  const limits = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }
  const base = { view: 2, config: 2, slots, mustBeReady: false, limits, isCancelled: () => false }
  let report: SlotPullReport | undefined
  replica.tell({ type: 'watch', slots, reply: () => {} })
  void pullSlots(deps, { ...base, sources: Array.from(letters, idOf) }).then((made) => {
    report = made
  })
  assert.ok(await clock.runUntil(() => report !== undefined, 60_000))
  streams.end(new RingdError('STOPPED'))
  await clock.advance(10)
  return report!
}

test('the promises of a source are due; so is an own promise that keeps an entry out', async () => {
  const peers = await harness('bd')
  const replica = peers.replica('d')
  await peers.fill('b', ['promised there', 'promised here'], 10, 'v')
  for (const [letter, key] of ['b promised there', 'b empty', 'd promised here'].map((text) => [
    text[0]!,
    text.slice(2)
  ])) {
    const rest = { view: 2, from: linkOf('b'), key: Buffer.from(key!), origins: [] }
    peers.replica(letter!).send('prepare', { ...rest, ballot: replica.version(40) })
  }
  await peers.clock.settle()
  const { due, entries } = await pull(peers, 'b')
  assert.is(entries, 2)
  const names = due.map(({ storedKey }) => Buffer.from(storedKey.subarray(DATA_KEY_OVERHEAD)).toString())
  assert.equal(names.sort(), ['empty', 'promised here', 'promised there'])
  assert.ok(due.every(({ ballot }) => Buffer.compare(ballot, replica.version(40)) === 0))
  assert.is(replica.stored('promised here'), undefined, 'its own promise stands')

  const slots = due.map(({ storedKey }) => slotOfDataKey(storedKey))
  const lacking = async () => {
    const kept = replica.send<readonly Uint8Array[]>('pulled', { slots, due })
    await peers.clock.settle()
    return (kept.result as readonly Uint8Array[]).map((key) => Buffer.from(key).toString()).sort()
  }
  assert.equal(await lacking(), ['empty', 'promised here', 'promised there'])
  for (const key of ['empty', 'promised here']) replica.write(key, 40, 'v', 2)
  replica.write('promised there', 39, 'v', 2)
  assert.equal(await lacking(), ['promised there'])
  replica.write('promised there', 41, 'v', 2)
  assert.equal(await lacking(), [])
})

test('more promises than fit one part come in order, and each key once', async () => {
  const peers = await harness('bcd')
  const keys = Array.from({ length: 300 }, (_, number) => `${'k'.repeat(2000)}-${number}`)
  for (const [at, key] of keys.entries()) {
    const rest = { view: 2, from: linkOf('b'), key: Buffer.from(key), origins: [] }
    peers.replica('b').send('prepare', { ...rest, ballot: peers.replica('b').version(40) })
    peers.replica('c').send('prepare', { ...rest, ballot: peers.replica('b').version(at % 2 === 0 ? 50 : 30) })
  }
  await peers.clock.settle()
  const { due } = await pull(peers, 'bc')
  assert.is(due.length, 300)
  const highest = due.filter(({ ballot }) => Buffer.compare(ballot, peers.replica('b').version(50)) === 0)
  assert.is(highest.length, 150)
})

test('a member is ready only when it holds what was promised at its source', async () => {
  const peers = await harness('abd')
  const rest = { view: 2, from: linkOf('b'), key: Buffer.from('key'), origins: [] }
  const replica = peers.replica('d')
  peers.replica('b').send('prepare', { ...rest, ballot: replica.version(40) })
  await peers.clock.settle()
  const settled: string[] = []
  const settle = async (key: Uint8Array) => void settled.push(Buffer.from(key).toString())
  let isReady = false
  const due = [{ storedKey: stored('key'), ballot: replica.version(40) }]
  const deps = { clock: peers.clock, replica: replica.ref, settle }
  const slots = [slotOf(Buffer.from('key'))]
  const ended = endPull(deps, { slots, due, isCancelled: () => false }).then(() => {
    isReady = true
  })
  await peers.clock.advance(2000)
  assert.equal([isReady, settled.length > 0, new Set(settled).size], [false, true, 1])
  replica.write('key', 40, 'v', 2)
  await peers.clock.advance(1000)
  await ended
  const failed = endPull(deps, { slots, due: [{ ...due[0]!, ballot: replica.version(50) }], isCancelled: () => false })
  const codes: string[] = []
  failed.catch(({ code }) => void codes.push(code))
  await peers.clock.advance(20_000)
  assert.equal(codes, ['TIMEOUT'], 'the job is done again')
})

test('a job that is cancelled runs no more rounds', async () => {
  const peers = await harness('d')
  const replica = peers.replica('d')
  const due = Array.from({ length: 100 }, (_, at) => ({ storedKey: stored(`key${at}`), ballot: replica.version(40) }))
  let rounds = 0
  let isCancelled = false
  const settle = async () => {
    rounds += 1
    isCancelled = true
  }
  const deps = { clock: peers.clock, replica: replica.ref, settle }
  const codes: string[] = []
  endPull(deps, { slots: [], due, isCancelled: () => isCancelled }).catch(({ code }) => void codes.push(code))
  await peers.clock.advance(2000)
  assert.equal([codes, rounds], [['STOPPED'], 16])
})

test('a ballot that lies too far ahead is due to nobody: the pull fails, and another source is asked', async () => {
  const peers = await harness('d')
  const replica = peers.replica('d')
  const due = [{ storedKey: stored('key'), ballot: replica.version(3_600_000) }]
  const kept = replica.send('pulled', { slots: [], due })
  await peers.clock.settle()
  assert.is((kept.result as RingdError).code, 'CLOCK_SKEW')
})

test.run()
