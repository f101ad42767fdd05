// What of a chain without votes must be equal when a majority of members tells it, as digests. Pure.
// Invariant: honest members that tell a chain to the same view have the same `endDigest` and `beginsDigest`, at
// whatever views they made their snapshots. What depends on that choice is left out of both:
//
// - the number of the snapshot, and how many views follow it one by one;
// - the older configs of a window, since a snapshot keeps only the newest one;
// - former members before the newest 1024, since a snapshot drops them; and the order of the kept ones, in which older
//   versions differ;
// - votes, since every majority proves a change equally well.
// Source: rule 12 of lib/views/README.md.
import type { Bytes } from '../bytes.js'
import type { View } from './chain.js'
import { type ConfigTable, newestConfig } from './configs.js'
import type { Knowledge } from './knowledge.js'
import { newestFormer, viewOfSnapshot } from './snapshot.js'
import { changeDigest, sha256, viewDigest } from './votes.js'

/** The view in which a chain ends: its number, ring, members and newest former members. O(members). */
export function endDigest(view: View): string {
  const former = newestFormer(view).map(({ storeId, peerId, lost }) => JSON.stringify([storeId, peerId, lost]))
  return sha256(JSON.stringify([viewDigest(view), former.sort()]))
}

/** The views in which the newest configs of all slots began. O(slots). */
export function beginsDigest({ windows }: ConfigTable): string {
  return sha256(asBytes(Uint32Array.from(windows, (window) => newestConfig(window).begin)))
}

/** Everything that is told of a chain but its votes. Honest members may differ in it. O(members and changes told). */
export function chainDigest({ snapshot, changes }: Pick<Knowledge, 'snapshot' | 'changes'>): string {
  const start = snapshot && [
    viewDigest(viewOfSnapshot(snapshot)),
    snapshot.former.map(({ storeId, peerId, lost }) => [storeId, peerId, lost]),
    sha256(asBytes(snapshot.begins))
  ]
  return sha256(JSON.stringify([start ?? null, changes.map(changeDigest)]))
}

function asBytes({ buffer, byteOffset, byteLength }: Uint32Array): Bytes {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
