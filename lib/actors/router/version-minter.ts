// Makes the version of each write, and keeps the clock ceiling ahead of the clock. Part of the router.
// The ceiling is a moment, stored in the record `clock-ceiling`. Every version lies below a ceiling that was on disk
// before. A restarted member starts its clock at the stored ceiling, so it never makes a version twice.
// Invariant: no version is made while the ceiling on disk is too low; writes wait for the disk instead.

import { type Bytes, EMPTY_BYTES, fromText, toText } from '../../bytes.js'
import { type Envelope, encodeEnvelope } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import type { Change } from '../../key-value.js'
import type { Logger } from '../../logger.js'
import type { MetaReader, MetaWrite } from '../../storage/meta.js'

export interface VersionMinterDeps {
  readonly hlc: HybridClock
  readonly log: Logger
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** A higher ceiling is on disk: writes that waited for it can have versions now. */
  readonly onRaised: () => void
}

const CEILING_RECORD = 'clock-ceiling'

/** Makes versions below the clock ceiling, and raises the ceiling on disk before it is reached. */
export class VersionMinter {
  readonly #deps: VersionMinterDeps
  #isRaising = false

  constructor({ hlc, log, persist, onRaised }: VersionMinterDeps) {
    this.#deps = { hlc, log, persist, onRaised }
  }

  /**
   * The envelope of the change under a new version; undefined while the ceiling is too low for one. Also starts to
   * raise the ceiling when that is due. After undefined, `onRaised` tells when to ask again; it is not called when the
   * disk refuses the new ceiling.
   */
  mint(key: Bytes, change: Change): Envelope | undefined {
    const { hlc } = this.#deps
    const ceiling = hlc.needsCeiling()
    if (ceiling !== undefined && !this.#isRaising) void this.#raiseCeiling(ceiling)
    const version = hlc.next()
    if (version === undefined) return undefined
    if (change === 'delete') return encodeEnvelope(key, { version, tombstone: true, value: EMPTY_BYTES })
    const { value, expiresAtMs } = change
    return encodeEnvelope(key, { version, tombstone: false, expiresAtMs, value })
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
