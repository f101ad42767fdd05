// Which requests about one key are large: they, or their answers, may have more than 64 KiB. Large ones travel on the
// stream `bulk`, so that no small operation waits behind them.
import { ENVELOPE_OVERHEAD_MAX } from '../entry/envelope.js'
import { KiB } from '../limits.js'
import type { Body, StreamClass } from '../network/network.js'

/** The largest envelope of a small request or answer. */
export const SMALL_ENVELOPE_MAX = 64 * KiB + ENVELOPE_OVERHEAD_MAX

/** The stream for a request `read`, `write` or `prepareKey`. */
export function streamOf({ read, write, prepareKey }: Body): StreamClass {
  const bytes =
    write === undefined ? ((read ?? prepareKey)?.bytesMax ?? Number.POSITIVE_INFINITY) : write.envelope.length
  return bytes <= SMALL_ENVELOPE_MAX ? 'operations' : 'bulk'
}
