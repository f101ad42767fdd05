// Everything that a peer knows of its ring: chain, configs, bases, records, join requests and departures; and how it
// learns from others. Pure: each function returns a new state, or the same object when there was nothing new.
// Invariants: the chain has no gaps, from view 1 or from the snapshot; bases only rise; a record is replaced only by
// one with a higher sequence, and is kept while its member is in the view or owns a slot in some window.
// Source: rules 6 and 12 of lib/views/README.md.
import { crc32 } from 'node:zlib'
import type { MemberId, PeerId } from '../member.js'
import { ownerTable } from '../ring/owners.js'
import { SLOTS } from '../ring/slots.js'
import { applyChange, sizeOfChange, type View, type ViewChange } from './chain.js'
import { type ConfigTable, extendConfigs, rebaseConfigs, windowOwners } from './configs.js'
import { type Departure, isOpen, replaces } from './departure.js'
import type { JoinRequest, MemberRecord } from './join.js'
import type { Digest, Knowledge } from './knowledge.js'
import { isNewerLimit, type MoveLimit, newerLimit } from './move-limit.js'
import { longestWindow, markChanges, mergeBases, settle } from './readiness.js'
import { configsOfSnapshot, type Snapshot, snapshotOf, viewOfSnapshot } from './snapshot.js'

export interface RingState {
  /** The beginning of the chain in short; undefined while the chain is kept from view 1. */
  readonly snapshot: Snapshot | undefined
  /** The views after the snapshot; all views when there is none. */
  readonly changes: readonly ViewChange[]
  /** The newest view; undefined while no ring is known. */
  readonly view: View | undefined
  readonly configs: ConfigTable | undefined
  readonly bases: Uint32Array
  readonly records: ReadonlyMap<MemberId, MemberRecord>
  /** By the id of the member that asks to join. */
  readonly joins: ReadonlyMap<MemberId, JoinRequest>
  /** By the id of the member that leaves or is removed. */
  readonly departures: ReadonlyMap<MemberId, Departure>
  /** The limit for moving data; undefined while none was ever set. */
  readonly limit: MoveLimit | undefined
}

/** Join requests that a peer keeps at most. */
export const JOINS_MAX = 256
/**
 * A digest lists at most this many records. A longer list, of 30 bytes for each member, would seldom show anything new.
 */
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
    departures: new Map(),
    limit: undefined
  }
}

/**
 * The state after learning `news`. Known changes are skipped; the first change after a gap and all later ones are
 * ignored. The caller has verified votes and signatures. Throws BAD_MESSAGE when the next change is wrong.
 */
export function learn(state: RingState, news: Knowledge): RingState {
  const grown = learnChanges(learnSnapshot(state, news.snapshot), news.changes)
  const records = learnRecords(grown, news.records)
  const pending = grown === state ? state : dropGranted(grown)
  const joins = learnJoins(pending, news.joins)
  const departures = learnDepartures(pending, news.departures)
  const bases = news.bases === undefined ? grown.bases : mergeBases(grown.bases, news.bases)
  const isNews = grown !== state || records !== state.records || bases !== state.bases
  const limit = newerLimit(state.limit, news.limit)
  const isSame = joins === state.joins && departures === state.departures && limit === state.limit
  if (!isNews && isSame) return state
  const next = { ...grown, bases, records, joins, departures, limit }
  return isNews ? dropRecords(settleAll(state, next, news.records)) : next
}

/** How much of the chain is kept. A peer that missed no more than that learns the views that it missed. */
export interface ChainLimits {
  readonly changesMax: number
  readonly bytesMax: number
}

/**
 * The state with a snapshot instead of the chain. The same state while the chain is within the limits, or while a slot
 * is not settled.
 */
export function compact(state: RingState, { changesMax, bytesMax }: ChainLimits): RingState {
  const { view, configs, changes } = state
  if (view === undefined || configs === undefined) return state
  if (changes.length <= changesMax && sizeOfChain(changes) <= bytesMax) return state
  if (longestWindow(configs) > 1) return state
  const snapshot = snapshotOf(view, configs)
  return { ...state, snapshot, changes: [], view: viewOfSnapshot(snapshot) }
}

const chainSizes = new WeakMap<readonly ViewChange[], number>()

function sizeOfChain(changes: readonly ViewChange[]): number {
  let bytes = chainSizes.get(changes)
  if (bytes === undefined) {
    bytes = changes.reduce((sum, change) => sum + sizeOfChange(change), 0)
    chainSizes.set(changes, bytes)
  }
  return bytes
}

/** `after` with the bases and configs that follow from its view and records. Of the records, only `news` may differ. */
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

/** The state without the join requests and departures of these members. */
export function forgetRequests(state: RingState, ids: readonly MemberId[]): RingState {
  if (!ids.some((id) => state.joins.has(id) || state.departures.has(id))) return state
  const joins = new Map(state.joins)
  const departures = new Map(state.departures)
  for (const id of ids) {
    joins.delete(id)
    departures.delete(id)
  }
  return { ...state, joins, departures }
}

