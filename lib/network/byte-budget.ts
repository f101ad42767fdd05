// One account for the bytes that a port holds: packets that have begun, requests in service, answers and requests that
// wait to be sent. It counts and says who has to go; its callers pause, refuse and end.
// Invariants: the total is the sum over all links, and above its limit by no more than the last change. Each peer has a
// right to its share of the total: when that is short, the peer that holds most has to go, and never one that holds
// less than the share.
import { KiB, MiB, VALUE_BYTES_MAX } from '../limits.js'
import type { PeerId } from '../member.js'

export interface BudgetLimits {
  /** Bytes of all peers. */
  readonly totalBytesMax: number
  /** Bytes of one peer, over all its links. */
  readonly peerBytesMax: number
}

/** For the streams of members: one stream of each class may be full in both directions. */
export const MEMBER_BUDGET: BudgetLimits = { totalBytesMax: 256 * MiB, peerBytesMax: 128 * MiB }
/** For clients. It is apart from that of members, so that clients never slow down the ring. */
export const CLIENT_BUDGET: BudgetLimits = { totalBytesMax: 48 * MiB, peerBytesMax: 24 * MiB }

/** What a peer may add although the total is short. */
const RESERVE_BYTES = 256 * KiB
/** A peer that holds less does not count among those that share the total. */
const ACTIVE_BYTES_MIN = 64 * KiB

/** The part of one link. */
export interface Account {
  /** Sets the bytes that the link holds now. */
  hold(bytes: number): void
  /** Whether there is room for `more` bytes that can wait: for the answer to a read that has not begun. */
  fits(more: number): boolean
  /** The peer holds more than it may: more than its limit, or more than its share while the total is short. */
  readonly exceeded: boolean
  /** There is no room for a large answer of anybody: what is held and not read keeps others waiting. */
  readonly isContended: boolean
  /** The link holds nothing any more. */
  close(): void
}

/** For a link that nobody bounds: the client's end of its own connection. */
export const NO_ACCOUNT: Account = { hold() {}, fits: () => true, exceeded: false, isContended: false, close() {} }

interface Peer {
  bytes: number
  /** One for each link: ends it. */
  readonly links: Set<() => void>
  /** Its links are about to end. Their bytes do not count any more. */
  hasToGo: boolean
}

export class ByteBudget {
  private readonly limits: BudgetLimits
  private readonly peers = new Map<PeerId, Peer>()
  private totalBytes = 0
  private active = 0

  constructor(limits: BudgetLimits) {
    this.limits = limits
  }

  /** Bytes of all peers. */
  get bytes(): number {
    return this.totalBytes
  }

  /** What each peer may hold while the total is short. */
  get share(): number {
    return this.limits.totalBytesMax / Math.max(1, this.active)
  }

  bytesOf(peerId: PeerId): number {
    return this.peers.get(peerId)?.bytes ?? 0
  }

  /**
   * Opens the account of one link. All links of a peer count together. `end` is called, within `hold` of any link, when
   * the peer has to go; it must end the link soon.
   */
  open(peerId: PeerId, end: () => void): Account {
    let peer = this.peers.get(peerId)
    if (peer === undefined || peer.hasToGo) {
      peer = { bytes: 0, links: new Set(), hasToGo: false }
      this.peers.set(peerId, peer)
    }
    return this.accountOf(peerId, peer, end)
  }

  private accountOf(peerId: PeerId, peer: Peer, end: () => void): Account {
    const { peerBytesMax, totalBytesMax } = this.limits
    const isShort = (more: number) => this.totalBytes + more > totalBytesMax
    const share = () => this.share
    let held = 0
    let closed = false
    peer.links.add(end)
    const hold = (bytes: number): void => {
      const more = bytes - held
      if (more === 0 || closed || peer.hasToGo) return
      held = bytes
      this.change(peer, more)
      if (more > 0 && isShort(0)) this.makeRoom()
    }
    return {
      hold,
      fits: (more) => {
        const bytes = peer.bytes + more
        return bytes <= peerBytesMax && (!isShort(more) || bytes <= RESERVE_BYTES)
      },
      get exceeded() {
        return peer.bytes > peerBytesMax || (isShort(0) && peer.bytes > share())
      },
      get isContended() {
        return isShort(VALUE_BYTES_MAX + MiB)
      },
      close: () => {
        hold(0)
        closed = true
        peer.links.delete(end)
        if (peer.links.size === 0 && this.peers.get(peerId) === peer) this.peers.delete(peerId)
      }
    }
  }

  /** The peers that hold most have to go until the total is within its limit. O(peers) for each. */
  private makeRoom(): void {
    while (this.totalBytes > this.limits.totalBytesMax) {
      let most: Peer | undefined
      for (const peer of this.peers.values()) if (!peer.hasToGo && peer.bytes > (most?.bytes ?? 0)) most = peer
      if (most === undefined) return
      this.change(most, -most.bytes)
      most.hasToGo = true
      for (const end of most.links) end()
    }
  }

  private change(peer: Peer, bytes: number): void {
    const before = peer.bytes >= ACTIVE_BYTES_MIN
    peer.bytes += bytes
    this.totalBytes += bytes
    const after = peer.bytes >= ACTIVE_BYTES_MIN
    if (before !== after) this.active += after ? 1 : -1
  }
}
