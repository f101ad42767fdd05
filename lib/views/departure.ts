// A wish that a member goes: made by itself (it leaves), or by another one for it (it is dead). Pure.
import type { Bytes } from '../bytes.js'
import type { MemberId, PeerId } from '../member.js'
import type { View } from './chain.js'
import { type ConfigTable, pullQuorum } from './configs.js'

export interface Departure {
  readonly ringId: string
  /** Who goes. */
  readonly storeId: MemberId
  /** It was taken for dead: nothing waits for its answers. */
  readonly dead: boolean
  /** The peer that asks: its own for one who leaves. */
  readonly peerId: PeerId
  /** Also when fewer members remain than there are copies of an entry. */
  readonly force: boolean
  /** The wall clock of whoever asks: a newer wish replaces an older one. */
  readonly issuedAtMs: number
  readonly signature: Bytes
}

/** Whether the wish still asks for something: a member goes, or a former one that others wait for is taken for dead. */
export function isOpen(view: View, { storeId, dead }: Departure): boolean {
  if (view.members.has(storeId)) return true
  return dead && view.peerIds.has(storeId) && !view.lost.has(storeId)
}

/**
 * Those of the wishes that the view may grant together, with `joining` members coming: the ring keeps as many members
 * as there are copies of an entry, unless a wish is forced, and at least one. In the order of ids, so that all agree.
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
 * So many slots would be left to fewer owners than a pull must hear, were `target` taken for lost beside `lost`: what
 * was acknowledged may then be on nobody who is left. 0 for one that owns nothing any more. O(slots).
 */
export function slotsLeftShort({ windows }: ConfigTable, target: MemberId, lost: ReadonlySet<MemberId>): number {
  return windows.filter((window) =>
    window.some((config) => {
      const left = config.owners.filter((id) => id !== target && !lost.has(id)).length
      return config.owners.includes(target) && left < pullQuorum(config)
    })
  ).length
}
