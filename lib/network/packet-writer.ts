// Makes one packet of wire.proto, after its 32-bit length, from the frames of one turn of the event loop.
// Owns the outgoing layout of packets and frames, and the largest packet of each kind of stream.
// Must not wait. Bodies are copied when they are appended, so callers may reuse their buffers; but long bytes are kept
// as they are and sent as a part of their own, so nobody may change them afterwards.
// The four bodies of the operations and `done` are written by hand, because protons takes 2 us for a frame, and the
// value for a client, because protons copies it. All others are written by protons.
// test/unit/network-packets.test.ts checks that both give the same bytes.
import type { Bytes } from '../bytes.js'
import { EMPTY_BYTES } from '../bytes.js'
import { RingdError } from '../errors.js'
import { KEY_BYTES_MAX, KiB, MiB, VALUE_BYTES_MAX } from '../limits.js'
import type { Body } from './network.js'
import { type ClientValue, Frame } from './wire.js'

/** The length before each packet. */
export const PREFIX_BYTES = 4
/** The largest packet of a stream that carries values: the largest value, its key, and the bytes around them. */
export const VALUE_PACKET_BYTES_MAX = VALUE_BYTES_MAX + KEY_BYTES_MAX + 64 * KiB
/** The largest packet of a stream that carries knowledge. */
export const CONTROL_PACKET_BYTES_MAX = 4 * MiB
/** Frames in one packet. A reader refuses more, so that a packet of small frames cannot become too many objects. */
export const PACKET_FRAMES_MAX = 4096
/** A packet that is longer than this is ended, and the next one begins. One large frame may still exceed it. */
export const PACKET_BYTES_SOFT = 256 * KiB

/** Room for the clock, the tag and length of a frame, and its id. */
const OVERHEAD_BYTES = 64
const FIRST_BUFFER_BYTES = 512
/** Bytes of at least this length are not copied: memory for a large value costs more time than all the rest. */
const KEPT_BYTES_MIN = 64 * KiB
/** Up to this length a loop is faster than a call of `set`. */
const LOOP_BYTES_MAX = 24

const FRAME_TAG = (3 << 3) | 2
const CLOCK_MS_TAG = 1 << 3
const CLOCK_COUNTER_TAG = 2 << 3
const ID_TAG = 1 << 3
const ANSWER_TAG = 2 << 3
/**
 * Tags of the bodies that are written by hand. Their fields are 1 view, 2 key, 3 envelope, or 1 bytes, 2 a number. The
 * field 3 of `read` and `value` is a number.
 */
export const DONE_TAG = (5 << 3) | 2
export const READ_TAG = (10 << 3) | 2
export const VALUE_TAG = (11 << 3) | 2
export const WRITE_TAG = (12 << 3) | 2
export const WRITTEN_TAG = (13 << 3) | 2
const CLIENT_VALUE_TAG = (41 << 3) | 2
const UINT32_MAX = 0xffffffff

export class PacketWriter {
  private readonly packetBytesMax: number
  /** The finished parts of the packet, and their bytes. The first one begins with room for the prefix. */
  private parts: Bytes[] = []
  private partsBytes = 0
  /** The part that is being written. */
  private buffer: Bytes = EMPTY_BYTES
  private length = 0
  private frameCount = 0
  private firstBytes = FIRST_BUFFER_BYTES

  constructor(packetBytesMax: number) {
    this.packetBytesMax = packetBytesMax
  }

  /** Frames appended since the last `finish`. */
  get frames(): number {
    return this.frameCount
  }

  /** Bytes appended since the last `finish`. */
  get bytes(): number {
    return this.partsBytes + this.length
  }

  get full(): boolean {
    return this.bytes >= PACKET_BYTES_SOFT || this.frameCount >= PACKET_FRAMES_MAX
  }

  /** Whether one more body of `bytes` fits into this packet. Two large ones would exceed the limit of a reader. */
  private fits(bytes: number): boolean {
    return PREFIX_BYTES + this.bytes + bytes + OVERHEAD_BYTES <= this.packetBytesMax
  }

