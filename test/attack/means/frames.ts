// A valid message of every kind of wire.proto, made for the ring under attack: the ground for mutations, and the list
// of the kinds that a stranger must not reach. TypeScript refuses a missing kind.
import { fromHex, fromText } from '../../../lib/bytes.js'
import { BlockWriter } from '../../../lib/entry/block.js'
import { type Envelope, encodeEnvelope } from '../../../lib/entry/envelope.js'
import { dataKey } from '../../../lib/entry/keys.js'
import { makeVersion, versionMember } from '../../../lib/entry/version.js'
import { MiB } from '../../../lib/limits.js'
import { type Body, WIRE_VERSION } from '../../../lib/network/network.js'
import type { Knowledge, ViewChange } from '../../../lib/network/wire.js'
import { SLOTS, slotOf } from '../../../lib/ring/slots.js'
import type { Context } from '../attack.js'

export type Kind = keyof Body
type Bodies = { readonly [K in Kind]-?: NonNullable<Body[K]> }
type WireBytes = Uint8Array<ArrayBuffer>

export interface EntryPlan {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly ms: number
  readonly storeId: string
}

/** The stored form of a value at the given moment. */
export function envelopeOf({ key, value, ms, storeId }: EntryPlan): Envelope {
  return encodeEnvelope(key, { version: makeVersion(ms, 0, versionMember(storeId)), tombstone: false, value })
}

/** A block with one entry, as offers and pulls carry it. */
export function blockOf(plan: EntryPlan): { readonly block: WireBytes; readonly crc: number } {
  const writer = new BlockWriter(MiB)
  writer.add(dataKey(slotOf(plan.key), plan.key), envelopeOf(plan))
  const { block, crc } = writer.finish()
  return { block: new Uint8Array(block), crc }
}

/** Signatures and votes of nobody. */
export const UNSIGNED = { signature: new Uint8Array(64), heardSignature: new Uint8Array(64) }
export const UNVOTED = { votes: [] }

export const NO_KNOWLEDGE: Knowledge = { changes: [], bases: [], records: [], joins: [], departures: [] }
export const ALL_SLOTS = [{ first: 0, last: SLOTS - 1 }]

const KEY = new Uint8Array(fromText('attack:frame')) as WireBytes
const CLIENT_ANSWERS = { clientIncremented: { sum: 1n }, clientWritten: { isDone: true } }

/** One body of each kind. The members and views are those of the ring. */
export function bodiesOf(context: Pick<Context, 'target'>, now = Date.now()): Bodies {
  const { ringId, view, members } = context.target
  const [first] = members
  const storeId = wireId(first?.storeId ?? '')
  const key = KEY
  const entry = { key, value: fromText('value'), ms: now, storeId: first?.storeId ?? '00'.repeat(16) }
  const { block, crc } = blockOf(entry)
  const envelope = new Uint8Array(envelopeOf(entry)) as WireBytes
  const ballot = { round: 1, storeId }
  const change = changeOf(view + 1, first?.storeId ?? '')
  const range = { view, first: 0, last: SLOTS - 1, digest: 1 }
  const list = new Uint8Array(0)
  const instance = new Uint8Array(8).fill(1)
  const pong = { ...UNSIGNED, view, ringDigest: '', entries: 0, bytes: 0, batch: 1, highestBatchHeard: 0 }
  const digest = {
    ...{ view, basesCrc: 0, records: [], joins: [], departures: [], recordsCrc: 0, recordsOmitted: false }
  }
  return {
    hello: { wireVersion: WIRE_VERSION, ringId: wireId(ringId), storeId, instance, startedAtMs: 1, expects: 0 },
    refusal: { code: 'STALE_VIEW', message: 'learn', knowledge: knowledgeOf(context) },
    done: {},
    read: { view, key },
    value: { envelope },
    write: { view, key, envelope },
    written: { newerVersion: new Uint8Array(16) },
    prepareKey: { view, key, ballot: new Uint8Array(16), origins: [new Uint8Array(16)] },
    preparedKey: { envelope, tellings: [{ versions: [], isUnknown: true }] },
    pingThrough: { member: storeId },
    ping: { view },
    who: { challenge: instance },
    me: { instance, startedAtMs: 1, signature: new Uint8Array(64) },
    twin: { other: { instance, startedAtMs: 1, signature: new Uint8Array(64) } },
    pong,
    exchange: { digest },
    exchanged: { digest, knowledge: NO_KNOWLEDGE },
    learn: knowledgeOf(context),
    prepare: { instance: view + 1, ballot, evictions: [storeId] },
    promised: { ...UNSIGNED, granted: true, promised: ballot, acceptedBallot: ballot, acceptedChange: change },
    accept: { instance: view + 1, ballot, change },
    accepted: { ...UNSIGNED, granted: true, promised: ballot },
    compare: { view, config: 1, ranges: ALL_SLOTS },
    compared: { sums: new Uint8Array(20) },
    offer: { view, config: 1, block, crc, versionsOnly: false },
    wanted: { keys: [key] },
    repairSums: { ...range, level: 0, sums: new Uint8Array(20) },
    repairDiffering: { nodes: new Uint8Array(4) },
    close: { view, config: 1, ranges: ALL_SLOTS, before: Math.floor(now / 1000), step: 0 },
    closed: { sums: new Uint8Array(20), closed: new Uint8Array(4) },
    tally: { view, ranges: ALL_SLOTS },
    askTransfers: { view, ended: 100 },
    toldTransfers: { running: [], ended: [], slotsLeft: 1 },
    tallied: { tallies: new Uint8Array(26) },
    clientGet: { key, consistency: '' },
    clientValue: { value: key },
    clientPut: { key, value: key, consistency: '' },
    clientDelete: { key, consistency: '' },
    clientDeleted: { existed: true },
    clientIncrement: { key, by: 1n, consistency: '' },
    ...CLIENT_ANSWERS,
    clientQuery: { topic: 'status', argument: new Uint8Array(0) },
    clientReport: { json: '{}' },
    clientDepart: { storeId, force: true },
    repairVersions: { ...range, list, crc: 0 },
    repairFound: { block, crc, wanted: list },
    repairEntries: { ...range, block, crc },
    clientRepair: { start: true, first: 0, last: SLOTS - 1 },
    clientVerify: { start: true, first: 0, last: SLOTS - 1, once: false },
    clientLimit: { bytesPerS: 65_536 }
  }
}

export function wireId(hex: string): WireBytes {
  return new Uint8Array(fromHex(hex)) as WireBytes
}

/** A view that removes one member. */
export function changeOf(number: number, removed: string): ViewChange {
  return { ...UNVOTED, number, joins: [], removals: removed === '' ? [] : [wireId(removed)], lost: [] }
}

/** Knowledge of every sort about the ring: an invented view, bases, a record, a departure. */
export function knowledgeOf({ target }: Pick<Context, 'target'>): Knowledge {
  const { members, view, ringId } = target
  const [first] = members
  const storeId = wireId(first?.storeId ?? '')
  const peerId = first?.peerId ?? ''
  return {
    changes: [changeOf(view + 1, first?.storeId ?? '')],
    bases: [{ ...ALL_SLOTS[0]!, value: 1 }],
    records: [{ ...UNSIGNED, storeId, peerId, sequence: 2 ** 40, addresses: [], ready: [] }],
    joins: [],
    departures: [
      {
        ...{ ringId: wireId(ringId), storeId, dead: true, peerId, force: true, issuedAtMs: Date.now() },
        signature: new Uint8Array(64)
      }
    ]
  }
}
