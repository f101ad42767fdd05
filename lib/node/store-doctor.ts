// Examines the store of a peer that is stopped, and mends what lies too far in the future. Nothing else uses the store
// meanwhile. Must not decide by itself which time is right: the caller gives the wall clock.
//
// An entry whose version lies too far ahead wins over every write, and no owner takes a write that would overwrite it.
// A wrong clock or a member that lies leaves such entries behind. Mending gives the entry a version of the moment
// `atMs`, so that it can be overwritten again:
//
//   ms: atMs | counter: 0 | member: ms and counter of the version before
//
// Two owners that held one version hold one version again, and of two versions the newer one stays the newer one: the
// owners of a slot can be mended one after the other, with the same `atMs`.
// Invariant: an entry never gets a version below the purge bounds of its slot, where it would count as purged.

import { MOMENT_RECORDS, readAgreedMoment, writeMoment } from '../actors/replica/agreed-moment.js'
import { type ReplicaRecords, readReplicaRecords } from '../actors/replica/replica-records.js'
import { readCeiling, writeCeiling } from '../actors/router/version-minter.js'
import type { Bytes } from '../bytes.js'
import {
  checkEnvelope,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  valueBytes,
  versionOf
} from '../entry/envelope.js'
import { allHints, decodeHint, encodeHint } from '../entry/hint.js'
import { CEILING_LEAD_MS, MAX_SKEW_MS } from '../entry/hybrid-clock.js'
import { metaKey, parseDataKey, slotScan } from '../entry/keys.js'
import { allPromises, decodePromise, encodePromise, parsePromiseKey } from '../entry/promise-record.js'
import { makeVersion, VERSION_MEMBER_BYTES, type Version, versionMs } from '../entry/version.js'
import { KEY_BYTES_MAX, MiB, VALUE_BYTES_MAX } from '../limits.js'
import { SLOTS, slotOf } from '../ring/slots.js'
import { chunks } from '../storage/chunks.js'
import type { GuardedStore } from '../storage/guarded-store.js'
import type { Store, StoreWrite } from '../storage/store.js'

/** What is wrong in a store: how many entries, hints and slots, each counted once under every name that fits. */
export interface StoreFindings {
  /** Entries whose version lies too far ahead. */
  readonly futureEntries: number
  /** Hints of such entries, and hints that were kept in the future. */
  readonly futureHints: number
  /** How far the clock ceiling or the agreed moment lies ahead, ms; 0 when that is not too far. */
  readonly ceilingAheadMs: number
  /** Slots whose purge bounds lie too far ahead: they refuse every write. */
  readonly futureBounds: number
  readonly longKeys: number
  readonly longValues: number
  /** Entries that are not stored under the slot and hash of their key. */
  readonly misplacedEntries: number
  readonly damagedEntries: number
  readonly damagedHints: number
  /** Promises of rounds whose ballot lies too far ahead: they keep every write of their keys out. */
  readonly futurePromises: number
  /** Promises that cannot be read. A peer that starts counts them as the highest that it may have given. */
  readonly damagedPromises: number
  /** Promises of which it is not known for which key they were given. */
  readonly misplacedPromises: number
}

export interface StoreExamination {
  readonly entries: number
  readonly hints: number
  readonly found: StoreFindings
}

/** What was mended. */
export interface StoreMending {
  readonly entries: number
  readonly hints: number
  readonly promises: number
  /** 1: the clock ceiling was lowered. */
  readonly ceilings: number
}

const SCAN_BYTES = MiB
const SECOND_MS = 1000

type MutableFindings = { -readonly [Name in keyof StoreFindings]: StoreFindings[Name] }

