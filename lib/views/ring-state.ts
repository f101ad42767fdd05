// All that a peer knows of its ring: chain, configs, bases, records, wishes to join and to go; and how it grows by what
// others say. Pure: every step makes a new state, and gives the same object back when there was nothing new.
// Invariants: the chain is contiguous from view 1 or from the snapshot; bases only rise; a record gives way only to a
// higher sequence, and is kept for as long as its member is in the view or owns in an open window.
import { crc32 } from 'node:zlib'
import type { MemberId, PeerId } from '../member.js'
import { ownerTable } from '../ring/owners.js'
import { SLOTS } from '../ring/slots.js'
import { applyChange, type View, type ViewChange } from './chain.js'
import { type ConfigTable, extendConfigs, rebaseConfigs, windowOwners } from './configs.js'
import { type Departure, isOpen } from './departure.js'
import type { JoinRequest, MemberRecord } from './join.js'
import type { Digest, Knowledge } from './knowledge.js'
import { longestWindow, markChanges, mergeBases, settle } from './readiness.js'
import { configsOfSnapshot, type Snapshot, snapshotOf, viewOfSnapshot } from './snapshot.js'

export interface RingState {
  /** The chain up to some view in short; undefined while it is known from view 1. */
  readonly snapshot: Snapshot | undefined
  /** The views after it, or all. */
  readonly changes: readonly ViewChange[]
  /** The newest view; undefined while no ring is known. */
  readonly view: View | undefined
  readonly configs: ConfigTable | undefined
  readonly bases: Uint32Array
  readonly records: ReadonlyMap<MemberId, MemberRecord>
  /** Wishes of those who are not members yet. */
  readonly joins: ReadonlyMap<MemberId, JoinRequest>
  /** Wishes that members go. */
  readonly departures: ReadonlyMap<MemberId, Departure>
}

/** Wishes that a peer remembers at once. */
export const JOINS_MAX = 256
/** Up to so many records a digest lists them. Beyond, a list of 30 bytes for each member would mostly be no news. */
const RECORDS_LISTED_MAX = 16

export function emptyRing(): RingState {
  return {
    snapshot: undefined,
    changes: [],
    view: undefined,
    configs: undefined,
    bases: new Uint32Array(SLOTS),
    records: new Map(),
    joins: new Map(),
    departures: new Map()
  }
}

/**
 * `state` after hearing `news`. Changes that are known already are skipped; the first that leaves a gap ends the chain.
 * Join requests must have been verified. Throws BAD_MESSAGE when the next change makes no sense.
 */
export function learn(state: RingState, news: Knowledge): RingState {
  const grown = learnChanges(learnSnapshot(state, news.snapshot), news.changes)
  const records = learnRecords(grown, news.records)
  const wished = grown === state ? state : dropWishes(grown)
  const joins = learnJoins(wished, news.joins)
  const departures = learnDepartures(wished, news.departures)
  const bases = news.bases === undefined ? grown.bases : mergeBases(grown.bases, news.bases)
  const isNews = grown !== state || records !== state.records || bases !== state.bases
  if (!isNews && joins === state.joins && departures === state.departures) return state
  const next = { ...grown, bases, records, joins, departures }
  return isNews ? dropRecords(settleAll(state, next, news.records)) : next
}

/** The chain in short, once it has grown by `changesMax` views and every slot is settled; else the same state. */
export function compact(state: RingState, changesMax: number): RingState {
  const { view, configs, changes } = state
  if (view === undefined || configs === undefined || changes.length <= changesMax) return state
  if (longestWindow(configs) > 1) return state
  const snapshot = snapshotOf(view, configs)
  return { ...state, snapshot, changes: [], view: viewOfSnapshot(snapshot) }
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

/** The state without the wishes of these joiners, and for these members to go. */
export function forgetWishes(state: RingState, ids: readonly MemberId[]): RingState {
  if (!ids.some((id) => state.joins.has(id) || state.departures.has(id))) return state
  const joins = new Map(state.joins)
  const departures = new Map(state.departures)
  for (const id of ids) {
    joins.delete(id)
    departures.delete(id)
  }
  return { ...state, joins, departures }
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
    joins: new Set(state.joins.keys()),
    departures: new Set(state.departures.keys())
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
    ...chainAfter(state, digest.view),
    bases: state.view === undefined || digest.basesCrc === crcOfBases(state.bases) ? undefined : state.bases,
    records: Array.from(state.records.values()).filter(newer),
    joins: Array.from(state.joins.values()).filter((join) => !digest.joins.has(join.member.storeId)),
    departures: Array.from(state.departures.values()).filter((request) => !digest.departures.has(request.storeId))
  }
}

