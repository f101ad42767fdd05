// The records that membership keeps on disk: their names and bytes. Pure: the replica writes them.
// durable-ring.ts says which of them must be on disk before what is sent.
import { type Bytes, fromText, toText } from '../../bytes.js'
import { RingdError, toRingdError } from '../../errors.js'
import { MEMBER_ID_PATTERN, type Member, type MemberId } from '../../member.js'
import {
  Promised,
  ViewChange as WireChange,
  MoveLimit as WireLimit,
  Member as WireMember,
  MemberRecord as WireRecord,
  Snapshot as WireSnapshot
} from '../../network/wire.js'
import { SLOTS } from '../../ring/slots.js'
import type { MetaReader, MetaWrite } from '../../storage/meta.js'
import { compareBallots } from '../../views/ballot.js'
import { applyChange, checkFounding, type Founding, type View, type ViewChange } from '../../views/chain.js'
import type { MemberRecord } from '../../views/join.js'
import { NO_KNOWLEDGE } from '../../views/knowledge.js'
import { limitFromWire, limitToWire, type MoveLimit } from '../../views/move-limit.js'
import type { AcceptorState } from '../../views/paxos.js'
import { emptyRing, learn, type RingState } from '../../views/ring-state.js'
import { decodeSlotTable, encodeSlotTable } from '../../views/slot-table.js'
import { type Snapshot, viewOfSnapshot } from '../../views/snapshot.js'
import {
  changeFromWire,
  changeToWire,
  memberFromWire,
  memberToWire,
  promisedFromWire,
  promisedToWire,
  recordFromWire,
  recordToWire,
  snapshotFromWire,
  snapshotToWire
} from '../../views/wire-codec.js'

/** This member was told to leave. */
export interface LeaveOrder {
  /** Also when fewer members remain than there are copies of an entry. */
  readonly force: boolean
}

/**
 * Everything about the ring that a store holds when it is opened. A peer may only say what it can find here again after
 * a crash: etcd/raft calls such a state the HardState. A store that cannot read one of these records must not be used.
 */
export interface DurableMembership {
  /** Views, bases, records, the limit for moves. All that peers or other actors were told of the ring is here. */
  readonly ring: RingState
  /**
   * The promise and the acceptance of this member for the next view: everything that it answered to a proposer.
   */
  readonly acceptor: AcceptorState
  /**
   * This peer as a member, with its tokens; undefined before it has chosen them. Its join request names this member.
   */
  readonly member: Member | undefined
  /** Per slot: the newest config for which this member is ready. Its entries were on disk before this was. */
  readonly ready: Uint32Array
  /** Set when it was told to leave. Once out of the ring it does not come back by itself. */
  readonly leaving: LeaveOrder | undefined
  /** How often this store was started before. The sequence numbers of its records begin above those of all starts. */
  readonly starts: number
  /**
   * Set when this store gave up a former membership: it may join a ring as a new member, and never found one. Holds
   * addresses of its former ring; none when it is not to come back by itself.
   */
  readonly formerPeers: readonly string[] | undefined
  /** Set when an operator rescued this store: it founds this ring with what it holds, whatever it is told to join. */
  readonly rescue?: Founding | undefined
  /** Set when an operator gave this store to a rescued ring: the id of the only ring that it may join. */
  readonly wantedRing?: string | undefined
}

export const STORE_ID = 'store-id'
/** Exists when this store gave up its membership. Holds the addresses of the peers that it knew. */
const LOST_RING = 'lost-ring'
/** Holds the ring that a rescued store is to found, until it has. */
const RESCUE = 'rescue'
/** Holds the id of the only ring that this store may join. */
const WANTED_RING = 'wanted-ring'
/** Exists from a renunciation until the peer has taken a new key. */
const NEW_IDENTITY = 'new-identity'
/** Enough to find a ring again when most of its peers have new addresses. */
const FORMER_PEERS_MAX = 64
const MEMBER = 'member'
const STARTS = 'starts'
const READY = 'ready'
const LEAVING = 'leaving'
const FORCED = 'forced'
const SNAPSHOT = 'snapshot'
const BASES = 'bases'
const ACCEPTOR = 'acceptor'
const MOVE_LIMIT = 'move-limit'
const VIEW = 'view/'
const RECORD = 'record/'

export function writeView(change: ViewChange): MetaWrite {
  return { name: viewName(change), value: WireChange.encode(changeToWire(change)) }
}

/** Drops a view that a snapshot has replaced. */
export function dropView(change: ViewChange): MetaWrite {
  return { name: viewName(change), value: undefined }
}

export function writeSnapshot(snapshot: Snapshot): MetaWrite {
  return { name: SNAPSHOT, value: WireSnapshot.encode(snapshotToWire(snapshot)) }
}

