// The admitted connections of a port: how many of each role, and which of them are of no use.
// Roles are bounded apart, so clients never keep members out, and data clients never keep operators out.
// Invariant: a new connection is never refused. When its role has too many, the one that has been idle longest goes.
import { type Clock, every, type Timer } from '../clock.js'
import { RingdError } from '../errors.js'
import type { Role } from './secrets.js'

export interface WatchLimits {
  readonly connectionsMax: Readonly<Record<Role, number>>
  /** A connection on which nobody opens one of our streams is closed after this time. */
  readonly unusedMs: number
}

const LIMITS: WatchLimits = {
  // Two for each member of the largest ring, since both sides may dial, and as many again while they are replaced.
  connectionsMax: { member: 4096, data: 1024, operator: 64 },
  unusedMs: 10_000
}
const SWEEP_MS = 2000

/** The limits with other numbers of connections. */
export function watchLimits(connectionsMax = LIMITS.connectionsMax): WatchLimits {
  return { ...LIMITS, connectionsMax }
}

/** An admitted connection, as its adapter knows it. */
export interface Watched {
  readonly role: Role
  /** When the other end last sent something on one of our streams, ms; undefined while none is open. */
  usedAt(): number | undefined
  abort(error: RingdError): void
}

interface Entry {
  readonly watched: Watched
  /** Since when none of our streams is open. */
  unusedSince: number
}

export class ConnectionWatch {
  private readonly clock: Clock
  private readonly limits: WatchLimits
  private readonly entries: Readonly<Record<Role, Set<Entry>>> = {
    member: new Set(),
    data: new Set(),
    operator: new Set()
  }
  private readonly byWatched = new Map<Watched, Entry>()
  private timer: Timer | undefined

  constructor(clock: Clock, limits: WatchLimits = LIMITS) {
    this.clock = clock
    this.limits = limits
  }

  /** Looks at all connections every two seconds, and then calls `onSweep`. */
  start(onSweep: () => void): void {
    this.timer ??= every(this.clock, SWEEP_MS, () => {
      this.sweep()
      onSweep()
    })
  }

  stop(): void {
    this.timer?.cancel()
  }

  size(role: Role): number {
    return this.entries[role].size
  }

  opened(watched: Watched): void {
    const entry = { watched, unusedSince: this.clock.elapsed() }
    const entries = this.entries[watched.role]
    if (entries.size >= this.limits.connectionsMax[watched.role]) {
      this.end(this.longestIdle(entries), 'OVERLOADED', `too many connections of role ${watched.role}`)
    }
    entries.add(entry)
    this.byWatched.set(watched, entry)
  }

  closed(watched: Watched): void {
    const entry = this.byWatched.get(watched)
    if (entry !== undefined) this.remove(entry)
  }

  private remove(entry: Entry): void {
    this.entries[entry.watched.role].delete(entry)
    this.byWatched.delete(entry.watched)
  }

  private end(entry: Entry, code: 'OVERLOADED' | 'UNREACHABLE', reason: string): void {
    this.remove(entry)
    entry.watched.abort(new RingdError(code, reason))
  }

  private longestIdle(entries: ReadonlySet<Entry>): Entry {
    let found: Entry | undefined
    let foundAt = Number.POSITIVE_INFINITY
    for (const entry of entries) {
      const at = entry.watched.usedAt() ?? Number.NEGATIVE_INFINITY
      if (found !== undefined && at >= foundAt) continue
      found = entry
      foundAt = at
    }
    return found!
  }

  private sweep(): void {
    const now = this.clock.elapsed()
    for (const entry of [...this.byWatched.values()]) {
      const usedAt = entry.watched.usedAt()
      if (usedAt !== undefined) entry.unusedSince = now
      if (now - entry.unusedSince >= this.limits.unusedMs) {
        this.end(entry, 'UNREACHABLE', `no stream was opened for ${this.limits.unusedMs} ms`)
      }
    }
  }
}