/** The readiness of each member, from its record. */
export function readinessOf(records: ReadonlyMap<MemberId, MemberRecord>): ReadonlyMap<MemberId, Uint32Array> {
  return new Map(Array.from(records.values(), (record) => [record.storeId, record.ready]))
}

export function digestOf(state: RingState): Digest {
  return { ...outlineOf(state), records: sequencesOf(state.records) }
}

/** As `digestOf`, but a long list of records is left out: most often two peers know the same, and the crc shows it. */
export function shortDigestOf(state: RingState): Digest {
  const isShort = state.records.size <= RECORDS_LISTED_MAX
  return { ...outlineOf(state), records: isShort ? sequencesOf(state.records) : undefined }
}

/** Whether the digest lists a record that this peer lacks or has only in an older form. */
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
    departures: new Set(state.departures.keys()),
    limit: state.limit
  }
}

function sequencesOf(records: ReadonlyMap<MemberId, MemberRecord>): ReadonlyMap<MemberId, number> {
  return new Map(Array.from(records.values(), (record) => [record.storeId, record.sequence]))
}

/**
 * The knowledge that the sender of `digest` lacks; without records when the digest does not list them. Records that are
 * not signed, from a disk of an older version, are not passed on: nobody would believe them.
 */
export function lacking(state: RingState, digest: Digest): Knowledge {
  const { records } = digest
  const newer = ({ storeId, sequence, signature }: MemberRecord) =>
    records && signature.length > 0 && sequence > (records.get(storeId) ?? -1)
  return {
    ...chainAfter(state, digest.view),
    bases: state.view === undefined || digest.basesCrc === crcOfBases(state.bases) ? undefined : state.bases,
    records: Array.from(state.records.values()).filter(newer),
    joins: Array.from(state.joins.values()).filter((join) => !digest.joins.has(join.member.storeId)),
    departures: Array.from(state.departures.values()).filter((request) => !digest.departures.has(request.storeId)),
    limit: state.limit !== undefined && isNewerLimit(state.limit, digest.limit) ? state.limit : undefined
  }
}

/** The knowledge that a router or replica of an older view needs: the views after `view`, and the bases. */
export function since(state: RingState, view: number): Knowledge {
  return { ...chainAfter(state, view), bases: state.bases, records: [], joins: [], departures: [] }
}

/** The views after `view`; with the snapshot when the kept chain does not reach back to `view`. */
function chainAfter({ snapshot, changes }: RingState, view: number): Pick<Knowledge, 'snapshot' | 'changes'> {
  const first = snapshot?.number ?? 0
  return view < first ? { snapshot, changes } : { changes: changes.slice(view - first) }
}

/** A snapshot replaces the chain when it is of a later view than every known one. */
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

/** The state without the requests that the view has granted. */
function dropGranted(state: RingState): RingState {
  const joins = new Map(Array.from(state.joins).filter(([id]) => !state.view?.peerIds.has(id)))
  const departures = new Map(
    Array.from(state.departures).filter(([, request]) => state.view !== undefined && isOpen(state.view, request))
  )
  return { ...state, joins, departures }
}

/** The state without the records of former members that own no slot in any window. */
function dropRecords(state: RingState): RingState {
  const outdated = Array.from(state.records.keys()).filter((id) => peerOfNamed(state, id) === undefined)
  if (outdated.length === 0) return state
  const records = new Map(state.records)
  for (const id of outdated) records.delete(id)
  return { ...state, records }
}

/** The peer of a member, or of a former member that owns a slot in some window; otherwise undefined. */
function peerOfNamed({ view, configs }: RingState, id: MemberId): PeerId | undefined {
  if (view === undefined || configs === undefined) return undefined
  const isNamed = view.members.has(id) || windowOwners(configs).has(id)
  return isNamed ? view.peerIds.get(id) : undefined
}

/** Whether this peer lacks the record: it is newer than the known one, of a member or an owner in some window. */
export function isRecordNews(state: RingState, { storeId, peerId, sequence }: MemberRecord): boolean {
  return peerOfNamed(state, storeId) === peerId && sequence > (state.records.get(storeId)?.sequence ?? -1)
}

/** The peers that are believed about bases: of members, and of former members that own a slot in some window. */
export function tellersOf(state: RingState): ReadonlySet<PeerId> {
  const { view, configs } = state
  if (view === undefined || configs === undefined) return new Set()
  const known = tellers.get(configs)
  if (known !== undefined) return known
  const peers = new Set(Array.from(view.members.values(), ({ peerId }) => peerId))
  for (const id of windowOwners(configs)) {
    const peerId = view.peerIds.get(id)
    if (peerId !== undefined) peers.add(peerId)
  }
  tellers.set(configs, peers)
  return peers
}

/** Each new view makes another table, so the table stands for the view. */
const tellers = new WeakMap<ConfigTable, ReadonlySet<PeerId>>()

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
    if (!replaces(request, known)) continue
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
