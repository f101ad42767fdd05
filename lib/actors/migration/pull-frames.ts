// The frames of a pull stream as values, and their bounds. Both ends use it: puller-stream.ts asks, source-stream.ts
// answers. PullHead of wire.proto is the specification. Pure.
// Invariant: what comes over the wire is checked here before anything else sees it.
import { EMPTY_BYTES } from '../../bytes.js'
import { RingdError, toRingdError } from '../../errors.js'
import { KiB, MiB } from '../../limits.js'
import type { BlockFrame } from '../../network/network.js'
import { errorOf, refusalOf } from '../../network/refusals.js'
import { PullHead, Refusal } from '../../network/wire.js'

/** What a puller asks for; the index of each is its number on the wire. */
export const PULLED = ['entries', 'versions', 'sums', 'keys', 'promises'] as const
export type Pulled = (typeof PULLED)[number]

/** Entries travel in blocks of this size, or of one entry: with its head, a part fills four pieces of a stream. */
export const PART_BYTES_MAX = 4 * 63 * KiB - 512
/** The credit of a new stream: so many bytes of parts may be under way, or wait to be on disk. */
export const WINDOW_BYTES = 4 * MiB
/** Bytes of asks that a source holds: each has at most a list of keys. */
export const ASKS_BYTES_MAX = MiB
/** Asks of one stream that wait for their turn at the source. A puller has one for each job, and cancelled ones. */
export const ASKS_MAX = 32

export function toFrame(head: PullHead, body = EMPTY_BYTES): BlockFrame {
  return { head: PullHead.encode(head), body }
}

export function refusalFrame(ask: number, error: RingdError): BlockFrame {
  return toFrame({ refusal: { ask } }, Refusal.encode(refusalOf(error)))
}

/** Throws BAD_MESSAGE. */
export function headOf({ head }: BlockFrame): PullHead {
  try {
    return PullHead.decode(head)
  } catch (thrown) {
    throw new RingdError('BAD_MESSAGE', 'a frame of a pull stream cannot be read', { cause: thrown })
  }
}

/** The error that a refusal carries. Throws BAD_MESSAGE. */
export function refusedWith({ body }: BlockFrame): RingdError {
  try {
    return errorOf(Refusal.decode(body))
  } catch (thrown) {
    throw new RingdError('BAD_MESSAGE', 'a refusal cannot be read', { cause: toRingdError(thrown) })
  }
}
