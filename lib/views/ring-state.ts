// All that a peer knows of its ring: chain, configs, bases, records, wishes to join; and how it grows by what others
// say. Pure: every step makes a new state, and gives the same object back when there was nothing new.
// Invariants: the chain is contiguous from view 1; bases only rise; a record gives way only to a higher sequence.
import { crc32 } from 'node:zlib'
import type { MemberId } from '../member.js'
import { ownerTable } from '../ring/owners.js'
import { SLOTS } from '../ring/slots.js'
import { applyChange, type View, type ViewChange } from './chain.js'
import { type ConfigTable, extendConfigs, rebaseConfigs } from './configs.js'
import { markChanges, mergeBases, settle } from './facts.js'
import type { JoinRequest, MemberRecord } from './join.js'
import type { Digest, Knowledge } from './knowledge.js'

export interface RingState {
  readonly changes: readonly ViewChange[]
  /** The newest view; undefined while no ring is known. */
  readonly view: View | undefined
  readonly configs: ConfigTable | undefined
  readonly bases: Uint32Array
  readonly records: ReadonlyMap<MemberId, MemberRecord>
  /** Wishes of those who are not members yet. */
  readonly joins: ReadonlyMap<MemberId, JoinRequest>
}

/** Wishes that a peer remembers at once. */
export const JOINS_MAX = 256
/** Up to so many records a digest lists them. Beyond, a list of 30 bytes for each member would mostly be no news. */
const RECORDS_LISTED_MAX = 16

export function emptyRing(): RingState {
  const bases = new Uint32Array(SLOTS)
  return { changes: [], view: undefined, configs: undefined, bases, records: new Map(), joins: new Map() }
}

/**
 * `state` after hearing `news`. Changes that are known already are skipped; the first that leaves a gap ends the chain.
 * Join requests must have been verified. Throws BAD_MESSAGE when the next change makes no sense.
 */
export function learn(state: RingState, news: Knowledge): RingState {
  const grown = learnChanges(state, news.changes)
  const records = learnRecords(grown, news.records)
  const joins = learnJoins(grown, news.joins)
  const bases = news.bases === undefined ? grown.bases : mergeBases(grown.bases, news.bases)
  if (grown === state && records === state.records && joins === state.joins && bases === state.bases) return state
  return settleAll(state, { ...grown, bases, records, joins }, news.records)
}

/** `after` with what follows from its facts, where they differ from those of `before`; of records only in `news`. */
function settleAll(before: RingState, after: RingState, news: readonly MemberRecord[]): RingState {
  if (after.configs === undefined) return after
  const touched = new Uint8Array(SLOTS)
  if (before.view !== after.view) touched.fill(1)
  if (before.records !== after.records) {
    for (const { storeId } of news) {
      markChanges(
        before.records.get(storeId)?.ready ?? NOT_READY,
        after.records.get(storeId)?.ready ?? NOT_READY,
        touched
      )
    }
  }
  const bases = settle(after.configs, after.bases, readinessOf(after.records), touched)
  if (bases === before.bases && before.view === after.view) return after
  const former = before.view === after.view ? before.bases : undefined
  return { ...after, bases, configs: rebaseConfigs(after.configs, bases, former) }
}

const NOT_READY = new Uint32Array(SLOTS)

/** The state without the wishes of these joiners. */
export function forgetJoins(state: RingState, ids: readonly MemberId[]): RingState {
  if (!ids.some((id) => state.joins.has(id))) return state
  const joins = new Map(state.joins)
  for (const id of ids) joins.delete(id)
  return { ...state, joins }
}

/** Readiness of each member as its record says. */
export function readinessOf(records: ReadonlyMap<MemberId, MemberRecord>): ReadonlyMap<MemberId, Uint32Array> {
  return new Map(Array.from(records.values(), (record) => [record.storeId, record.ready]))
}

export function digestOf(state: RingState): Digest {
  return { ...outlineOf(state), records: sequencesOf(state.records) }
}

/** As `digestOf`, with the crc in place of a long list of records: most often two peers know the same. */
export function shortDigestOf(state: RingState): Digest {
  const isShort = state.records.size <= RECORDS_LISTED_MAX
  return { ...outlineOf(state), records: isShort ? sequencesOf(state.records) : undefined }
}

