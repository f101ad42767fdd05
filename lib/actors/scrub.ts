// The scrub actor reads every entry of the store once in a while, so that a damaged one is found and healed while other
// owners still hold it. After each pass it has the files of the store checked. Owns the progress, which it writes to
// disk now and then: a restart goes on from there.
// Clients must not feel it: it reads a small stretch at a time, and rests as its pace demands.
// Source: Schroeder and Gibson, "Disk failures in the real world", 2007: latent errors are found only by reading.

import { type Bytes, fromText, toText } from '../bytes.js'
import type { Clock, Timer } from '../clock.js'
import { type RingdError, toRingdError } from '../errors.js'
import { KiB } from '../limits.js'
import type { Logger } from '../logger.js'
import type { Counter, Gauge, Metrics } from '../metrics.js'
import type { Actor, Ref } from '../runtime/actor.js'
import type { MetaWrite } from '../storage/meta.js'
import type { RingView } from '../views/ring-view.js'
import { askReplica } from './replica/replica-client.js'
import type { ReplicaMessage, ScrubbedStretch, Totals } from './replica/replica-messages.js'

export type ScrubMessage =
  | { readonly type: 'view'; readonly view: RingView }
  | { readonly type: 'due' }
  | { readonly type: 'checked'; readonly result: ScrubbedStretch | RingdError }

export interface ScrubDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly replica: Ref<ReplicaMessage>
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** Entries and bytes of the store, for the pace. */
  readonly totals: () => Totals
  /** Checks the files of the store, at its own pace. It acts on damage by itself. */
  readonly checkFiles?: () => Promise<void>
  readonly self: Ref<ScrubMessage>
}

export interface ScrubOptions {
  /** Time for one pass over the store (default 7 days; 0: never). A shorter time finds damage sooner and reads more. */
  readonly everyMs?: number | undefined
  /** The record SCRUB_PROGRESS as found on disk. */
  readonly progress: Bytes | undefined
}

export const SCRUB_PROGRESS = 'scrub'
const EVERY_MS = 7 * 24 * 3_600_000
/** Bytes read at once: a few ms of a disk. */
const STRETCH_BYTES = 64 * KiB
/** The slowest pace: small stores are read sooner than needed. */
const BYTES_PER_SECOND_MIN = 4 * KiB
/** A stretch with damaged entries is read again, since not all of them may have been healed at once. */
const AGAIN_MS = 5000
const AGAIN_MAX = 5
const RETRY_MS = 5000
/** Time between two writes of the progress. A restart repeats at most this much reading. */
const SAVE_MS = 60_000
/** The longest wait between two passes: the wall clock may be set meanwhile, so it is read again. */
const REST_MS_MAX = 3_600_000

/** How far a pass has come. */
interface Progress {
  /** When it began: ms since the epoch. */
  startedAt: number
  /** The last stored key that was checked; undefined: none of this pass. */
  after: Bytes | undefined
  isDone: boolean
  /** When the last whole pass ended: s since the epoch; 0: there was none. */
  lastPassS: number
}

export class Scrub implements Actor<ScrubMessage> {
  readonly #deps: ScrubDeps
  readonly #everyMs: number
  readonly #entries: Counter
  readonly #damaged: Counter
  readonly #lastPass: Gauge
  readonly #progress: Progress
  #savedAt: number
  #again = 0
  #hasBegun = false
  #timer: Timer | undefined
  #stopped = false
  #isCheckingFiles = false

