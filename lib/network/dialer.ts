// Keeps connections with a set of peers: dials each peer, and tries again for ever, with growing pauses while it fails.
// Of two peers that keep each other, the lower peer id dials; the higher one dials only when that takes too long.
// Must not close connections. A peer that leaves the set keeps its connection.
import type { Clock, Timer } from '../clock.js'
import { toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { PeerId } from '../member.js'
import type { Random } from '../random.js'

export interface DialerDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly self: PeerId
  readonly isUp: (peerId: PeerId) => boolean
  /**
   * Resolves when the peer is up; throws when it cannot be reached or refuses. Must have a timeout of its own. With
   * `anew` it makes a new connection even when there is one.
   */
  readonly connect: (peerId: PeerId, addresses: readonly string[], anew: boolean) => Promise<void>
}

const BACKOFF_MS_MIN = 100
const BACKOFF_MS_MAX = 5000
/** The higher peer id waits this long to be dialled before it dials. */
const PATIENCE_MS = 2000

/** Addresses of one peer that are tried. A member has a few; a record may hold more. */
const ADDRESSES_MAX = 16
/** Dials at a time. The others wait for their turn. */
const DIALS_MAX = 64

interface Kept {
  addresses: readonly string[]
  failures: number
  timer: Timer | undefined
  dialing: boolean
  /** `redial` does nothing before this time. */
  anewAt: number
}

export class Dialer {
  private readonly deps: DialerDeps
  private readonly kept = new Map<PeerId, Kept>()
  private dials = 0
  private readonly turns: Array<() => void> = []
  private started = false
  private stopped = false

  constructor(deps: DialerDeps) {
    this.deps = deps
  }

  /** Replaces the set. New addresses of a peer are tried without the pause. */
  keep(peers: ReadonlyMap<PeerId, readonly string[]>): void {
    for (const [peerId, kept] of this.kept) {
      if (peers.has(peerId)) continue
      kept.timer?.cancel()
      this.kept.delete(peerId)
    }
    for (const [peerId, all] of peers) {
      if (peerId === this.deps.self || all.length === 0) continue
      const addresses = all.length > ADDRESSES_MAX ? all.slice(0, ADDRESSES_MAX) : all
      const kept = this.kept.get(peerId)
      if (kept === undefined) {
        const added = { addresses, failures: 0, timer: undefined, dialing: false, anewAt: 0 }
        this.kept.set(peerId, added)
        this.plan(peerId, added, this.firstDelayMs(peerId))
      } else if (!sameList(kept.addresses, addresses)) {
        kept.addresses = addresses
        kept.failures = 0
        this.plan(peerId, kept, this.firstDelayMs(peerId))
      }
    }
  }

  start(): void {
    this.started = true
    for (const [peerId, kept] of this.kept) this.plan(peerId, kept, this.firstDelayMs(peerId))
  }

  /** Reports that the peer is down: it is dialled again. */
  lost(peerId: PeerId): void {
    const kept = this.kept.get(peerId)
    if (kept === undefined) return
    this.plan(peerId, kept, this.firstDelayMs(peerId) + this.backoffMs(0))
  }

  /**
   * Dials a peer that is up but silent, with a second connection. One dial at a time, with growing pauses. Only the
   * lower peer id dials, because of two connections that the same side dialled the newer one counts.
   */
  redial(peerId: PeerId): void {
    const kept = this.kept.get(peerId)
    const now = this.deps.clock.elapsed()
    if (kept === undefined || kept.dialing || !this.started || this.stopped) return
    if (this.deps.self > peerId || now < kept.anewAt || !this.deps.isUp(peerId)) return
    void this.dial(peerId, kept, true)
  }

  stop(): void {
    this.stopped = true
    for (const { timer } of this.kept.values()) timer?.cancel()
    this.kept.clear()
  }

  private plan(peerId: PeerId, kept: Kept, delayMs: number): void {
    if (!this.started || this.stopped || kept.dialing) return
    kept.timer?.cancel()
    kept.timer = this.deps.clock.after(delayMs, () => void this.dial(peerId, kept))
  }

  private async dial(peerId: PeerId, kept: Kept, anew = false): Promise<void> {
    if (this.deps.isUp(peerId) !== anew) return
    kept.dialing = true
    if (this.dials >= DIALS_MAX) await new Promise<void>((resolve) => this.turns.push(resolve))
    this.dials++
    try {
      if (this.kept.get(peerId) === kept && this.deps.isUp(peerId) === anew) {
        await this.deps.connect(peerId, kept.addresses, anew)
      }
      kept.failures = 0
    } catch (thrown) {
      const error = toRingdError(thrown)
      kept.failures++
      this.deps.log.debug({ peer: peerId, failures: kept.failures, code: error.code, err: error }, 'dial failed')
    } finally {
      this.dials--
      this.turns.shift()?.()
      kept.dialing = false
      // Without jitter: only this peer dials that one anew, so no dials come at the same moment.
      kept.anewAt = this.deps.clock.elapsed() + pauseMs(kept.failures)
    }
    if (this.kept.get(peerId) === kept && !this.deps.isUp(peerId))
      this.plan(peerId, kept, this.backoffMs(kept.failures))
  }

  private firstDelayMs(peerId: PeerId): number {
    return this.deps.self < peerId ? 0 : PATIENCE_MS * (0.75 + this.deps.random.next() / 2)
  }

  private backoffMs(failures: number): number {
    return pauseMs(failures) * (0.5 + this.deps.random.next() / 2)
  }
}

function pauseMs(failures: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(failures, 10))
}

function sameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((item, index) => item === other[index])
}
