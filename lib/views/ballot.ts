// The numbers of ballots, and signatures by members. Pure.
import type { Bytes } from '../bytes.js'
import type { MemberId } from '../member.js'

/** Ordered by round, then by id. Two proposers never have the same ballot, since it holds the proposer's id. */
export interface Ballot {
  readonly round: number
  readonly storeId: MemberId
}

/** A round grows by one with each attempt. A higher round than this is a defect or an attack. */
export const ROUND_MAX = 1_000_000_000

/** What some members have signed, each by the key of its peer. */
export type Signatures = ReadonlyMap<MemberId, Bytes>

export function compareBallots(a: Ballot | undefined, b: Ballot | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1
  if (a.round !== b.round) return a.round - b.round
  return a.storeId < b.storeId ? -1 : a.storeId > b.storeId ? 1 : 0
}
