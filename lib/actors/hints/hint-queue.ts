// The queues of hints: which numbers are on the disk for each member, how many hints and bytes, and what waits for the
// disk. Part of the hints actor. Reads and writes no disk itself; memory holds counts and the waiting hints.
// Invariants: the numbers of a member are used once, and written in ascending order; hints on the disk and waiting
// hints together stay below `bytesMax`.

import type { Bytes } from '../../bytes.js'
import { decodeHint, encodeHint, type Hint, hintBytes, hintKey, parseHintKey } from '../../entry/hint.js'
import { MiB } from '../../limits.js'
import type { MemberId } from '../../member.js'
import type { StoreWrite } from '../../storage/store.js'

/** Bound of hints that wait for the disk. The slower the disk is, the more hints wait. */
const WAITING_BYTES_MAX = 16 * MiB
/** Bytes of one write. Clients wait for the disk too, and a larger write would make them wait longer. */
const GROUP_BYTES = 512 * 1024

interface WaitingHint extends Hint {
  readonly member: MemberId
}

/** A hint with its place in the queue of its member. */
export interface NumberedHint extends WaitingHint {
  readonly sequence: number
}

export interface HintGroup {
  readonly hints: readonly NumberedHint[]
  readonly writes: readonly StoreWrite[]
}

/** The hints of one member. Their numbers ascend in the order in which they were kept. */
export interface HintQueue {
  /** On the disk. */
  readonly entries: number
  readonly bytes: number
  /** No hint on the disk has a lower number. */
  readonly head: number
  /** Hints below this number are on the disk, or their write failed. */
  readonly written: number
  /** The number of the next hint. */
  readonly next: number
  /** Time of the ring: no hint in the queue was kept earlier. */
  readonly oldestAtMs: number
}

type MutableQueue = { -readonly [Name in keyof HintQueue]: HintQueue[Name] }

/** The part of a replay round's report that changes the queue. */
export interface RemovedHints {
  readonly entries: number
  readonly bytes: number
  /** No hint with a lower number is left. */
  readonly next: number
  /** When the first hint that is left was kept; undefined: not known. */
  readonly oldestAtMs: number | undefined
}

/** The queues of all members, with common bounds. */
export class HintQueues {
  readonly #bytesMax: number
  readonly #queues = new Map<MemberId, MutableQueue>()
  /** Sums of all queues. */
  #entries = 0
  #bytes = 0
  #waiting: WaitingHint[] = []
  /** Of the hints that wait, and of the group that is being written. */
  #waitingBytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Hints on the disk, for all members. */
  get entries(): number {
    return this.#entries
  }

  get bytes(): number {
    return this.#bytes
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0
  }

  /** In the order in which members first had a hint. */
  members(): IterableIterator<[MemberId, HintQueue]> {
    return this.#queues.entries()
  }

  of(member: MemberId): HintQueue {
    return this.#queue(member)
  }

  /** When the oldest hint was kept; `nowMs` when there is none. */
  oldestAtMs(nowMs: number): number {
    let oldest = nowMs
    for (const queue of this.#queues.values()) if (queue.entries > 0) oldest = Math.min(oldest, queue.oldestAtMs)
    return oldest
  }

  // ---- keeping ----

  /** Lets the hint wait for the disk. Otherwise says why there is no room for it. */
  offer(hint: WaitingHint): 'full' | 'overload' | undefined {
    const bytes = hintBytes(hint.key, hint.envelope)
    if (this.#bytes + this.#waitingBytes + bytes > this.#bytesMax) return 'full'
    if (this.#waitingBytes + bytes > WAITING_BYTES_MAX) return 'overload'
    this.#waitingBytes += bytes
    this.#waiting.push(hint)
    return undefined
  }

  /** Takes the oldest waiting hints and numbers them; `written` must follow. */
  takeGroup(): HintGroup {
    const hints: NumberedHint[] = []
    const writes: StoreWrite[] = []
    let bytes = 0
    for (const waiting of this.#waiting) {
      if (bytes >= GROUP_BYTES) break
      bytes += hintBytes(waiting.key, waiting.envelope)
      const hint = { ...waiting, sequence: this.#queue(waiting.member).next++ }
      hints.push(hint)
      writes.push({ type: 'put', key: hintKey(hint), value: encodeHint(hint) })
    }
    this.#waiting = this.#waiting.slice(hints.length)
    return { hints, writes }
  }

  /** The write of the group has ended. After a failed one it is unknown whether its hints are on the disk. */
  written(group: readonly NumberedHint[], isOnDisk: boolean): void {
    for (const { member, sequence, key, envelope, keptAtMs } of group) {
      const bytes = hintBytes(key, envelope)
      this.#waitingBytes -= bytes
      const queue = this.#queue(member)
      queue.written = sequence + 1
      if (isOnDisk) this.#add(queue, bytes, keptAtMs)
    }
  }

  /** Counts an entry that the disk held at the start. Entries come in order, before any group is taken. */
  found(stored: Bytes, value: Bytes, nowMs: number): void {
    const key = parseHintKey(stored)
    if (key === undefined) return
    const queue = this.#queue(key.member)
    if (queue.entries === 0) queue.head = key.sequence
    queue.next = queue.written = key.sequence + 1
    // The replay finds out that a hint is damaged when it reads it again.
    this.#add(queue, stored.length + value.length, decodeHint(value)?.keptAtMs ?? nowMs)
  }

  // ---- removing ----

  /** The first hints of the member have left the disk. */
  removed(member: MemberId, { entries, bytes, next, oldestAtMs }: RemovedHints): void {
    const queue = this.#queue(member)
    this.#subtract(queue, entries, bytes)
    queue.head = next
    if (oldestAtMs !== undefined) queue.oldestAtMs = oldestAtMs
    // Hints of a failed write may have been on the disk and were not counted. An empty queue resets the counts.
    if (queue.head >= queue.next) this.#subtract(queue, queue.entries, queue.bytes)
  }

  #queue(member: MemberId): MutableQueue {
    let queue = this.#queues.get(member)
    if (queue === undefined) {
      queue = { entries: 0, bytes: 0, head: 0, written: 0, next: 0, oldestAtMs: 0 }
      this.#queues.set(member, queue)
    }
    return queue
  }

  #add(queue: MutableQueue, bytes: number, keptAtMs: number): void {
    if (queue.entries === 0) queue.oldestAtMs = keptAtMs
    queue.entries += 1
    queue.bytes += bytes
    this.#entries += 1
    this.#bytes += bytes
  }

  /** Never below zero: see `written` for hints that were not counted. */
  #subtract(queue: MutableQueue, entries: number, bytes: number): void {
    const fewer = Math.min(entries, queue.entries)
    const less = Math.min(bytes, queue.bytes)
    queue.entries -= fewer
    queue.bytes -= less
    this.#entries -= fewer
    this.#bytes -= less
  }
}
