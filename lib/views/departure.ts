// A departure: the request that a member leaves the ring (it asks itself), or is removed as dead (another member asks).
// Pure. Its signed bytes are made in wire-codec.ts.
import type { Bytes } from '../bytes.js'
import type { MemberId, PeerId } from '../member.js'
import type { View } from './chain.js'
import { type ConfigTable, pullQuorum } from './configs.js'

export interface Departure {
  readonly ringId: string
  /** The member that leaves or is removed. */
  readonly storeId: MemberId
  /** The member is taken for dead: nothing waits for its answers. */
  readonly dead: boolean
  /** The peer that asks. A member that leaves asks itself. */
  readonly peerId: PeerId
  /** True grants it also when fewer members remain than an entry has copies. */
  readonly force: boolean
  /** The wall clock of the peer that asks. A newer departure of the same member replaces an older one. */
  readonly issuedAtMs: number
  readonly signature: Bytes
}

/**
 * Whether the view has not granted it yet: it names a member, or takes for dead a former member that is not lost yet.
 */
export function isOpen(view: View, { storeId, dead }: Departure): boolean {
  if (view.members.has(storeId)) return true
  return dead && view.peerIds.has(storeId) && !view.lost.has(storeId)
}

/**
 * Whether `request` replaces the known one for the same member. A member's own wish to leave replaces the request of
 * another one to remove it, whatever time that one names.
 */
export function replaces(request: Departure, known: Departure | undefined): boolean {
  if (known === undefined || request.issuedAtMs > known.issuedAtMs) return true
  return known.dead && !request.dead
}

/**
 * The requests that one view may grant together when `joining` members join in it. At least as many members remain as
 * an entry has copies; with `force`, at least one remains. In the order of ids, so that every peer chooses the same
 * ones.
 */
export function grantable(view: View, requests: readonly Departure[], joining: number): readonly Departure[] {
  let remaining = view.members.size + joining
  const inOrder = requests.slice().sort((a, b) => (a.storeId < b.storeId ? -1 : 1))
  return inOrder.filter((request) => {
    if (!isOpen(view, request)) return false
    if (!view.members.has(request.storeId)) return true
    if (remaining <= (request.force ? 1 : view.founding.replicas)) return false
    remaining -= 1
    return true
  })
}

/**
 * The number of slots that would keep fewer owners than a pull must merge if `target` were lost as well as `lost`. In
 * such a slot an acknowledged write may be on no remaining owner. 0 when `target` owns nothing. O(slots).
 */
export function slotsLeftShort({ windows }: ConfigTable, target: MemberId, lost: ReadonlySet<MemberId>): number {
  return windows.filter((window) =>
    window.some((config) => {
      const left = config.owners.filter((id) => id !== target && !lost.has(id)).length
      return config.owners.includes(target) && left < pullQuorum(config)
    })
  ).length
}