/** Whether whoever sent `digest` lists a record that is lacking or older here. */
export function lags(state: RingState, digest: Digest): boolean {
  for (const [id, sequence] of digest.records ?? []) if (sequence > (state.records.get(id)?.sequence ?? -1)) return true
  return false
}

function outlineOf(state: RingState): Omit<Digest, 'records'> {
  return {
    view: state.view?.number ?? 0,
    basesCrc: crcOfBases(state.bases),
    recordsCrc: crcOfRecords(state.records),
    joins: new Set(state.joins.keys())
  }
}

function sequencesOf(records: ReadonlyMap<MemberId, MemberRecord>): ReadonlyMap<MemberId, number> {
  return new Map(Array.from(records.values(), (record) => [record.storeId, record.sequence]))
}

/** What whoever sent `digest` lacks; of records nothing, when it does not list them. */
export function lacking(state: RingState, digest: Digest): Knowledge {
  const { records } = digest
  const newer = (record: MemberRecord) => records && record.sequence > (records.get(record.storeId) ?? -1)
  return {
    changes: state.changes.slice(digest.view),
    bases: state.view === undefined || digest.basesCrc === crcOfBases(state.bases) ? undefined : state.bases,
    records: Array.from(state.records.values()).filter(newer),
    joins: Array.from(state.joins.values()).filter((join) => !digest.joins.has(join.member.storeId))
  }
}

/** What a router or replica whose newest view is `view` lacks to go on: the missing views and the bases. */
export function since(state: RingState, view: number): Knowledge {
  return { changes: state.changes.slice(view), bases: state.bases, records: [], joins: [] }
}

function learnChanges(state: RingState, changes: readonly ViewChange[]): RingState {
  let { view, configs, bases, joins } = state
  const learned: ViewChange[] = []
  for (const change of changes) {
    const known = view?.number ?? 0
    if (change.number <= known) continue
    if (change.number > known + 1) break
    view = applyChange(view, change)
    configs = extendConfigs(configs, view.number, ownerTable([...view.members.values()], view.founding.replicas))
    if (view.number === 1) bases = new Uint32Array(SLOTS).fill(1)
    learned.push(change)
  }
  if (learned.length === 0) return state
  joins = new Map(Array.from(joins).filter(([id]) => !view?.peerIds.has(id)))
  return { ...state, changes: [...state.changes, ...learned], view, configs, bases, joins }
}

function learnRecords(state: RingState, records: readonly MemberRecord[]): ReadonlyMap<MemberId, MemberRecord> {
  let learned: Map<MemberId, MemberRecord> | undefined
  for (const record of records) {
    if (state.view?.peerIds.get(record.storeId) !== record.peerId) continue
    const known = (learned ?? state.records).get(record.storeId)
    if (known !== undefined && known.sequence >= record.sequence) continue
    learned ??= new Map(state.records)
    learned.set(record.storeId, record)
  }
  return learned ?? state.records
}

function learnJoins(state: RingState, joins: readonly JoinRequest[]): ReadonlyMap<MemberId, JoinRequest> {
  let learned: Map<MemberId, JoinRequest> | undefined
  for (const join of joins) {
    const { storeId } = join.member
    if (state.view?.founding.ringId !== join.ringId || state.view.peerIds.has(storeId)) continue
    const known = (learned ?? state.joins).get(storeId)
    if (known === undefined ? (learned ?? state.joins).size >= JOINS_MAX : known.issuedAtMs >= join.issuedAtMs) continue
    learned ??= new Map(state.joins)
    learned.set(storeId, join)
  }
  return learned ?? state.joins
}

const recordCrcs = new WeakMap<ReadonlyMap<MemberId, MemberRecord>, number>()

function crcOfRecords(records: ReadonlyMap<MemberId, MemberRecord>): number {
  let crc = recordCrcs.get(records)
  if (crc === undefined) {
    const lines = Array.from(records.values(), ({ storeId, sequence }) => `${storeId} ${sequence}`)
    crc = crc32(lines.sort().join())
    recordCrcs.set(records, crc)
  }
  return crc
}

const crcs = new WeakMap<Uint32Array, number>()

function crcOfBases(bases: Uint32Array): number {
  let crc = crcs.get(bases)
  if (crc === undefined) {
    crc = crc32(Buffer.from(bases.buffer, bases.byteOffset, bases.byteLength))
    crcs.set(bases, crc)
  }
  return crc
}