export function writeLeaving({ force }: LeaveOrder): MetaWrite {
  return { name: LEAVING, value: fromText(force ? FORCED : 'asked') }
}

export function writeBases(bases: Uint32Array): MetaWrite {
  return { name: BASES, value: encodeSlotTable(bases) }
}

export function writeReady(ready: Uint32Array): MetaWrite {
  return { name: READY, value: encodeSlotTable(ready) }
}

export function writeRecord(record: MemberRecord): MetaWrite {
  return { name: `${RECORD}${record.storeId}`, value: WireRecord.encode(recordToWire(record)) }
}

export function writeLimit(limit: MoveLimit): MetaWrite {
  return { name: MOVE_LIMIT, value: WireLimit.encode(limitToWire(limit)) }
}

export function dropRecord(id: MemberId): MetaWrite {
  return { name: `${RECORD}${id}`, value: undefined }
}

export function writeMember(member: Member): MetaWrite {
  return { name: MEMBER, value: WireMember.encode(memberToWire(member)) }
}

/** The rescued ring is founded. */
export function dropRescue(): MetaWrite {
  return { name: RESCUE, value: undefined }
}

/** The peer has taken a new key: it is on disk. */
export function dropNewIdentity(): MetaWrite {
  return { name: NEW_IDENTITY, value: undefined }
}

/** Whether the peer must take a new key: its store gave up the membership that the old key has signed for. */
export function needsNewIdentity(meta: Pick<MetaReader, 'get'>): boolean {
  return meta.get(NEW_IDENTITY) !== undefined
}

export function writeStarts(starts: number): MetaWrite {
  return { name: STARTS, value: numberToBytes(starts) }
}

/** Before the first promise there is nothing to keep. */
export function writeAcceptor(state: AcceptorState): MetaWrite {
  if (state.promised === undefined) return { name: ACCEPTOR, value: undefined }
  const vote = promisedToWire({ granted: true, promised: state.promised, accepted: state.accepted })
  return { name: ACCEPTOR, value: Buffer.concat([numberToBytes(state.instance), Promised.encode(vote)]) }
}

/** Reads the id of the store; undefined in a new one. Throws DATA_DAMAGED. */
export function readStoreId(meta: MetaReader): MemberId | undefined {
  const bytes = meta.get(STORE_ID)
  if (bytes === undefined) return undefined
  const id = toText(bytes)
  if (!MEMBER_ID_PATTERN.test(id)) throw new RingdError('DATA_DAMAGED', 'the id of the store cannot be read')
  return id
}

/** Everything that was durable. Throws DATA_DAMAGED when a record cannot be read: such a store must not be used. */
export async function readMembership(meta: MetaReader): Promise<DurableMembership> {
  try {
    const changes = await readAll(meta, VIEW, (bytes) => changeFromWire(WireChange.decode(bytes)))
    const records = await readAll(meta, RECORD, (bytes) => recordFromWire(WireRecord.decode(bytes)))
    const bytes = meta.get(SNAPSHOT)
    const snapshot = bytes && snapshotFromWire(WireSnapshot.decode(bytes))
    checkChain(snapshot, changes)
    const bases = readSlotTable(meta, BASES)
    const limitBytes = meta.get(MOVE_LIMIT)
    const limit = limitBytes && limitFromWire(WireLimit.decode(limitBytes))
    const ring = learn(emptyRing(), { ...NO_KNOWLEDGE, snapshot, changes, bases, records, limit })
    const member = meta.get(MEMBER)
    const starts = meta.get(STARTS)
    return {
      ring,
      acceptor: readAcceptor(meta, (ring.view?.number ?? 0) + 1),
      member: member && memberFromWire(WireMember.decode(member)),
      ready: readSlotTable(meta, READY) ?? new Uint32Array(SLOTS),
      leaving: readLeaving(meta),
      starts: starts === undefined ? 0 : bytesToNumber(starts),
      formerPeers: readFormerPeers(meta),
      rescue: readRescue(meta),
      wantedRing: readWantedRing(meta)
    }
  } catch (thrown) {
    const { message } = toRingdError(thrown)
    throw new RingdError('DATA_DAMAGED', `the membership records in the store are damaged: ${message}`, {
      cause: thrown
    })
  }
}

/**
 * The writes by which a store gives up its membership, because it went backwards or is no member any more: it gets a
 * new id, forgets its ring, and its peer takes a new key. Its entries stay: versions make them safe, and it may hold
 * the only copy.
 */
