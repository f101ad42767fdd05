// One account for the bytes that a port holds: packets that have begun, requests in service, answers and requests that
// wait to be sent. Pure: it counts, and its callers pause, refuse or end.
// Invariant: the total is the sum over all links. A peer may hold its share of the total whatever the others hold, so
// one peer cannot keep others out; with more it must stop when the total is short.
import { KiB, MiB } from '../limits.js'
import type { PeerId } from '../member.js'

export interface BudgetLimits {
  /** Bytes of all peers. For a moment there may be up to twice as much: see `share`. */
  readonly totalBytesMax: number
  /** Bytes of one peer, over all its links. */
  readonly peerBytesMax: number
}

/** For the streams of members: one stream of each class may be full in both directions. */
export const MEMBER_BUDGET: BudgetLimits = { totalBytesMax: 256 * MiB, peerBytesMax: 128 * MiB }
/** For clients. It is apart from that of members, so that clients never slow down the ring. */
export const CLIENT_BUDGET: BudgetLimits = { totalBytesMax: 96 * MiB, peerBytesMax: 32 * MiB }

/** A peer that holds less does not count among those that share the total. */
const ACTIVE_BYTES_MIN = 64 * KiB

/** The part of one link. */
export interface Account {
  /** Sets the bytes that the link holds now. */
  hold(bytes: number): void
  /** Whether the peer may hold `more` bytes in addition. */
  fits(more: number): boolean
  /** The peer holds more than it may. */
  readonly exceeded: boolean
  /** The link holds nothing any more. */
  close(): void
}

/** For a link that nobody bounds: the client's end of its own connection. */
export const NO_ACCOUNT: Account = { hold() {}, fits: () => true, exceeded: false, close() {} }

interface Peer {
  bytes: number
  links: number
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

  /** Opens the account of one link. All links of a peer count together. */
  open(peerId: PeerId): Account {
    const peer = this.peers.get(peerId) ?? { bytes: 0, links: 0 }
    this.peers.set(peerId, peer)
    peer.links++
    let held = 0
    let closed = false
    const hold = (bytes: number): void => {
      if (closed || bytes === held) return
      this.change(peer, bytes - held)
      held = bytes
    }
    const fits = (more: number): boolean => {
      const bytes = peer.bytes + more
      if (bytes > this.limits.peerBytesMax) return false
      return this.totalBytes + more <= this.limits.totalBytesMax || bytes <= this.share
    }
    return {
      hold,
      fits,
      get exceeded() {
        return !fits(0)
      },
      close: () => {
        if (closed) return
        hold(0)
        closed = true
        if (--peer.links === 0) this.peers.delete(peerId)
      }
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
