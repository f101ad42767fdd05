// The doctor of a stopped store: what it finds, and that mended entries can be written over, in the same order as
// before, on every owner alike.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAt, renderDoctor } from '../../daemon/commands/doctor.js'
import {
  type ReplicaRecords,
  readPromises,
  writeClosed,
  writeClosing
} from '../../lib/actors/replica/replica-records.js'
import { readCeiling, writeCeiling } from '../../lib/actors/router/version-minter.js'
import { type Bytes, compareBytes, fromText, sameBytes, toHex, toText } from '../../lib/bytes.js'
import { asEnvelope, checkEnvelope, decodeEnvelope, type Entry, encodeEnvelope } from '../../lib/entry/envelope.js'
import { decodeHint, encodeHint, hintKey } from '../../lib/entry/hint.js'
import { HybridClock } from '../../lib/entry/hybrid-clock.js'
import { dataKey, metaKey } from '../../lib/entry/keys.js'
import { encodePromise, promiseKey } from '../../lib/entry/promise-record.js'
import { latestVersion, makeVersion, versionMs } from '../../lib/entry/version.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { examineStore, mendStore, NOTHING_FOUND, type StoreFindings } from '../../lib/node/store-doctor.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { MemoryStore } from '../../lib/storage/memory.js'
import type { MetaWrite } from '../../lib/storage/meta.js'

const test = suite('store doctor')
const NOW = Date.UTC(2026, 0, 1)
const YEAR = 365 * 86_400_000
const MEMBER = fromText('member a')

/** A store that a test fills by hand. */
class Disk {
  readonly store = new MemoryStore()

  async entry(key: string | Bytes, ms: number, entry: Partial<Entry> & { counter?: number } = {}): Promise<void> {
    const bytes = typeof key === 'string' ? fromText(key) : key
    await this.raw(dataKey(slotOf(bytes), bytes), envelope(bytes, ms, entry))
  }

  async hint(sequence: number, ms: number, keptAtMs = NOW): Promise<void> {
    const key = fromText('hinted')
    const stored = hintKey({ member: 'ab'.repeat(16), sequence })
    await this.raw(stored, encodeHint({ key, keptAtMs, envelope: envelope(key, ms) }))
  }

  record({ name, value }: MetaWrite): Promise<void> {
    return this.raw(metaKey(name), value!)
  }

  raw(key: Bytes, value: Bytes): Promise<void> {
    return this.store.write([{ type: 'put', key, value }])
  }

  stored(key: string): Bytes {
    const bytes = fromText(key)
    return this.store.get(dataKey(slotOf(bytes), bytes))!
  }

  read(key: string): Entry {
    return decodeEnvelope(fromText(key), this.stored(key))
  }

  async found(): Promise<Partial<StoreFindings>> {
    const { found } = await examineStore(this.store, NOW)
    return Object.fromEntries(Object.entries(found).filter(([, count]) => count !== 0))
  }

  mend(atMs = NOW) {
    return mendStore(new GuardedStore(this.store), { nowMs: NOW, atMs })
  }
}

function envelope(key: Bytes, ms: number, { counter = 0, ...entry }: Partial<Entry> & { counter?: number } = {}) {
  const value = entry.value ?? fromText(entry.tombstone ? '' : `${toText(key).slice(0, 20)} ${ms}`)
  return encodeEnvelope(key, { tombstone: false, ...entry, value, version: makeVersion(ms, counter, MEMBER) })
}

function table(slot: number, seconds: number): ReplicaRecords['closed'] {
  const values = new Uint32Array(SLOTS)
  values[slot] = seconds
  return values
}

test('a sound store has no findings, and mending changes nothing', async () => {
  const disk = new Disk()
  await disk.entry('k', NOW - 1000)
  await disk.entry('within the skew', NOW + 5000)
  await disk.hint(0, NOW)
  await disk.record(writeCeiling(NOW + 6999))
  const before = disk.stored('k')
  assert.equal(await examineStore(disk.store, NOW), { entries: 2, hints: 1, found: NOTHING_FOUND })
  assert.equal(await disk.mend(), { entries: 0, hints: 0, promises: 0, ceilings: 0 })
  assert.ok(sameBytes(disk.stored('k'), before))
  assert.is(new GuardedStore(disk.store).batch, 0, 'nothing was written')
})

test('entries from the future are mended with their value, expiry and tombstone', async () => {
  const disk = new Disk()
  await disk.entry('value', NOW + YEAR)
  await disk.entry('expires', 2 ** 48 - 1, { expiresAtMs: NOW + 500 })
  await disk.entry('deleted', NOW + 5001, { tombstone: true })
  await disk.entry('sound', NOW - 5)
  assert.equal(await disk.found(), { futureEntries: 3 })
  assert.equal(await disk.mend(), { entries: 3, hints: 0, promises: 0, ceilings: 0 })
  assert.equal(await disk.found(), {})
  assert.is(toText(disk.read('value').value), `value ${NOW + YEAR}`)
  assert.is(disk.read('expires').expiresAtMs, NOW + 500)
  assert.is(disk.read('deleted').tombstone, true)
  for (const key of ['value', 'expires', 'deleted']) assert.is(versionMs(disk.read(key).version), NOW)
  assert.is(versionMs(disk.read('sound').version), NOW - 5)
})