export async function writeRenunciation(
  meta: MetaReader,
  storeId: MemberId,
  { mayReturn, alsoDrop, rescue, wantedRing }: RenounceOptions
): Promise<readonly MetaWrite[]> {
  const peers = mayReturn ? await knownAddresses(meta) : []
  const dropped = [
    ...alsoDrop,
    MEMBER,
    READY,
    LEAVING,
    BASES,
    ACCEPTOR,
    MOVE_LIMIT,
    SNAPSHOT,
    ...(await meta.names(VIEW)),
    ...(await meta.names(RECORD))
  ]
  return [
    ...dropped.map((name) => ({ name, value: undefined })),
    { name: LOST_RING, value: fromText(JSON.stringify(peers)) },
    { name: RESCUE, value: rescue && fromText(JSON.stringify(rescue)) },
    { name: WANTED_RING, value: wantedRing === undefined ? undefined : fromText(wantedRing) },
    { name: NEW_IDENTITY, value: Uint8Array.of(1) },
    { name: STORE_ID, value: fromText(storeId) }
  ]
}

export interface RenounceOptions {
  /** Remember where the ring is, so that the next start joins it again. */
  readonly mayReturn: boolean
  /** Names of further records that hold for this membership only. */
  readonly alsoDrop: readonly string[]
  /** The ring that the next start is to found with what this store holds. */
  readonly rescue?: Founding | undefined
  /** The only ring that the next starts may join. */
  readonly wantedRing?: string | undefined
}

/** Addresses of other peers. Records that cannot be read are left out: this store may be damaged. */
async function knownAddresses(meta: MetaReader): Promise<readonly string[]> {
  const own = meta.get(STORE_ID)
  const found: string[] = []
  for (const name of await meta.names(RECORD)) {
    if (own !== undefined && name === `${RECORD}${toText(own)}`) continue
    try {
      found.push(...recordFromWire(WireRecord.decode(meta.get(name)!)).addresses)
    } catch {}
  }
  return found.slice(0, FORMER_PEERS_MAX)
}

function readFormerPeers(meta: MetaReader): readonly string[] | undefined {
  const bytes = meta.get(LOST_RING)
  if (bytes === undefined) return undefined
  const peers: unknown = JSON.parse(toText(bytes))
  return Array.isArray(peers) ? peers.filter((peer) => typeof peer === 'string') : []
}

function readRescue(meta: MetaReader): Founding | undefined {
  const bytes = meta.get(RESCUE)
  if (bytes === undefined) return undefined
  const { ringId, replicas } = JSON.parse(toText(bytes)) as Partial<Record<keyof Founding, unknown>>
  const founding = { ringId: String(ringId), replicas: Number(replicas) }
  checkFounding(founding)
  return founding
}

function readWantedRing(meta: MetaReader): string | undefined {
  const bytes = meta.get(WANTED_RING)
  if (bytes === undefined) return undefined
  const ringId = toText(bytes)
  if (!MEMBER_ID_PATTERN.test(ringId)) throw new RingdError('DATA_DAMAGED', 'the id of the wanted ring cannot be read')
  return ringId
}

async function readAll<T>(meta: MetaReader, prefix: string, decode: (bytes: Bytes) => T): Promise<T[]> {
  const names = await meta.names(prefix)
  return names.map((name) => decode(meta.get(name)!))
}

function viewName({ number }: ViewChange): string {
  return `${VIEW}${String(number).padStart(10, '0')}`
}

function checkChain(snapshot: Snapshot | undefined, changes: readonly ViewChange[]): void {
  let view: View | undefined = snapshot && viewOfSnapshot(snapshot)
  for (const change of changes) view = applyChange(view, change)
}

function readLeaving(meta: MetaReader): LeaveOrder | undefined {
  const bytes = meta.get(LEAVING)
  return bytes && { force: toText(bytes) === FORCED }
}

/** The state for `instance`. The state of an older instance on disk counts no more: that view is decided. */
function readAcceptor(meta: MetaReader, instance: number): AcceptorState {
  const bytes = meta.get(ACCEPTOR)
  if (bytes === undefined || bytesToNumber(bytes) !== instance) return { instance }
  const { promised, accepted } = promisedFromWire(Promised.decode(bytes.subarray(4)))
  if (accepted !== undefined && compareBallots(promised, accepted.ballot) < 0) {
    throw new RingdError('DATA_DAMAGED', 'the acceptor record holds an acceptance above its promise')
  }
  return { instance, promised, accepted }
}

function readSlotTable(meta: MetaReader, name: string): Uint32Array | undefined {
  const bytes = meta.get(name)
  return bytes && decodeSlotTable(bytes)
}

function numberToBytes(value: number): Bytes {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function bytesToNumber(bytes: Bytes): number {
  if (bytes.length < 4) throw new RingdError('DATA_DAMAGED', 'a number in a record is cut short')
  return Buffer.from(bytes.buffer, bytes.byteOffset, 4).readUInt32BE()
}