/** Reads the whole store and changes nothing. Throws DATA_DAMAGED for records that cannot be read. */
export async function examineStore(store: Pick<Store, 'get' | 'scan'>, nowMs: number): Promise<StoreExamination> {
  const found = { ...NOTHING_FOUND }
  const ceiling = highestCeiling(store)
  if (isCeilingAhead(ceiling, nowMs)) found.ceilingAheadMs = ceiling - nowMs
  const records = readReplicaRecords(metaOf(store))
  for (let slot = 0; slot < SLOTS; slot++) if (boundMs(records, slot) > nowMs + MAX_SKEW_MS) found.futureBounds += 1
  let entries = 0
  for await (const chunk of chunks(store.scan(slotScan(0, SLOTS - 1)), SCAN_BYTES)) {
    entries += chunk.length
    for (const [stored, value] of chunk) examineEntry(stored, value, nowMs, found)
  }
  let hints = 0
  for await (const chunk of chunks(store.scan(allHints()), SCAN_BYTES)) {
    hints += chunk.length
    for (const [, value] of chunk) examineHint(value, nowMs, found)
  }
  for await (const chunk of chunks(store.scan(allPromises()), SCAN_BYTES)) {
    for (const [key, value] of chunk) examinePromise(key, value, nowMs, found)
  }
  return { entries, hints, found }
}

/** The findings of a sound store. */
export const NOTHING_FOUND: StoreFindings = {
  futureEntries: 0,
  futureHints: 0,
  ceilingAheadMs: 0,
  futureBounds: 0,
  longKeys: 0,
  longValues: 0,
  misplacedEntries: 0,
  damagedEntries: 0,
  damagedHints: 0,
  futurePromises: 0,
  damagedPromises: 0,
  misplacedPromises: 0
}

function examineEntry(stored: Bytes, value: Bytes, nowMs: number, found: MutableFindings): void {
  const place = parseDataKey(stored)
  if (place === undefined || slotOf(place.key) !== place.slot) {
    found.misplacedEntries += 1
    return
  }
  if (place.key.length > KEY_BYTES_MAX) found.longKeys += 1
  if (!checkEnvelope(place.key, value)) {
    found.damagedEntries += 1
    return
  }
  if (valueBytes(value).length > VALUE_BYTES_MAX) found.longValues += 1
  if (isAhead(versionOf(value), nowMs)) found.futureEntries += 1
}

function examineHint(value: Bytes, nowMs: number, found: MutableFindings): void {
  const hint = decodeHint(value)
  if (hint === undefined) found.damagedHints += 1
  else if (isAhead(versionOf(hint.envelope), nowMs) || hint.keptAtMs > nowMs + MAX_SKEW_MS) found.futureHints += 1
}

function examinePromise(key: Bytes, value: Bytes, nowMs: number, found: MutableFindings): void {
  const storedKey = parsePromiseKey(key)
  const ballot = storedKey && decodePromise(storedKey, value)
  if (storedKey === undefined) found.misplacedPromises += 1
  else if (ballot === undefined) found.damagedPromises += 1
  else if (isAhead(ballot, nowMs)) found.futurePromises += 1
}

/**
 * Mends the entries, hints, promises and the ceiling that lie too far ahead. `atMs` is not above `nowMs`. Entries in
 * slots whose purge bounds lie too far ahead stay as they are. After a crash or an error, call it again. Throws what a
 * write throws.
 */
export async function mendStore(
  store: GuardedStore,
  { nowMs, atMs }: { readonly nowMs: number; readonly atMs: number }
): Promise<StoreMending> {
  const records = readReplicaRecords(metaOf(store))
  let entries = 0
  for await (const chunk of chunks(store.scan(slotScan(0, SLOTS - 1)), SCAN_BYTES)) {
    const writes = chunk.flatMap(([stored, value]) => mendedEntry(stored, value, records, nowMs, atMs) ?? [])
    if (writes.length > 0) await store.write(writes)
    entries += writes.length
  }
  let hints = 0
  for await (const chunk of chunks(store.scan(allHints()), SCAN_BYTES)) {
    const writes = chunk.flatMap(([stored, value]) => mendedHint(stored, value, nowMs, atMs) ?? [])
    if (writes.length > 0) await store.write(writes)
    hints += writes.length
  }
  const promises = await mendPromises(store, nowMs, atMs)
  const isAheadNow = isCeilingAhead(highestCeiling(store), nowMs)
  if (isAheadNow) await store.write(ceilingWrites(nowMs))
  return { entries, hints, promises, ceilings: isAheadNow ? 1 : 0 }
}