  /**
   * Adds one frame. Returns false when it belongs in the next packet: then call `finish` and append again.
   * Throws BAD_REQUEST when it fits into no packet of this stream. Check `full` afterwards.
   */
  append(id: number, answer: boolean, body: Body): boolean {
    if (body.write !== undefined) {
      const { view, key, envelope, repair, confirmedBelow } = body.write
      if (confirmedBelow !== undefined) return this.appendEncoded(Frame.encode({ ...body, id, answer }))
      const bodyBytes = uintBytes(view) + fieldBytes(key) + fieldBytes(envelope) + (repair === true ? 2 : 0)
      if (!this.begin(id, answer, WRITE_TAG, bodyBytes)) return false
      this.putUint(1 << 3, view)
      this.putField((2 << 3) | 2, key)
      this.putField((3 << 3) | 2, envelope)
      if (repair === true) this.putUint(4 << 3, 1)
    } else if (body.read !== undefined) {
      const { view, key, bytesMax } = body.read
      const bodyBytes = uintBytes(view) + fieldBytes(key) + optionalBytes(bytesMax)
      if (!this.begin(id, answer, READ_TAG, bodyBytes)) return false
      this.putUint(1 << 3, view)
      this.putField((2 << 3) | 2, key)
      this.putOptional(3 << 3, bytesMax)
    } else if (body.written !== undefined) {
      const { newerVersion, had, promised } = body.written
      if (had === true || promised !== undefined) return this.appendEncoded(Frame.encode({ ...body, id, answer }))
      return this.appendOptional(id, answer, WRITTEN_TAG, newerVersion)
    } else if (body.value !== undefined) {
      const { envelope, closed, size } = body.value
      return this.appendOptional(id, answer, VALUE_TAG, envelope, closed, size)
    } else if (body.done !== undefined) {
      return this.begin(id, answer, DONE_TAG, 0)
    } else if (body.clientValue !== undefined && (body.clientValue.expiresInMs ?? 0) <= UINT32_MAX) {
      return this.appendClientValue(id, answer, body.clientValue)
    } else {
      return this.appendEncoded(Frame.encode({ ...body, id, answer }))
    }
    return true
  }

  private appendClientValue(id: number, answer: boolean, { value, expiresInMs, version }: ClientValue): boolean {
    const valueBytes = value === undefined ? 0 : 1 + varintBytes(value.length) + value.length
    const versionBytes = version === undefined ? 0 : 1 + varintBytes(version.length) + version.length
    const bodyBytes = valueBytes + optionalBytes(expiresInMs) + versionBytes
    if (!this.begin(id, answer, CLIENT_VALUE_TAG, bodyBytes)) return false
    if (value !== undefined) this.putBytes((1 << 3) | 2, value)
    this.putOptional(2 << 3, expiresInMs)
    if (version !== undefined) this.putBytes((3 << 3) | 2, version)
    return true
  }

  /**
   * The parts of the packet so far, with the sender's clock. The next packet begins empty. Nobody may change the bytes.
   */
  finish(clockMs: number, clockCounter: number): Bytes[] {
    this.reserve(OVERHEAD_BYTES)
    this.buffer[this.length++] = CLOCK_MS_TAG
    this.length = putLongVarint(this.buffer, this.length, clockMs)
    this.buffer[this.length++] = CLOCK_COUNTER_TAG
    this.length = putVarint(this.buffer, this.length, clockCounter)
    const lastBytes = this.length
    this.endPart()
    const { parts, partsBytes } = this
    putPrefix(parts[0]!, partsBytes - PREFIX_BYTES)
    // The next packet is probably about as long. The size after a rare long one shrinks again quickly.
    this.firstBytes = Math.max(FIRST_BUFFER_BYTES, Math.min(lastBytes, PACKET_BYTES_SOFT), this.firstBytes >>> 1)
    this.parts = []
    this.partsBytes = 0
    this.frameCount = 0
    return parts
  }

  /** A body of bytes and two numbers. Each may be absent; empty bytes and 0 are not absent. */
  private appendOptional(
    id: number,
    answer: boolean,
    tag: number,
    bytes: Bytes | undefined,
    second?: number,
    third?: number
  ): boolean {
    const length = bytes?.length ?? 0
    const bytesBytes = bytes === undefined ? 0 : 1 + varintBytes(length) + length
    if (!this.begin(id, answer, tag, bytesBytes + optionalBytes(second) + optionalBytes(third))) return false
    if (bytes !== undefined) this.putBytes((1 << 3) | 2, bytes)
    this.putOptional(2 << 3, second)
    this.putOptional(3 << 3, third)
    return true
  }

  private appendEncoded(frame: Bytes): boolean {
    if (!this.admits(frame.length)) return false
    this.putBytes(FRAME_TAG, frame)
    this.frameCount++
    return true
  }

