// The merge rule: of two entries of one key, also tombstones, the one with the higher version wins. Pure.
// Invariant: commutative, associative and idempotent, so the order in which entries arrive never matters.
import { compareBytes } from '../bytes.js'
import { compareVersions, type Envelope } from './envelope.js'

/**
 * The newer of two checked envelopes of one key; undefined is older than any. Entries with equal versions should be
 * equal. If they are not, the bytes decide, so that all owners still agree.
 */
export function newest(a: Envelope | undefined, b: Envelope | undefined): Envelope | undefined {
  if (a === undefined) return b
  if (b === undefined) return a
  const order = compareVersions(a, b) || compareBytes(a, b)
  return order >= 0 ? a : b
}
