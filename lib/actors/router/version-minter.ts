// Makes the versions of writes and the ballots of rounds, and keeps the clock ceiling ahead of the clock. Makes none
// while the clock of this peer is wrong or was not compared with the others yet (lib/entry/clock.md). Part of the
// router.
// The ceiling is a moment, stored in the record `clock-ceiling`. Every version lies below a ceiling that was on disk
// before. A restarted member starts its clock at the stored ceiling, so it never makes a version twice.
// Invariant: no version is made while the ceiling on disk is too low; writes wait for the disk instead.

import { type Bytes, fromText, toText } from '../../bytes.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import type { ClockVerdict } from '../../entry/ring-time.js'
import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MetaReader, MetaWrite } from '../../storage/meta.js'

export interface VersionMinterDeps {
  readonly hlc: HybridClock
  /** Whether the clock may be used. Left out: always. */
  readonly ringTime?: ClockJudge | undefined
  /** How long the disk takes for a synced batch, ms. Left out: no time. */
  readonly diskSpeed?: { readonly syncMs: number } | undefined
  readonly log: Logger
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** A higher ceiling is on disk: writes that waited for it can have versions now. */
  readonly onRaised: () => void
}

export interface ClockJudge {
  readonly verdict: ClockVerdict
}

const CEILING_RECORD = 'clock-ceiling'
/**
 * A clock that runs ahead by no more than this waits until the time has come; one that runs further ahead is an error.
 * After a restart a clock begins at its ceiling, which leads by 20 s at most.
 */
const WAIT_MS_MAX = 20_000

/** Makes versions below the clock ceiling, and raises the ceiling on disk before it is reached. */
export class VersionMinter {
  readonly #deps: VersionMinterDeps
  #isRaising = false

  constructor({ hlc, ringTime, diskSpeed, log, persist, onRaised }: VersionMinterDeps) {
    this.#deps = { hlc, ringTime, diskSpeed, log, persist, onRaised }
  }

  /** CLOCK_SKEW while the clock of this peer is wrong: it serves no client then. */
  get refusal(): RingdError | undefined {
    const verdict = this.#deps.ringTime?.verdict
    return verdict?.state === 'wrong' ? new RingdError('CLOCK_SKEW', wrongClock(verdict.aheadMs)) : undefined
  }

  /**
   * A new version, for a write or for the ballot of a round. Undefined while there is none: the ceiling on disk is too
   * low, the clock was not compared yet, or it runs ahead a little. CLOCK_SKEW: it is wrong. Also starts to raise the
   * ceiling when that is due. After undefined, ask again when `onRaised` is called, and from time to time.
   */
  mint(): Version | RingdError | undefined {
    const { hlc, ringTime, diskSpeed } = this.#deps
    const state = ringTime?.verdict.state ?? 'right'
    if (state !== 'right') return this.refusal
    const { overreachMs } = hlc
    if (overreachMs > WAIT_MS_MAX) return new RingdError('CLOCK_SKEW', clockFromFuture(overreachMs))
    if (overreachMs > 0) return undefined
    const ceiling = hlc.needsCeiling(diskSpeed?.syncMs)
    if (ceiling !== undefined && !this.#isRaising) void this.#raiseCeiling(ceiling)
    return hlc.next()
  }

  /** Versions made from now on are newer than this one. False when it lies too far ahead of the local clock. */
  moveBeyond(version: Version): boolean {
    return this.#deps.hlc.moveBeyond(version)
  }

  async #raiseCeiling(ceiling: number): Promise<void> {
    this.#isRaising = true
    try {
      await this.#deps.persist([writeCeiling(ceiling)])
    } catch (thrown) {
      // The next write or the next view tries again. Until then writes wait, and end with NO_QUORUM at their deadline.
      this.#deps.log.warn({ err: thrown }, 'clock ceiling not written; writes wait until the disk takes it')
      return
    } finally {
      this.#isRaising = false
    }
    this.#deps.hlc.raiseCeiling(ceiling)
    this.#deps.onRaised()
  }
}

/** For the client and for the operator. */
export function wrongClock(aheadMs: number): string {
  const seconds = (Math.abs(aheadMs) / 1000).toFixed(1)
  const way = aheadMs > 0 ? 'ahead of' : 'behind'
  return `the clock of this peer is ${seconds} s ${way} most members; it takes no requests until the clock is right`
}

/** A store of an older version may hold the ceiling of a clock that was wrong. */
export function clockFromFuture(aheadMs: number): string {
  const seconds = (aheadMs / 1000).toFixed(1)
  return `the versions of this peer lie ${seconds} s too far ahead of most members; stop it and run ringd doctor --fix`
}

export function writeCeiling(ms: number): MetaWrite & { readonly value: Bytes } {
  return { name: CEILING_RECORD, value: fromText(String(ms)) }
}

/** The stored ceiling, ms since the epoch; 0 when there is none. Throws DATA_DAMAGED. */
export function readCeiling(meta: Pick<MetaReader, 'get'>): number {
  const bytes = meta.get(CEILING_RECORD)
  const ceiling = bytes === undefined ? 0 : Number(toText(bytes))
  if (!Number.isSafeInteger(ceiling)) {
    throw new RingdError(
      'DATA_DAMAGED',
      `the record ${CEILING_RECORD} is not a whole number of ms; restore the data directory`
    )
  }
  return ceiling
}
