// What a peer knows of the ring, as it travels: the whole, the part that another one lacks, and the digest that tells.
import type { MemberId } from '../member.js'
import type { ViewChange } from './chain.js'
import type { Departure } from './departure.js'
import type { JoinRequest, MemberRecord } from './join.js'
import type { Snapshot } from './snapshot.js'

/** What a peer knows, or the part that another one lacks. */
export interface Knowledge {
  /** The beginning of the chain in short, for whoever knows less. */
  readonly snapshot?: Snapshot | undefined
  /** Contiguous, ascending. */
  readonly changes: readonly ViewChange[]
  /** Per slot the newest config known to be settled; undefined: nothing to say. */
  readonly bases?: Uint32Array | undefined
  readonly records: readonly MemberRecord[]
  readonly joins: readonly JoinRequest[]
  readonly departures: readonly Departure[]
}

export const NO_KNOWLEDGE: Knowledge = { changes: [], records: [], joins: [], departures: [] }

/** Enough to tell who lacks what, in a few hundred bytes. */
export interface Digest {
  readonly view: number
  readonly basesCrc: number
  /** crc32 of ids and sequences of the records. */
  readonly recordsCrc: number
  /** Their sequences; undefined when there are many, and the crc has to do at first. */
  readonly records: ReadonlyMap<MemberId, number> | undefined
  readonly joins: ReadonlySet<MemberId>
  readonly departures: ReadonlySet<MemberId>
}

export function isEmpty(knowledge: Knowledge): boolean {
  const { snapshot, changes, bases, records, joins, departures } = knowledge
  const items = changes.length + records.length + joins.length + departures.length
  return items === 0 && snapshot === undefined && bases === undefined
}