test('a mended entry loses to the next write of any member, and wins over what was written before', async () => {
  const disk = new Disk()
  await disk.entry('k', NOW + YEAR)
  await disk.mend()
  const { version } = disk.read('k')
  assert.ok(compareBytes(version, makeVersion(NOW + 1, 0, MEMBER)) < 0)
  assert.ok(compareBytes(version, makeVersion(NOW - 1, 65_535, MEMBER)) > 0)
})

test('owners that are mended with one moment hold the same bytes again, in the order of before', async () => {
  const [one, other, newer] = [new Disk(), new Disk(), new Disk()]
  await one.entry('k', NOW + YEAR)
  await other.entry('k', NOW + YEAR)
  await newer.entry('k', NOW + YEAR, { counter: 1 })
  for (const disk of [one, other, newer]) await disk.mend(NOW - 60_000)
  assert.ok(sameBytes(one.stored('k'), other.stored('k')))
  assert.ok(compareBytes(one.read('k').version, newer.read('k').version) < 0)
  const later = new Disk()
  await later.entry('k', NOW + YEAR + 1)
  await later.mend(NOW - 60_000)
  assert.ok(compareBytes(newer.read('k').version, later.read('k').version) < 0)
})

test('no entry is mended below the purge bound of its slot, or in a slot whose bound is in the future', async () => {
  const disk = new Disk()
  await disk.entry('k', NOW + YEAR)
  await disk.entry('in a closed slot', NOW + YEAR)
  const bound = NOW / 1000 - 10
  const closed = table(slotOf(fromText('k')), bound)
  closed[slotOf(fromText('in a closed slot'))] = (NOW + YEAR) / 1000
  await disk.record(writeClosed(closed))
  await disk.record(writeClosing(table(slotOf(fromText('k')), bound + 1)))
  assert.equal(await disk.found(), { futureEntries: 2, futureBounds: 1 })
  assert.is((await disk.mend(NOW - 60_000)).entries, 1)
  assert.is(versionMs(disk.read('k').version), (bound + 1) * 1000)
  assert.equal(await disk.found(), { futureEntries: 1, futureBounds: 1 })
})

test('hints from the future are mended, by their version and by the time when they were kept', async () => {
  const disk = new Disk()
  await disk.hint(0, NOW + YEAR)
  await disk.hint(1, NOW, NOW + YEAR)
  await disk.hint(2, NOW)
  assert.equal(await disk.found(), { futureHints: 2 })
  assert.equal(await disk.mend(), { entries: 0, hints: 2, promises: 0, ceilings: 0 })
  assert.equal(await disk.found(), {})
  for (const sequence of [0, 1, 2]) {
    const hint = decodeHint(disk.store.get(hintKey({ member: 'ab'.repeat(16), sequence }))!)!
    assert.is(versionMs(decodeEnvelope(hint.key, hint.envelope).version), NOW)
    assert.is(hint.keptAtMs, NOW)
  }
})

test('a hint and an entry of one version from the future are one version afterwards', async () => {
  const disk = new Disk()
  await disk.entry('hinted', NOW + YEAR)
  await disk.hint(0, NOW + YEAR)
  await disk.mend(NOW - 1)
  const hint = decodeHint(disk.store.get(hintKey({ member: 'ab'.repeat(16), sequence: 0 }))!)!
  assert.ok(sameBytes(hint.envelope, disk.stored('hinted')))
})

test('a clock ceiling from the future is lowered, and the clock then makes versions that others take', async () => {
  const disk = new Disk()
  await disk.record(writeCeiling(NOW + YEAR))
  assert.equal(await disk.found(), { ceilingAheadMs: YEAR })
  assert.equal(await disk.mend(), { entries: 0, hints: 0, promises: 0, ceilings: 1 })
  assert.equal(await disk.found(), {})
  const ceilingMs = readCeiling({ get: (name) => disk.store.get(metaKey(name)) })
  const hlc = new HybridClock({ now: () => NOW }, { member: MEMBER, ceilingMs })
  hlc.raiseCeiling(hlc.needsCeiling()!)
  const version = hlc.next()!
  assert.is(hlc.isTooFarAhead(version), false)
  assert.ok(versionMs(version) >= NOW + 5000, 'above what this member may have made before')
})