/** What a router or replica whose newest view is `view` lacks to go on: the missing views and the bases. */
export function since(state: RingState, view: number): Knowledge {
  return { ...chainAfter(state, view), bases: state.bases, records: [], joins: [], departures: [] }
}

/** The views after `view`; from the snapshot on when the chain does not reach back so far. */
function chainAfter({ snapshot, changes }: RingState, view: number): Pick<Knowledge, 'snapshot' | 'changes'> {
  const first = snapshot?.number ?? 0
  return view < first ? { snapshot, changes } : { changes: changes.slice(view - first) }
}

/** A snapshot of a later view than any that is known takes the place of the chain. */
function learnSnapshot(state: RingState, snapshot: Snapshot | undefined): RingState {
  const { view } = state
  if (snapshot === undefined || snapshot.number <= (view?.number ?? 0)) return state
  if (view !== undefined && view.founding.ringId !== snapshot.founding.ringId) return state
  const bases = mergeBases(snapshot.begins, state.bases)
  return {
    ...state,
    snapshot,
    changes: [],
    view: viewOfSnapshot(snapshot),
    configs: configsOfSnapshot(snapshot),
    bases
  }
}

function learnChanges(state: RingState, changes: readonly ViewChange[]): RingState {
  let { view, configs, bases } = state
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
  return { ...state, changes: [...state.changes, ...learned], view, configs, bases }
}

/** Without the wishes that the view has granted. */
function dropWishes(state: RingState): RingState {
  const joins = new Map(Array.from(state.joins).filter(([id]) => !state.view?.peerIds.has(id)))
  const departures = new Map(
    Array.from(state.departures).filter(([, request]) => state.view !== undefined && isOpen(state.view, request))
  )
  return { ...state, joins, departures }
}

/** Without the records of those who are no members and own nothing that operations still honour. */
function dropRecords(state: RingState): RingState {
  const outdated = Array.from(state.records.keys()).filter((id) => peerOfNamed(state, id) === undefined)
  if (outdated.length === 0) return state
  const records = new Map(state.records)
  for (const id of outdated) records.delete(id)
  return { ...state, records }
}

/** The peer of one who is a member or owns in an open window. */
function peerOfNamed({ view, configs }: RingState, id: MemberId): PeerId | undefined {
  if (view === undefined || configs === undefined) return undefined
  const isNamed = view.members.has(id) || windowOwners(configs).has(id)
  return isNamed ? view.peerIds.get(id) : undefined
}

function learnRecords(state: RingState, records: readonly MemberRecord[]): ReadonlyMap<MemberId, MemberRecord> {
  let learned: Map<MemberId, MemberRecord> | undefined
  for (const record of records) {
    if (peerOfNamed(state, record.storeId) !== record.peerId) continue
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

function learnDepartures(state: RingState, requests: readonly Departure[]): ReadonlyMap<MemberId, Departure> {
  let learned: Map<MemberId, Departure> | undefined
  for (const request of requests) {
    const { storeId } = request
    if (state.view?.founding.ringId !== request.ringId || !isOpen(state.view, request)) continue
    const known = (learned ?? state.departures).get(storeId)
    if (known !== undefined && known.issuedAtMs >= request.issuedAtMs) continue
    learned ??= new Map(state.departures)
    learned.set(storeId, request)
  }
  return learned ?? state.departures
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

export function crcOfBases(bases: Uint32Array): number {
  let crc = crcs.get(bases)
  if (crc === undefined) {
    crc = crc32(Buffer.from(bases.buffer, bases.byteOffset, bases.byteLength))
    crcs.set(bases, crc)
  }
  return crc
}
