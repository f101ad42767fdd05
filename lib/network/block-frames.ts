// The frames of a block stream as bytes: length of the head and length of the body, 32 bits each and big-endian, then
// the head and the body. Invariants: both lengths are checked before anything is kept; memory is used for bytes that
// have arrived, never for bytes that were announced; of a long body only the first piece is copied by the writer.
import { type Bytes, EMPTY_BYTES } from '../bytes.js'
import { RingdError } from '../errors.js'
import { BLOCK_BODY_BYTES_MAX, BLOCK_HEAD_BYTES_MAX, KiB } from '../limits.js'
import type { BlockFrame } from './network.js'

export const PREFIX_BYTES = 8
/** What a stream gets at once: with the header of the muxer it fits into one message of noise, of 65519 bytes. */
export const PIECE_BYTES_MAX = 63 * KiB
/** Each chunk takes about 200 bytes beside its own. So many small ones in a row are joined at once. */
const SMALL_CHUNK_BYTES = KiB
const SMALL_CHUNKS_MAX = 256

/** The bytes that a frame takes on the wire. */
export function frameBytes({ head, body }: BlockFrame): number {
  return PREFIX_BYTES + head.length + body.length
}

/**
 * The frame in two parts: its first piece, and the rest of the body, which may be empty. The first piece is a copy, so
 * that no short piece with the head alone is encrypted and sent by itself. Throws BAD_REQUEST for a frame above the
 * limits.
 */
export function encodeFrame(frame: BlockFrame): readonly [start: Bytes, rest: Bytes] {
  const { head, body } = frame
  const reason = tooLong(head.length, body.length)
  if (reason !== undefined) throw new RingdError('BAD_REQUEST', reason)
  const start = Buffer.allocUnsafe(Math.min(frameBytes(frame), Math.max(PIECE_BYTES_MAX, PREFIX_BYTES + head.length)))
  start.writeUInt32BE(head.length, 0)
  start.writeUInt32BE(body.length, 4)
  start.set(head, PREFIX_BYTES)
  const copied = start.length - PREFIX_BYTES - head.length
  start.set(body.subarray(0, copied), PREFIX_BYTES + head.length)
  return [start, body.subarray(copied)]
}

function tooLong(head: number, body: number): string | undefined {
  if (head > BLOCK_HEAD_BYTES_MAX) return `a head of ${head} bytes exceeds the limit of ${BLOCK_HEAD_BYTES_MAX}`
  if (body > BLOCK_BODY_BYTES_MAX) return `a body of ${body} bytes exceeds the limit of ${BLOCK_BODY_BYTES_MAX}`
  return undefined
}

/** Makes frames of the bytes of a stream. O(bytes). */
export class BlockFrameReader {
  private readonly take: (frame: BlockFrame) => void
  private readonly prefix = new DataView(new ArrayBuffer(PREFIX_BYTES))
  private prefixBytes = 0
  /** The part that is being collected: the head while `head` is undefined, then the body. */
  private parts: Bytes[] = []
  private missing = 0
  /** Small chunks at the end of `parts`. */
  private smallParts = 0
  private head: Bytes | undefined
  private unfinishedBytes = 0

  /** `take` gets each whole frame. What it throws leaves `push`. */
  constructor(take: (frame: BlockFrame) => void) {
    this.take = take
  }

  /** Bytes of the frame that has begun and not ended. */
  get bytes(): number {
    return this.unfinishedBytes
  }

  /** Takes the next bytes, which must not change later. Throws BAD_MESSAGE; then nothing may be pushed any more. */
  push(chunk: Bytes): void {
    let at = 0
    while (at < chunk.length) {
      if (this.prefixBytes < PREFIX_BYTES) {
        this.prefix.setUint8(this.prefixBytes++, chunk[at++]!)
        this.unfinishedBytes++
        if (this.prefixBytes === PREFIX_BYTES) this.begin()
      } else {
        const part = chunk.subarray(at, at + this.missing)
        at += part.length
        this.keep(part)
      }
      if (this.prefixBytes === PREFIX_BYTES && this.missing === 0) this.endPart()
    }
  }

  /** Drops what has arrived of a frame. */
  drop(): void {
    this.parts = []
    this.head = undefined
    this.unfinishedBytes = 0
  }

  private begin(): void {
    const reason = tooLong(this.prefix.getUint32(0), this.prefix.getUint32(4))
    if (reason !== undefined) throw new RingdError('BAD_MESSAGE', reason)
    this.missing = this.prefix.getUint32(0)
  }

  private keep(part: Bytes): void {
    this.parts.push(part)
    this.missing -= part.length
    this.unfinishedBytes += part.length
    this.smallParts = part.length < SMALL_CHUNK_BYTES ? this.smallParts + 1 : 0
    if (this.smallParts < SMALL_CHUNKS_MAX) return
    this.smallParts = 0
    this.parts.push(Buffer.concat(this.parts.splice(-SMALL_CHUNKS_MAX)))
  }

  private endPart(): void {
    if (this.head === undefined) {
      this.head = this.join()
      this.missing = this.prefix.getUint32(4)
      if (this.missing > 0) return
    }
    const frame = { head: this.head, body: this.join() }
    this.head = undefined
    this.prefixBytes = 0
    this.unfinishedBytes = 0
    this.take(frame)
  }

  /** What was collected: a view when it came in one chunk, otherwise a copy. */
  private join(): Bytes {
    const { parts } = this
    this.parts = []
    this.smallParts = 0
    if (parts.length === 0) return EMPTY_BYTES
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }
}