/** A promise from the future gets a ballot of `atMs`: no owner takes what its round would write. */
async function mendPromises(store: GuardedStore, nowMs: number, atMs: number): Promise<number> {
  let promises = 0
  for await (const chunk of chunks(store.scan(allPromises()), SCAN_BYTES)) {
    const writes = chunk.flatMap(([key, value]): StoreWrite[] => {
      const storedKey = parsePromiseKey(key)
      const ballot = storedKey && decodePromise(storedKey, value)
      if (storedKey === undefined || ballot === undefined || !isAhead(ballot, nowMs)) return []
      return [{ type: 'put', key, value: encodePromise(storedKey, versionAt(ballot, atMs)) }]
    })
    if (writes.length > 0) await store.write(writes)
    promises += writes.length
  }
  return promises
}

function mendedEntry(
  stored: Bytes,
  value: Bytes,
  records: ReplicaRecords,
  nowMs: number,
  atMs: number
): StoreWrite | undefined {
  const place = parseDataKey(stored)
  if (place === undefined || !checkEnvelope(place.key, value) || !isAhead(versionOf(value), nowMs)) return undefined
  const bound = boundMs(records, place.slot)
  if (bound > nowMs + MAX_SKEW_MS) return undefined
  return { type: 'put', key: stored, value: withVersionAt(place.key, value, Math.max(atMs, bound)) }
}

function mendedHint(stored: Bytes, value: Bytes, nowMs: number, atMs: number): StoreWrite | undefined {
  const hint = decodeHint(value)
  if (hint === undefined) return undefined
  const { key, envelope, keptAtMs } = hint
  const isNew = isAhead(versionOf(envelope), nowMs)
  const wasKeptAhead = keptAtMs > nowMs + MAX_SKEW_MS
  if (!isNew && !wasKeptAhead) return undefined
  const mended = {
    key,
    keptAtMs: wasKeptAhead ? nowMs : keptAtMs,
    envelope: isNew ? withVersionAt(key, envelope, atMs) : envelope
  }
  return { type: 'put', key: stored, value: encodeHint(mended) }
}

function withVersionAt(key: Bytes, envelope: Envelope, ms: number): Envelope {
  // The operation that wrote it has ended long ago: nobody asks for its origin.
  const entry = { ...decodeEnvelope(key, envelope), origin: undefined }
  return encodeEnvelope(key, { ...entry, version: versionAt(versionOf(envelope), ms) })
}

/** The version of `ms` that keeps the order of the versions before: their ms and counter take the place of a member. */
function versionAt(version: Version, ms: number): Version {
  return makeVersion(ms, 0, version.subarray(0, VERSION_MEMBER_BYTES))
}

function isAhead(version: Version, nowMs: number): boolean {
  return versionMs(version) > nowMs + MAX_SKEW_MS
}

function isCeilingAhead(ceilingMs: number, nowMs: number): boolean {
  return ceilingMs > nowMs + MAX_SKEW_MS + CEILING_LEAD_MS
}

function highestCeiling(store: Pick<Store, 'get'>): number {
  const meta = metaOf(store)
  return Math.max(readCeiling(meta), readAgreedMoment(meta))
}

/** While its clock ran ahead, the member may have made versions up to the skew from now. None of them is made twice. */
function ceilingWrites(nowMs: number): StoreWrite[] {
  const records = [writeCeiling(nowMs + MAX_SKEW_MS), ...MOMENT_RECORDS.map((name) => writeMoment(name, nowMs))]
  return records.map(({ name, value }) => ({ type: 'put', key: metaKey(name), value }))
}

function boundMs({ closing, closed }: ReplicaRecords, slot: number): number {
  return Math.max(closing[slot]!, closed[slot]!) * SECOND_MS
}

function metaOf(store: Pick<Store, 'get'>): { get(name: string): Bytes | undefined } {
  return { get: (name) => store.get(metaKey(name)) }
}