  constructor(deps: ScrubDeps, options: ScrubOptions) {
    this.#deps = deps
    this.#everyMs = options.everyMs ?? EVERY_MS
    const { clock, metrics } = deps
    this.#entries = metrics.counter(
      'ringd_scrub_checked_entries',
      'entries that were read to see whether they are sound'
    )
    this.#damaged = metrics.counter('ringd_scrub_damaged_entries', 'entries that were found to be damaged by that')
    this.#lastPass = metrics.gauge(
      'ringd_scrub_last_pass_seconds',
      'when the whole store had been read, since the epoch'
    )
    this.#progress = parseProgress(options.progress) ?? newProgress(clock.now())
    this.#lastPass.set(this.#progress.lastPassS)
    this.#savedAt = clock.elapsed()
  }

  receive(batch: readonly ScrubMessage[]): void {
    for (const message of batch) {
      if (message.type === 'view') this.#handleView()
      else if (message.type === 'due') this.#handleDue()
      else if (message.type === 'checked') this.#handleChecked(message.result)
      else message satisfies never
    }
  }

  ended(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** Begins with the first view: before it no other owner could heal a damaged entry. */
  #handleView(): void {
    if (this.#hasBegun || this.#everyMs === 0) return
    this.#hasBegun = true
    this.#wait(RETRY_MS)
  }

  #handleDue(): void {
    const { clock, replica, self } = this.#deps
    const progress = this.#progress
    if (progress.isDone) {
      const left = progress.startedAt + this.#everyMs - clock.now()
      if (left > 0) return this.#wait(Math.min(left, REST_MS_MAX))
      Object.assign(progress, { startedAt: clock.now(), after: undefined, isDone: false })
    }
    const { after } = progress
    askReplica<ScrubbedStretch>({ clock, replica }, (reply) => ({
      type: 'scrub',
      after,
      bytes: STRETCH_BYTES,
      reply
    })).then(
      (result) => self.signal({ type: 'checked', result }),
      (thrown) => self.signal({ type: 'checked', result: toRingdError(thrown) })
    )
  }

  #handleChecked(result: ScrubbedStretch | RingdError): void {
    if (this.#stopped) return
    if (result instanceof Error) {
      this.#deps.log.debug({ err: result }, 'scrub could not read entries; trying again')
      return this.#wait(RETRY_MS)
    }
    if (result.damaged > 0 && this.#again < AGAIN_MAX) {
      if (this.#again === 0) this.#damaged.add(result.damaged)
      this.#again += 1
      return this.#wait(AGAIN_MS)
    }
    this.#again = 0
    this.#entries.add(result.entries)
    if (result.reached !== undefined) this.#progress.after = result.reached
    else this.#finish()
    const pace = Math.max(BYTES_PER_SECOND_MIN, (this.#deps.totals().bytes * 1000) / this.#everyMs)
    this.#wait((result.bytes * 1000) / pace)
    this.#save()
  }

  #finish(): void {
    const { clock, log } = this.#deps
    this.#progress.isDone = true
    this.#checkFiles()
    this.#progress.lastPassS = Math.round(clock.now() / 1000)
    this.#lastPass.set(this.#progress.lastPassS)
    log.debug({ seconds: Math.round((clock.now() - this.#progress.startedAt) / 1000) }, 'scrub has checked every entry')
  }

  /** Damage of keys or indexes hides entries from a scan, so the files are checked as well. */
  #checkFiles(): void {
    const { checkFiles, log } = this.#deps
    if (checkFiles === undefined || this.#isCheckingFiles) return
    this.#isCheckingFiles = true
    const end = () => {
      this.#isCheckingFiles = false
    }
    checkFiles()
      .catch((thrown) =>
        log.debug({ err: thrown }, 'scrub could not check the files of the store; trying again after the next pass')
      )
      .then(end)
  }

  #save(): void {
    const { clock, log, persist } = this.#deps
    const now = clock.elapsed()
    if (now - this.#savedAt < SAVE_MS && !this.#progress.isDone) return
    this.#savedAt = now
    persist([{ name: SCRUB_PROGRESS, value: encodeProgress(this.#progress) }]).catch((thrown) =>
      log.debug({ err: thrown }, 'scrub progress could not be written; trying again')
    )
  }

  #wait(delayMs: number): void {
    const { clock, self } = this.#deps
    this.#timer = clock.after(delayMs, () => self.signal({ type: 'due' }))
  }
}

function newProgress(startedAt: number): Progress {
  return { startedAt, after: undefined, isDone: false, lastPassS: 0 }
}

function encodeProgress({ startedAt, after, isDone, lastPassS }: Progress): Bytes {
  const key = after && Buffer.from(after).toString('base64')
  return fromText(JSON.stringify({ startedAt, after: key, isDone, lastPassS }))
}

/** `undefined` when there is none, or when it cannot be read: the pass then begins anew. */
function parseProgress(bytes: Bytes | undefined): Progress | undefined {
  if (bytes === undefined) return undefined
  try {
    const { startedAt, after, isDone, lastPassS = 0 } = JSON.parse(toText(bytes))
    if (typeof startedAt !== 'number' || typeof isDone !== 'boolean' || typeof lastPassS !== 'number') return undefined
    const key = typeof after === 'string' ? Buffer.from(after, 'base64') : undefined
    return { startedAt, after: key, isDone, lastPassS }
  } catch {
    return undefined
  }
}