test('entries that break a limit, lie in a wrong place, or are damaged are counted, and stay as they are', async () => {
  const disk = new Disk()
  await disk.entry(new Uint8Array(KEY_BYTES_MAX + 1), NOW)
  await disk.entry('large', NOW, { value: new Uint8Array(VALUE_BYTES_MAX + 1) })
  const key = fromText('elsewhere')
  await disk.raw(dataKey((slotOf(key) + 1) % SLOTS, key), envelope(key, NOW + YEAR))
  await disk.raw(Uint8Array.of(0x64, 0, 0, 1), fromText('short'))
  await disk.entry('damaged', NOW + YEAR)
  const bytes = Buffer.from(disk.stored('damaged'))
  bytes[bytes.length - 1]! ^= 1
  await disk.raw(dataKey(slotOf(fromText('damaged')), fromText('damaged')), bytes)
  await disk.raw(hintKey({ member: 'ab'.repeat(16), sequence: 9 }), fromText('nonsense'))
  const found = { longKeys: 1, longValues: 1, misplacedEntries: 2, damagedEntries: 1, damagedHints: 1 }
  assert.equal(await disk.found(), found)
  await disk.mend()
  assert.equal(await disk.found(), found)
  assert.is(checkEnvelope(fromText('damaged'), asEnvelope(disk.stored('damaged'))), false)
})

test('a promise from the future is mended, a damaged one stays, and one without its key is reported', async () => {
  const disk = new Disk()
  const key = (text: string) => dataKey(slotOf(fromText(text)), fromText(text))
  const promise = (text: string, ms: number) =>
    disk.raw(promiseKey(key(text)), encodePromise(key(text), makeVersion(ms, 0, MEMBER)))
  await promise('now', NOW)
  await promise('ahead', NOW + YEAR)
  await promise('damaged', NOW)
  await disk.raw(promiseKey(key('damaged')), fromText('nonsense'))
  assert.equal(await disk.found(), { futurePromises: 1, damagedPromises: 1 })
  assert.equal(await disk.mend(NOW - 1), { entries: 0, hints: 0, promises: 1, ceilings: 0 })
  assert.equal(await disk.found(), { damagedPromises: 1 })
  const highest = latestVersion(NOW + 5000)
  const read = new Map((await readPromises(disk.store, highest)).map((one) => [toHex(one.storedKey), one.ballot]))
  assert.is(versionMs(read.get(toHex(key('ahead')))!), NOW - 1)
  assert.ok(sameBytes(read.get(toHex(key('damaged')))!, highest), 'a damaged promise counts as the highest')
  await disk.raw(Uint8Array.of(0x70, 1, 2, 3), fromText('nonsense'))
  assert.equal(await disk.found(), { damagedPromises: 1, misplacedPromises: 1 })
  const refused = await readPromises(disk.store, highest).catch(({ code }) => code)
  assert.is(refused, 'DATA_DAMAGED', 'a peer does not start without knowing what it has promised')
})

test('each batch of a mending has the next number, so that the store is newer than any copy of it', async () => {
  const disk = new Disk()
  for (let at = 0; at < 5; at++) await disk.entry(`k${at}`, NOW + YEAR, { value: new Uint8Array(2 ** 20) })
  await disk.mend()
  assert.ok(new GuardedStore(disk.store).batch > 1)
  assert.equal(await disk.found(), {})
})

test('the report names a remedy for what was found, and the moment for the other peers', () => {
  const now = new Date(NOW).toISOString()
  const report = {
    now,
    at: null,
    entries: 7,
    hints: 1,
    mended: { entries: 0, hints: 0, promises: 0, ceilings: 0 },
    modes: 0
  }
  const sound = renderDoctor({ ...report, found: NOTHING_FOUND, sound: true })
  assert.match(sound, /^checked {2}7 entries and 1 hints, at 2026-01-01T00:00:00\.000Z/)
  assert.match(sound, /\nsound\n$/)
  assert.not.match(sound, /--fix|next|mended/)
  const found = { ...NOTHING_FOUND, futureEntries: 3, ceilingAheadMs: 90_000, misplacedEntries: 1 }
  const flawed = renderDoctor({ ...report, found, sound: false })
  assert.match(flawed, /^entries with a version too far ahead +3 {2}ringd doctor --fix$/m)
  assert.match(flawed, /^clock ceiling ahead of the clock +1m 30s {2}ringd doctor --fix$/m)
  assert.match(flawed, /^entries in a wrong place +1 {2}move the directory away/m)
  assert.match(flawed, /^hints from the future +0$/m)
  const mended = renderDoctor({
    ...report,
    at: now,
    mended: { entries: 3, hints: 0, promises: 2, ceilings: 1 },
    found: NOTHING_FOUND,
    sound: true
  })
  assert.match(mended, /^mended {3}3 entries, 0 hints, 2 promises, 1 clock ceilings$/m)
  assert.match(mended, /^next {5}ringd doctor --fix --at 2026-01-01T00:00:00\.000Z on the other peers/m)
})

test('a moment is ISO text in UTC, and nothing else', () => {
  assert.is(parseAt('2026-01-01T00:00:00.000Z'), NOW)
  assert.is(parseAt('2026-01-01T00:00:01Z'), NOW + 1000)
  for (const text of ['', 'now', '2026-01-01', '1767225600000', '2026-13-01T00:00:00Z', '2026-01-01T00:00:00+01:00'])
    assert.throws(() => parseAt(text), text)
})

test.run()
