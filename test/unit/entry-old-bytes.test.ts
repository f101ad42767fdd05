// Entries, blocks, hints and operations as wire version 6 and data format 1 wrote them: they read as they were meant.
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readPromises } from '../../lib/actors/replica/replica-records.js'
import { fromHex, toHex, toText } from '../../lib/bytes.js'
import { FORMAT_LIMITS, readBlock, readVersions } from '../../lib/entry/block.js'
import { asEnvelope, decodeEnvelope, encodeEnvelope, isAdopted, originOf } from '../../lib/entry/envelope.js'
import { decodeHint, parseHintKey } from '../../lib/entry/hint.js'
import { dataKey, parseDataKey } from '../../lib/entry/keys.js'
import { asVersion, latestVersion } from '../../lib/entry/version.js'
import { KEY_BYTES_MAX } from '../../lib/limits.js'
import { decodePacket } from '../../lib/network/packet-reader.js'
import { slotOf } from '../../lib/ring/slots.js'
import { answerOf, ReplicaHarness } from '../sim/harness/replica-harness.js'
import { config } from '../sim/harness/ring-views.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('entry: old bytes')

interface OldEntry {
  readonly key: string
  readonly version: string
  readonly value: string
  readonly expiresAtMs: number | null
  readonly tombstone: boolean
  readonly storedKey: string
  readonly envelope: string
}

interface OldBytes {
  readonly entries: readonly OldEntry[]
  readonly block: { readonly bytes: string; readonly crc: number; readonly count: number; readonly checksum: number }
  readonly versions: { readonly bytes: string; readonly crc: number }
  readonly hint: Readonly<Record<'member' | 'storedKey' | 'value', string>> & { readonly sequence: number }
  readonly packet: string
}

const old: OldBytes = JSON.parse(readFileSync('test/fixtures/entries-wire-6.json', 'utf8'))

test('entries read as they were, and new ones that are not adopted have the same bytes', () => {
  assert.is(old.entries.length, 4)
  for (const { key, version, value, expiresAtMs, tombstone, storedKey, envelope } of old.entries) {
    const name = Buffer.from(key)
    const bytes = asEnvelope(fromHex(envelope))
    const read = decodeEnvelope(name, bytes)
    assert.equal([toHex(read.version), toText(read.value)], [version, value])
    assert.equal([read.expiresAtMs ?? null, read.tombstone, read.origin], [expiresAtMs, tombstone, undefined])
    assert.equal([isAdopted(bytes), toHex(originOf(bytes))], [false, version])
    const own = { version: asVersion(fromHex(version)), origin: asVersion(fromHex(version)), tombstone }
    const expiry = expiresAtMs === null ? {} : { expiresAtMs }
    assert.is(toHex(encodeEnvelope(name, { ...own, ...expiry, value: Buffer.from(value) })), envelope)
    assert.is(toHex(dataKey(slotOf(name), name)), storedKey)
    assert.is(parseDataKey(fromHex(storedKey))?.slot, slotOf(name))
  }
})

test('blocks of entries and of versions, and a hint', () => {
  const { entries, count, checksum, damaged } = readBlock(fromHex(old.block.bytes), old.block.crc, FORMAT_LIMITS)
  assert.equal([count, checksum, damaged], [old.block.count, old.block.checksum, 0])
  assert.equal(sorted(entries.map(({ envelope }) => toHex(envelope))), sorted(old.entries.map((one) => one.envelope)))
  const versions = readVersions(fromHex(old.versions.bytes), old.versions.crc, KEY_BYTES_MAX)
  const told = versions.entries.map(({ version }) => toHex(version))
  assert.equal(sorted(told), sorted(old.entries.map(({ version }) => version)))
  const { member, sequence } = old.hint
  assert.equal(parseHintKey(fromHex(old.hint.storedKey)), { member, sequence })
  assert.ok(old.entries.some(({ envelope }) => envelope === toHex(decodeHint(fromHex(old.hint.value))!.envelope)))
})

test('the messages of an operation', () => {
  // A packet begins with its length.
  const { frames } = decodePacket(fromHex(old.packet).subarray(4))
  const [read, write, written, newer, value] = frames.map(({ body }) => body)
  assert.is(read!.read!.view, 3)
  assert.is(write!.write!.repair, true)
  assert.equal(Object.keys(written!.written!).length, 0)
  assert.ok(old.entries.some(({ version }) => version === toHex(newer!.written!.newerVersion!)))
  assert.is(value!.value!.closed, 9)
})

test('a store of format 1 is served: it holds no promise, and its entries are promised over like others', async () => {
  const replica = new ReplicaHarness(new VirtualClock(1_764_288_100_000))
  await replica.disk.disk.write(
    old.entries.map(({ storedKey, envelope }) => ({ type: 'put', key: fromHex(storedKey), value: fromHex(envelope) }))
  )
  assert.equal(await readPromises(replica.disk, latestVersion(0)), [])
  replica.view({ number: 1, window: [config(1, 'abc')] })
  await replica.clock.settle()
  const kept = old.entries.map(({ key }) => replica.read(key))
  await replica.clock.settle()
  kept.forEach((read, at) => {
    assert.is(toHex(answerOf(read) as Uint8Array), old.entries[at]!.envelope)
  })
})

function sorted(texts: string[]): string[] {
  return texts.sort()
}

test.run()
