// One round of replaying the hints for one member: a batch is read, sent in order, and what was answered is deleted.
// Part of the hints actor, which says what each hint is worth and counts what came of it.
// Invariants: a hint is deleted after its owner has answered, never before; it is sent as it was kept, version and all;
// at most as many are under way as the pace allows, and the pace falls when answers are slow.

import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { decodeHint, type Hint, hintScan, parseHintKey } from '../../entry/hint.js'
import type { ErrorCode, RingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import type { MemberId } from '../../member.js'
import type { Scan, ScanRange } from '../../storage/store.js'
import type { DropReason } from './hint-metrics.js'

/** Hints under way to one member. More fill its queues while clients wait in them. */
export const WINDOW_MAX = 32
const WINDOW_START = 4
/** An answer that takes longer is a sign that the owner, or the way to it, is busy with other things. */
const SLOW_MS = 50
/** Read at once: bounds memory, and what is sent twice after a crash. */
const BATCH_BYTES = 256 * KiB

/** Sending ends after this, so that what a slow owner has answered leaves the disk. */
const ROUND_MS = 1000

/** Refusals of an owner that may take the hint later. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'TIMEOUT',
  'UNREACHABLE',
  'OVERLOADED',
  'STORE_FAILED',
  'DISK_FULL',
  'BEHIND',
  'NOT_SERVING',
  'STOPPED'
])
/** The slot is on its way, or has gone: pulls bring the write to whoever owns it. */
const MOVED: ReadonlySet<ErrorCode> = new Set(['STALE_VIEW', 'NOT_OWNER'])

/** How many hints may be under way: one more for each window that was quick, half as many after a slow answer. */
export class Pace {
  #window = WINDOW_START
  /** Slow answers to what was sent before are no news. */
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

export interface RoundDeps {
  readonly clock: Clock
  readonly scan: (range: ScanRange) => Scan
  /** On disk when it resolves. Throws what the disk says. */
  readonly remove: (keys: readonly Bytes[]) => Promise<void>
  /** Why a hint is not worth sending, if so. */
  readonly dropReason: (hint: Hint) => DropReason | undefined
  /** Sends it to the owner; false when there is no link to it. `done` comes once, and after this has returned. */
  readonly send: (hint: Hint, done: (error: RingdError | undefined) => void) => boolean
}

export interface RoundPlan {
  readonly member: MemberId
  /** Numbers of hints: the first included, the last excluded. */
  readonly from: number
  readonly to: number
  readonly pace: Pace
}

/** What happened to one hint that is on the disk no more. */
type Fate = 'replayed' | DropReason

export interface RoundReport {
  readonly fates: ReadonlyMap<Fate, number>
  readonly bytes: number
  /** Where the next round begins: no hint lies before. */
  readonly next: number
  /** When the first that is left was kept, as far as it was read. */
  readonly oldestAtMs: number | undefined
  /** The member, or this disk, has had enough for now. */
  readonly isOver: boolean
}

interface Read {
  readonly stored: Bytes
  readonly sequence: number
  readonly bytes: number
  readonly hint: Hint | undefined
  fate: Fate | undefined
}

/** Throws what scanning and removing throw: nothing is removed then, and the round may be repeated. */
export async function replayRound(deps: RoundDeps, plan: RoundPlan): Promise<RoundReport> {
  const hints = await readBatch(deps, plan)
  const isOver = await new Sending(deps, plan.pace, hints).done()
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
  // Of what was not read only so much is known: it is not older than the last that was.
  const oldestAtMs = (left ?? last)?.hint?.keptAtMs
  const next = left?.sequence ?? (last === undefined ? plan.to : last.sequence + 1)
  return { fates, bytes, next, oldestAtMs, isOver }
}

async function readBatch({ scan: open }: RoundDeps, { member, from, to }: RoundPlan): Promise<Read[]> {
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

class Sending {
  readonly #deps: RoundDeps
  readonly #pace: Pace
  readonly #hints: readonly Read[]
  readonly #end = Promise.withResolvers<boolean>()
  readonly #startedAt: number
  #at = 0
  #underWay = 0
  #isOver = false

  constructor(deps: RoundDeps, pace: Pace, hints: readonly Read[]) {
    this.#deps = deps
    this.#pace = pace
    this.#hints = hints
    this.#startedAt = deps.clock.elapsed()
  }

  /** Resolves when nothing is under way any more; true when the member takes no more for now. */
  done(): Promise<boolean> {
    this.#goOn()
    return this.#end.promise
  }

  #goOn(): void {
    while (this.#mayGoOn()) {
      const read = this.#hints[this.#at]!
      read.fate = read.hint === undefined ? 'damaged' : this.#deps.dropReason(read.hint)
      if (read.fate === undefined && !this.#send(read, read.hint!)) this.#isOver = true
      else this.#at += 1
    }
    if (this.#underWay === 0) this.#end.resolve(this.#isOver)
  }

  #mayGoOn(): boolean {
    if (this.#isOver || this.#at >= this.#hints.length || this.#underWay >= this.#pace.window) return false
    return this.#deps.clock.elapsed() - this.#startedAt < ROUND_MS
  }

  #send(read: Read, hint: Hint): boolean {
    const { clock, send } = this.#deps
    const sentAt = clock.elapsed()
    const isSent = send(hint, (error) => {
      this.#underWay -= 1
      this.#pace.answered(sentAt, clock.elapsed())
      if (error === undefined) read.fate = 'replayed'
      else if (PASSING.has(error.code)) this.#isOver = true
      else read.fate = MOVED.has(error.code) ? 'moved' : 'refused'
      this.#goOn()
    })
    if (isSent) this.#underWay += 1
    return isSent
  }
}
