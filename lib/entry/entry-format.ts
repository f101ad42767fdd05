// What an entry must be like to enter a store: one function for every way in (writes, hints, pulls, handoffs, repair
// and healing). Pure.
// Invariant: an entry with a fault is never stored, whoever brought it. Its lengths are those of the format and not of
// this peer's options, because an owner must hold every entry that another router has accepted.
import { RingdError } from '../errors.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../limits.js'
import { slotOf } from '../ring/slots.js'
import type { BlockVersion, StoredEntry } from './block.js'
import { type Envelope, hasEnvelopeForm, valueLength, versionOf } from './envelope.js'
import type { HybridClock } from './hybrid-clock.js'
import { DATA_KEY_OVERHEAD, slotOfDataKey } from './keys.js'
import { VERSION_BYTES, type Version, versionMs } from './version.js'

/** Tells which versions and moments lie too far ahead of this peer's clock. */
export type AheadOfClock = Pick<HybridClock, 'isTooFarAhead' | 'isAhead'>

/**
 * Why the entry must not be stored; undefined: it may be. BAD_ENTRY (not the form of an envelope; the checksum is the
 * caller's to verify), KEY_TOO_LARGE, VALUE_TOO_LARGE, or CLOCK_SKEW for a version that could not be overwritten for as
 * long as it lies ahead. O(1).
 */
export function faultOf(key: Uint8Array, envelope: Envelope, clock: AheadOfClock): RingdError | undefined {
  if (!hasEnvelopeForm(envelope)) return new RingdError('BAD_ENTRY')
  if (key.length > KEY_BYTES_MAX) return new RingdError('KEY_TOO_LARGE', `the key has ${key.length} bytes`)
  const length = valueLength(envelope)
  if (length > VALUE_BYTES_MAX) return new RingdError('VALUE_TOO_LARGE', `the value has ${length} bytes`)
  return aheadFault(versionOf(envelope), clock)
}

/**
 * The first fault of entries under their stored keys; also BAD_MESSAGE for one in another slot than that of its key.
 */
export function faultOfAll(entries: readonly StoredEntry[], clock: AheadOfClock): RingdError | undefined {
  for (const { dataKey, envelope } of entries) {
    const key = dataKey.subarray(DATA_KEY_OVERHEAD)
    const fault = faultOf(key, envelope, clock)
    if (fault !== undefined) return fault
    if (slotOf(key) !== slotOfDataKey(dataKey)) {
      return new RingdError('BAD_MESSAGE', 'an entry lies in another slot than its key')
    }
  }
  return undefined
}

/** The first fault of versions that another peer offers: entries of these versions would be refused. */
export function faultOfVersions(versions: readonly BlockVersion[], clock: AheadOfClock): RingdError | undefined {
  for (const { version } of versions) {
    const fault = aheadFault(version, clock)
    if (fault !== undefined) return fault
  }
  return undefined
}

/** The entries whose versions do not lie too far ahead; and the fault of the first that does. */
export function withoutAhead(
  entries: readonly StoredEntry[],
  clock: AheadOfClock
): { readonly taken: readonly StoredEntry[]; readonly fault: RingdError | undefined } {
  let fault: RingdError | undefined
  const taken = entries.filter(({ envelope }) => {
    const found = hasEnvelopeForm(envelope) ? aheadFault(versionOf(envelope), clock) : undefined
    fault ??= found
    return found === undefined
  })
  return { taken, fault }
}

/**
 * CLOCK_SKEW when a purge bound of another peer (s since the epoch) lies ahead of this peer's clock: a slot that is
 * closed in the future takes no write any more.
 */
export function boundFault(beforeS: number | undefined, clock: AheadOfClock): RingdError | undefined {
  if (beforeS === undefined || beforeS === 0 || !clock.isAhead(beforeS * 1000)) return undefined
  return new RingdError('CLOCK_SKEW', `a purge bound of ${beforeS} s lies too far ahead of the clock of this peer`)
}

/** As for the version of an entry, for a ballot: BAD_MESSAGE for another length. */
export function versionFault(version: Uint8Array, clock: AheadOfClock): RingdError | undefined {
  if (version.length === VERSION_BYTES) return aheadFault(version as Version, clock)
  return new RingdError('BAD_MESSAGE', `a version has ${VERSION_BYTES} bytes, not ${version.length}`)
}

/** CLOCK_SKEW when the version lies too far ahead of this peer's clock. */
function aheadFault(version: Version, clock: AheadOfClock): RingdError | undefined {
  if (!clock.isTooFarAhead(version)) return undefined
  const ms = versionMs(version)
  return new RingdError('CLOCK_SKEW', `an entry has the time ${ms} ms, too far ahead of the clock of this peer`)
}
