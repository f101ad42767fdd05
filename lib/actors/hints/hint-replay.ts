// One replay round for one member: reads a batch of its hints, sends them in order, and deletes the answered ones.
// Part of the hints actor, which decides whether a hint is dropped instead, and counts what happened.
// Invariants: a hint is deleted after its owner has answered, never before; one that a promise keeps out stays for the
// next round; its envelope is sent unchanged, so it keeps its version; the pace bounds how many hints are under way,
// and slow answers lower it.

import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { decodeHint, type Hint, hintScan, parseHintKey } from '../../entry/hint.js'
import { type ErrorCode, PASSING_REFUSALS, type RingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import type { MemberId } from '../../member.js'
import type { Scan, ScanRange } from '../../storage/store.js'
import type { DropReason } from './hint-metrics.js'

/** Bound of the hints under way to one member. More of them would fill its queues, in which clients wait as well. */
export const WINDOW_MAX = 32
const WINDOW_START = 4
/** An answer that takes longer means that the owner, or the network to it, is busy. */
const SLOW_MS = 50
/** Bytes of a batch. It bounds memory, and the hints that are sent twice after a crash. */
const BATCH_BYTES = 256 * KiB
/** No hint is sent after this, so that the hints that a slow owner has answered leave the disk. */
const ROUND_MS = 1000

/** The slot moves or has moved: pulls bring the write to its owners. */
const MOVED: ReadonlySet<ErrorCode> = new Set(['STALE_VIEW', 'NOT_OWNER'])

/** How many hints may be under way: one more after each window of quick answers, half as many after a slow answer. */
export class Pace {
  #window = WINDOW_START
  /** A slow answer to a hint that was sent earlier does not halve the window again. */
  #cutAt = Number.NEGATIVE_INFINITY

  get window(): number {
    return Math.floor(this.#window)
  }

  /** Monotonic ms of sending and answering. */
  answered(sentAt: number, now: number): void {
    if (now - sentAt <= SLOW_MS) {
      this.#window = Math.min(WINDOW_MAX, this.#window + 1 / this.#window)
    } else if (sentAt >= this.#cutAt) {
      this.#window = Math.max(1, this.#window / 2)
      this.#cutAt = now
    }
  }
}

/**
 * What the owner answered. taken: it holds the write, or something newer. promised: it has promised a round that
 * nothing as old enters; when that round has ended, it takes the write or holds something newer.
 */
export type SendOutcome = 'taken' | 'promised' | RingdError

export interface RoundDeps {
  readonly clock: Clock
  readonly scan: (range: ScanRange) => Scan
  /** On disk when it resolves. Throws what the disk says. */
  readonly remove: (keys: readonly Bytes[]) => Promise<void>
  /** Why the hint is dropped and not sent; undefined: it is sent. */
  readonly dropReason: (hint: Hint) => DropReason | undefined
  /** Sends it to the owner; false when there is no link to it. `done` comes once, and after this has returned. */
  readonly send: (hint: Hint, done: (outcome: SendOutcome) => void) => boolean
}

export interface RoundPlan {
  readonly member: MemberId
  /** Numbers of hints: the first included, the last excluded. */
  readonly from: number
  readonly to: number
  readonly pace: Pace
}

/** Why a hint left the disk. */
type Fate = 'replayed' | DropReason

export interface RoundReport {
  readonly fates: ReadonlyMap<Fate, number>
  readonly bytes: number
  /** Where the next round begins: no hint with a lower number is left. */
  readonly next: number
  /** When the first hint that is left was kept, or the last that was read; undefined: no hint was read. */
  readonly oldestAtMs: number | undefined
  /** The member takes no more hints for now. */
  readonly mustRest: boolean
}

interface ReadHint {
  readonly stored: Bytes
  readonly sequence: number
  readonly bytes: number
  /** Undefined when it is damaged. */
  readonly hint: Hint | undefined
  /** Undefined while it stays on the disk. */
  fate: Fate | undefined
}

/** Throws the errors of scanning and removing. Nothing counts as removed then, and the round may be repeated. */
export async function replayRound(deps: RoundDeps, plan: RoundPlan): Promise<RoundReport> {
  const hints = await readBatch(deps, plan)
  const mustRest = await new Sending(deps, plan.pace, hints).done()
  const ended = hints.filter(({ fate }) => fate !== undefined)
  if (ended.length > 0) await deps.remove(ended.map(({ stored }) => stored))
  const fates = new Map<Fate, number>()
  let bytes = 0
  for (const { fate, bytes: size } of ended) {
    fates.set(fate!, (fates.get(fate!) ?? 0) + 1)
    bytes += size
  }
  const left = hints.find(({ fate }) => fate === undefined)
  const last = hints[hints.length - 1]
  // Hints that were not read are not older than the last one that was.
  const oldestAtMs = (left ?? last)?.hint?.keptAtMs
  const next = left?.sequence ?? (last === undefined ? plan.to : last.sequence + 1)
  return { fates, bytes, next, oldestAtMs, mustRest }
}

async function readBatch({ scan: open }: RoundDeps, { member, from, to }: RoundPlan): Promise<ReadHint[]> {
  const scan = open(hintScan(member, from, to))
  try {
    const found = await scan.next(BATCH_BYTES)
    return found.map(([stored, value]) => {
      const { sequence } = parseHintKey(stored)!
      return { stored, sequence, bytes: stored.length + value.length, hint: decodeHint(value), fate: undefined }
    })
  } finally {
    await scan.close()
  }
}

/** Sends the hints of one batch within the pace. */
class Sending {
  readonly #deps: RoundDeps
  readonly #pace: Pace
  readonly #hints: readonly ReadHint[]
  readonly #end = Promise.withResolvers<boolean>()
  readonly #startedAt: number
  #at = 0
  #underWay = 0
  /** The member takes no more hints now. */
  #mustRest = false
  /** A promise has kept a hint out: it is not sent again before a rest. */
  #isKept = false

  constructor(deps: RoundDeps, pace: Pace, hints: readonly ReadHint[]) {
    this.#deps = deps
    this.#pace = pace
    this.#hints = hints
    this.#startedAt = deps.clock.elapsed()
  }

  /** Sends until the batch or the round is over; resolves when no hint is under way. True: the member must rest. */
  done(): Promise<boolean> {
    this.#sendMore()
    return this.#end.promise
  }

  #sendMore(): void {
    while (this.#maySend()) {
      const read = this.#hints[this.#at]!
      read.fate = read.hint === undefined ? 'damaged' : this.#deps.dropReason(read.hint)
      if (read.fate === undefined && !this.#send(read, read.hint!)) this.#mustRest = true
      else this.#at += 1
    }
    if (this.#underWay === 0) this.#end.resolve(this.#mustRest || this.#isKept)
  }

  #maySend(): boolean {
    if (this.#mustRest || this.#at >= this.#hints.length || this.#underWay >= this.#pace.window) return false
    return this.#deps.clock.elapsed() - this.#startedAt < ROUND_MS
  }

  #send(read: ReadHint, hint: Hint): boolean {
    const { clock, send } = this.#deps
    const sentAt = clock.elapsed()
    const isSent = send(hint, (outcome) => {
      this.#underWay -= 1
      this.#pace.answered(sentAt, clock.elapsed())
      if (outcome === 'taken') read.fate = 'replayed'
      else if (outcome === 'promised') this.#isKept = true
      else if (PASSING_REFUSALS.has(outcome.code)) this.#mustRest = true
      else read.fate = MOVED.has(outcome.code) ? 'moved' : 'refused'
      this.#sendMore()
    })
    if (isSent) this.#underWay += 1
    return isSent
  }
}
