// The contents of a gossip exchange. A digest shows another peer what this peer knows; knowledge is the part of it that
// the other peer lacks, or all of it.
import type { MemberId } from '../member.js'
import type { ViewChange } from './chain.js'
import type { Departure } from './departure.js'
import type { JoinRequest, MemberRecord } from './join.js'
import type { MoveLimit } from './move-limit.js'
import type { Snapshot } from './snapshot.js'

/** Everything that a peer knows of the ring, or the part that another peer lacks. */
export interface Knowledge {
  /** The beginning of the chain in short, for a peer that knows no view as new. */
  readonly snapshot?: Snapshot | undefined
  /** Ascending, without gaps. */
  readonly changes: readonly ViewChange[]
  /** Per slot the newest config known to be settled; undefined: not sent. */
  readonly bases?: Uint32Array | undefined
  readonly records: readonly MemberRecord[]
  readonly joins: readonly JoinRequest[]
  readonly departures: readonly Departure[]
  /** The limit for moving data; undefined: not sent, or none was ever set. */
  readonly limit?: MoveLimit | undefined
}

export const NO_KNOWLEDGE: Knowledge = { changes: [], records: [], joins: [], departures: [] }

/** Shows in a few hundred bytes which of two peers lacks what. */
export interface Digest {
  readonly view: number
  readonly basesCrc: number
  /** crc32 of the ids and sequences of the records. */
  readonly recordsCrc: number
  /** The sequence of each record; undefined when there are many: then only `recordsCrc` is compared at first. */
  readonly records: ReadonlyMap<MemberId, number> | undefined
  readonly joins: ReadonlySet<MemberId>
  readonly departures: ReadonlySet<MemberId>
  readonly limit?: MoveLimit | undefined
}

export function isEmpty(knowledge: Knowledge): boolean {
  const { snapshot, changes, bases, records, joins, departures, limit } = knowledge
  const items = changes.length + records.length + joins.length + departures.length
  return items === 0 && snapshot === undefined && bases === undefined && limit === undefined
}