  private admits(bytes: number): boolean {
    if (this.fits(bytes)) return true
    if (this.frameCount > 0) return false
    throw new RingdError('BAD_REQUEST', `a message has ${bytes} bytes; its stream takes ${this.packetBytesMax}`)
  }

  private begin(id: number, answer: boolean, tag: number, bodyBytes: number): boolean {
    if (!this.admits(bodyBytes)) return false
    this.reserve(Math.min(bodyBytes, KEPT_BYTES_MIN) + 2 * OVERHEAD_BYTES)
    const headBytes = uintBytes(id) + (answer ? 2 : 0) + varintBytes(tag) + varintBytes(bodyBytes)
    this.buffer[this.length++] = FRAME_TAG
    this.length = putVarint(this.buffer, this.length, headBytes + bodyBytes)
    this.putUint(ID_TAG, id)
    if (answer) this.putUint(ANSWER_TAG, 1)
    this.length = putVarint(this.buffer, this.length, tag)
    this.length = putVarint(this.buffer, this.length, bodyBytes)
    this.frameCount++
    return true
  }

  /** Grows the buffer for `bytes` more bytes. */
  private reserve(bytes: number): void {
    if (this.length === 0 && this.partsBytes === 0) this.length = PREFIX_BYTES
    const needed = this.length + bytes
    if (needed <= this.buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.buffer.length, this.firstBytes))
    grown.set(this.buffer.subarray(0, Math.min(this.length, this.buffer.length)))
    this.buffer = grown
  }

  /** The bytes that were written become a part. The next part begins empty. */
  private endPart(): void {
    this.parts.push(this.buffer.subarray(0, this.length))
    this.partsBytes += this.length
    this.buffer = EMPTY_BYTES
    this.length = 0
  }

  private putUint(tag: number, value: number): void {
    if (value === 0) return
    this.buffer[this.length++] = tag
    this.length = putVarint(this.buffer, this.length, value)
  }

  private putOptional(tag: number, value: number | undefined): void {
    if (value === undefined) return
    this.buffer[this.length++] = tag
    this.length = putVarint(this.buffer, this.length, value)
  }

  private putField(tag: number, bytes: Bytes): void {
    if (bytes.length > 0) this.putBytes(tag, bytes)
  }

  private putBytes(tag: number, bytes: Bytes): void {
    const { length } = bytes
    const room = (length < KEPT_BYTES_MIN ? length : 0) + OVERHEAD_BYTES
    // `begin` has reserved it, unless the frame has long bytes too.
    if (this.length + room > this.buffer.length) this.reserve(room)
    const { buffer } = this
    buffer[this.length] = tag
    let at = putVarint(buffer, this.length + 1, length)
    if (length >= KEPT_BYTES_MIN) {
      this.length = at
      this.endPart()
      this.parts.push(bytes)
      this.partsBytes += length
      this.reserve(OVERHEAD_BYTES)
      return
    }
    if (length > LOOP_BYTES_MAX) {
      buffer.set(bytes, at)
      at += length
    } else {
      for (let index = 0; index < length; index++) buffer[at++] = bytes[index]!
    }
    this.length = at
  }
}

/** Writes an unsigned 32-bit number and returns the position after it. */
function putVarint(buffer: Bytes, at: number, value: number): number {
  while (value > 0x7f) {
    buffer[at++] = (value & 0x7f) | 0x80
    value >>>= 7
  }
  buffer[at++] = value
  return at
}

/** As `putVarint`, for numbers of up to 53 bits. */
function putLongVarint(buffer: Bytes, at: number, value: number): number {
  while (value > 0x7f) {
    buffer[at++] = (value % 0x80) | 0x80
    value = Math.floor(value / 0x80)
  }
  buffer[at++] = value
  return at
}

function putPrefix(packet: Bytes, length: number): void {
  packet[0] = length >>> 24
  packet[1] = length >>> 16
  packet[2] = length >>> 8
  packet[3] = length
}

function varintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x200000) return 3
  return value < 0x10000000 ? 4 : 5
}

/** The length of an unsigned field with a one-byte tag; a zero is left out. */
function uintBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value)
}

/** The length of an unsigned field with a one-byte tag; only undefined is left out. */
function optionalBytes(value: number | undefined): number {
  return value === undefined ? 0 : 1 + varintBytes(value)
}

/** The length of a bytes field with a one-byte tag; an empty one is left out. */
function fieldBytes(bytes: Bytes): number {
  return bytes.length === 0 ? 0 : 1 + varintBytes(bytes.length) + bytes.length
}
