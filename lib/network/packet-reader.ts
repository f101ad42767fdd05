// Divides a stream into packets and packets into frames. Trusts no bytes: lengths are checked before memory is
// allocated, counts before objects are made, and malformed bytes are BAD_MESSAGE.
// Invariant: a caller may keep the bytes of a decoded body. They never keep more memory alive than KEPT_RATIO times
// their size, or one slab.

import type { DecodeOptions, Reader } from 'protons-runtime'
import { reader as createReader } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import { KiB, MEMBERS_MAX, ORIGINS_MAX, TOKENS_MAX, TOLD_VERSIONS_MAX } from '../limits.js'
import type { Body } from './network.js'
import {
  DONE_TAG,
  PACKET_FRAMES_MAX,
  PREFIX_BYTES,
  READ_TAG,
  VALUE_TAG,
  WRITE_TAG,
  WRITTEN_TAG
} from './packet-writer.js'
import { CONDITIONS_MAX, UNREACHED_MAX } from './trouble.js'
import { Frame, type ReadReply, Rumor } from './wire.js'

/** The ms of a hybrid clock have 48 bits, the counter 16 (lib/entry/version.ts). */
const CLOCK_MS_MAX = 2 ** 48 - 1
const CLOCK_COUNTER_MAX = 0xffff

/**
 * Bytes stay a view when the buffer behind them is at most this many times larger; smaller ones are copied into slabs.
 */
const KEPT_RATIO = 8
const SLAB_BYTES = 16 * KiB

/** Fields of a packet that this version does not know. Each takes time to skip, and may have only two bytes. */
const UNKNOWN_FIELDS_MAX = 64

/** The type of bytes that protons needs: over memory that no other thread shares. */
type WireBytes = Uint8Array<ArrayBuffer>
const EMPTY: WireBytes = new Uint8Array(0)

export interface DecodedFrame {
  readonly id: number
  readonly answer: boolean
  readonly body: Body
  /** The size on the wire, for limits. */
  readonly bytes: number
}

/** The body of each message of a kind that this version does not know. */
export const UNKNOWN_BODY: Body = Object.freeze({})

export interface DecodedPacket {
  readonly clockMs: number
  readonly clockCounter: number
  readonly frames: readonly DecodedFrame[]
}

/** Collects the chunks of one stream. The time is linear in the bytes, for chunks of any size. */
export class PacketReader {
  /** May be raised between packets: before the hello the limit is small. */
  packetBytesMax: number
  private chunks: Bytes[] = []
  /** Position in the first chunk. */
  private offset = 0
  private buffered = 0
  /** Length of the packet that is arriving, or -1 while its prefix is incomplete. */
  private expected = -1

  constructor(packetBytesMax: number) {
    this.packetBytesMax = packetBytesMax
  }

  /** Bytes that were received and not taken yet. */
  get bytes(): number {
    return this.buffered
  }

  /** The length of the packet that is arriving; 0 between packets. */
  get packetBytes(): number {
    return Math.max(0, this.expected)
  }

  push(chunk: Uint8Array | Uint8ArrayList): void {
    if (chunk.byteLength === 0) return
    this.buffered += chunk.byteLength
    if (chunk instanceof Uint8Array) this.chunks.push(chunk)
    else for (const part of chunk) if (part.length > 0) this.chunks.push(part)
  }

  /**
   * The next whole packet; undefined until more bytes arrive. Throws BAD_MESSAGE when its length is above the limit.
   */
  next(): Bytes | undefined {
    if (this.expected === -1) {
      if (this.buffered < PREFIX_BYTES) return undefined
      const prefix = this.take(PREFIX_BYTES)
      const length = ((prefix[0]! << 24) | (prefix[1]! << 16) | (prefix[2]! << 8) | prefix[3]!) >>> 0
      if (length > this.packetBytesMax) {
        throw new RingdError('BAD_MESSAGE', `a packet of ${length} bytes exceeds the limit of ${this.packetBytesMax}`)
      }
      this.expected = length
    }
    if (this.buffered < this.expected) return undefined
    const packet = this.take(this.expected)
    this.expected = -1
    return packet
  }

  /** The next `length` bytes, which have been received: a view when they lie in one chunk, otherwise a copy. */
  private take(length: number): Bytes {
    if (length === 0) return EMPTY
    const first = this.chunks[0]!
    const end = this.offset + length
    this.buffered -= length
    if (end <= first.length) {
      const view = first.subarray(this.offset, end)
      this.offset = end
      if (end === first.length) this.dropChunks(1)
      return view
    }
    const joined = new Uint8Array(length)
    let filled = 0
    let index = 0
    let from = this.offset
    while (filled < length) {
      const chunk = this.chunks[index]!
      const until = Math.min(chunk.length, from + length - filled)
      joined.set(chunk.subarray(from, until), filled)
      filled += until - from
      if (until < chunk.length) {
        this.chunks.splice(0, index)
        this.offset = until
        return joined
      }
      index++
      from = 0
    }
    this.dropChunks(index)
    return joined
  }

  private dropChunks(count: number): void {
    if (count === this.chunks.length) this.chunks = []
    else this.chunks.splice(0, count)
    this.offset = 0
  }
}

/** Decodes one packet, without its length. Throws BAD_MESSAGE for any malformed bytes. */
export function decodePacket(bytes: Bytes): DecodedPacket {
  // A short packet in a long buffer is copied once. Then its fields can be views.
  const own = bytes.length <= SLAB_BYTES && bytes.buffer.byteLength > SLAB_BYTES ? new Uint8Array(bytes) : bytes
  try {
    return decode(createReader(own))
  } catch (thrown) {
    if (thrown instanceof RingdError) throw thrown
    const reason = thrown instanceof Error ? thrown.message : String(thrown)
    throw new RingdError('BAD_MESSAGE', `a packet cannot be decoded: ${reason}`, { cause: thrown })
  }
}

function decode(reader: Reader): DecodedPacket {
  reader.bytes = keptBytes
  const frames: DecodedFrame[] = []
  let clockMs = 0
  let clockCounter = 0
  let unknown = 0
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    switch (tag) {
      case (3 << 3) | 2:
        if (frames.length === PACKET_FRAMES_MAX)
          throw new RingdError('BAD_MESSAGE', `a packet holds more than ${PACKET_FRAMES_MAX} frames`)
        frames.push(decodeFrame(reader))
        break
      case 1 << 3:
        clockMs = reader.uint64Number()
        break
      case 2 << 3:
        clockCounter = reader.uint32()
        break
      default:
        if (++unknown > UNKNOWN_FIELDS_MAX) {
          throw new RingdError('BAD_MESSAGE', `a packet holds more than ${UNKNOWN_FIELDS_MAX} unknown fields`)
        }
        reader.skipType(tag & 7)
    }
  }
  if (frames.length === 0) throw new RingdError('BAD_MESSAGE', 'a packet holds no frame')
  if (!(clockMs <= CLOCK_MS_MAX) || clockCounter > CLOCK_COUNTER_MAX) {
    throw new RingdError('BAD_MESSAGE', `the clock of a packet is out of range: ${clockMs}, ${clockCounter}`)
  }
  return { clockMs, clockCounter, frames }
}

function decodeFrame(reader: Reader): DecodedFrame {
  const bytes = reader.uint32()
  const start = reader.pos
  const end = start + bytes
  if (end > reader.len) throw new RingdError('BAD_MESSAGE', 'a frame is longer than its packet')
  let id = 0
  let answer = false
  let body: Body | undefined
  let usual = true
  while (usual && reader.pos < end) {
    const tag = reader.uint32()
    if (tag === 1 << 3) id = reader.uint32()
    else if (tag === 2 << 3) answer = reader.bool()
    else {
      body = decodeUsual(reader, tag)
      usual = body !== undefined
    }
  }
  if (usual && body !== undefined && reader.pos === end) return { id, answer, body, bytes }
  const frame = decodeAny(reader, start, end)
  return { id: frame.id, answer: frame.answer, body: bodyOf(frame), bytes }
}

/** A body that packet-writer.ts writes by hand, with its fields in order; undefined for any other. */
function decodeUsual(reader: Reader, tag: number): Body | undefined {
  if (tag !== WRITE_TAG && tag !== READ_TAG && tag !== VALUE_TAG && tag !== WRITTEN_TAG && tag !== DONE_TAG)
    return undefined
  const end = reader.uint32() + reader.pos
  if (end > reader.len) return undefined
  let view = 0
  let closed: number | undefined
  let size: number | undefined
  let key: WireBytes | undefined
  let envelope: WireBytes | undefined
  const hasView = tag === WRITE_TAG || tag === READ_TAG
  while (reader.pos < end) {
    const field = reader.uint32()
    if (field === 1 << 3 && hasView) view = reader.uint32()
    else if (field === ((1 << 3) | 2) && (tag === VALUE_TAG || tag === WRITTEN_TAG)) key = reader.bytes()
    else if (field === 2 << 3 && tag === VALUE_TAG) closed = reader.uint32()
    else if (field === ((2 << 3) | 2) && hasView) key = reader.bytes()
    else if (field === ((3 << 3) | 2) && tag === WRITE_TAG) envelope = reader.bytes()
    else if (field === 3 << 3 && (tag === READ_TAG || tag === VALUE_TAG)) size = reader.uint32()
    else return undefined
  }
  if (reader.pos !== end) return undefined
  switch (tag) {
    case WRITE_TAG:
      return { write: { view, key: key ?? EMPTY, envelope: envelope ?? EMPTY } }
    case READ_TAG:
      return { read: size === undefined ? { view, key: key ?? EMPTY } : { view, key: key ?? EMPTY, bytesMax: size } }
    case VALUE_TAG:
      return { value: size === undefined ? readReply(key, closed) : { ...readReply(key, closed), size } }
    case WRITTEN_TAG:
      return { written: key === undefined ? {} : { newerVersion: key } }
    default:
      return { done: {} }
  }
}

function readReply(envelope: WireBytes | undefined, closed: number | undefined): ReadReply {
  if (closed !== undefined) return envelope === undefined ? { closed } : { envelope, closed }
  return envelope === undefined ? {} : { envelope }
}

function decodeAny(packet: Reader, start: number, end: number): Frame {
  packet.pos = end
  const reader = createReader(bufferOf(packet).subarray(start, end))
  reader.bytes = keptBytes
  return Frame.codec().decode(reader, undefined, { limits: FRAME_LIMITS })
}

function bodyOf(frame: Frame): Body {
  const { id: _id, answer: _answer, ...body } = frame
  return Object.keys(body).length === 0 ? UNKNOWN_BODY : body
}

/** The bytes that a reader reads. The type of protons leaves this field out. */
function bufferOf(reader: Reader): WireBytes {
  return (reader as Reader & { readonly buf: WireBytes }).buf
}

let slab = EMPTY
let slabUsed = 0

/** Replaces the `bytes` method of the reader, whose views would keep whole received buffers in memory. */
function keptBytes(this: Reader): WireBytes {
  const length = this.uint32()
  const start = this.pos
  const end = start + length
  if (end > this.len)
    throw new RingdError('BAD_MESSAGE', `${length} bytes at ${start} exceed the ${this.len} that there are`)
  this.pos = end
  if (length === 0) return EMPTY
  const from = bufferOf(this)
  const pinned = from.buffer.byteLength
  if (pinned <= SLAB_BYTES || length * KEPT_RATIO >= pinned) {
    return new Uint8Array(from.buffer, from.byteOffset + start, length)
  }
  const view = new Uint8Array(from.buffer, from.byteOffset + start, length)
  if (length > SLAB_BYTES / 4) return view.slice()
  if (slabUsed + length > slab.length) {
    slab = new Uint8Array(SLAB_BYTES)
    slabUsed = 0
  }
  slab.set(view, slabUsed)
  slabUsed += length
  return new Uint8Array(slab.buffer, slabUsed - length, length)
}

// Limits of repeated fields: members of a ring, tokens of a member, slots. More is malformed.
const SLOTS_MAX = 16384
const MEMBER_LIMITS = { tokens: TOKENS_MAX }
const CHANGE_LIMITS = {
  joins: MEMBERS_MAX,
  joins$: MEMBER_LIMITS,
  removals: MEMBERS_MAX,
  lost: MEMBERS_MAX,
  votes: MEMBERS_MAX
}
const RECORD_LIMITS = { addresses: 64, ready: SLOTS_MAX }
const JOIN_LIMITS = { member: MEMBER_LIMITS, addresses: 64 }
const SNAPSHOT_LIMITS = { members: MEMBERS_MAX, members$: MEMBER_LIMITS, former: MEMBERS_MAX, begins: SLOTS_MAX }
/** Former members have records too, while they own a slot in some window. */
const RECORDS_MAX = 2 * MEMBERS_MAX
const KNOWLEDGE_LIMITS = {
  snapshot: SNAPSHOT_LIMITS,
  changes: 65536,
  changes$: CHANGE_LIMITS,
  bases: SLOTS_MAX,
  records: RECORDS_MAX,
  records$: RECORD_LIMITS,
  joins: MEMBERS_MAX,
  joins$: JOIN_LIMITS,
  departures: MEMBERS_MAX
}
const DIGEST_LIMITS = { records: RECORDS_MAX, joins: MEMBERS_MAX, departures: MEMBERS_MAX }

/** A ballot names the members that it removes without their asking: at most as many. */
const EVICTIONS_MAX = 16
const PROOF_LIMITS = {
  joins: MEMBERS_MAX,
  joins$: JOIN_LIMITS,
  leaves: MEMBERS_MAX,
  evictions: EVICTIONS_MAX,
  promises: MEMBERS_MAX
}

const RUMOR_BYTES_MAX = 64 * KiB
/** The limits of the repeated fields of a rumor. */
const RUMOR_LIMITS: DecodeOptions<Rumor>['limits'] = {
  records: 64,
  records$: RECORD_LIMITS,
  joins: 256,
  joins$: JOIN_LIMITS,
  departures: 256
}

/** The limits of every repeated field of a frame. */
export const FRAME_LIMITS: DecodeOptions<Frame>['limits'] = {
  refusal: { knowledge: KNOWLEDGE_LIMITS },
  exchange: { digest: DIGEST_LIMITS },
  exchanged: { digest: DIGEST_LIMITS, knowledge: KNOWLEDGE_LIMITS },
  learn: KNOWLEDGE_LIMITS,
  prepare: { evictions: EVICTIONS_MAX },
  pong: { trouble: { conditions: CONDITIONS_MAX, unreached: UNREACHED_MAX } },
  promised: { acceptedChange: CHANGE_LIMITS, acceptedProof: PROOF_LIMITS },
  accept: { change: CHANGE_LIMITS, proof: PROOF_LIMITS },
  compare: { ranges: SLOTS_MAX },
  close: { ranges: SLOTS_MAX },
  tally: { ranges: SLOTS_MAX },
  wanted: { keys: 65536 },
  prepareKey: { origins: ORIGINS_MAX },
  preparedKey: { tellings: ORIGINS_MAX, tellings$: { versions: TOLD_VERSIONS_MAX } }
}

/** Decodes a message of gossip. Throws BAD_MESSAGE. */
export function decodeRumor(bytes: Bytes): Rumor {
  if (bytes.length > RUMOR_BYTES_MAX) throw new RingdError('BAD_MESSAGE', 'a rumor is too long')
  try {
    return Rumor.decode(bytes, { limits: RUMOR_LIMITS })
  } catch (thrown) {
    throw new RingdError('BAD_MESSAGE', 'a rumor cannot be read', { cause: thrown })
  }
}

/** Whether `decodeRumor` reads these bytes. */
export function isRumor(bytes: Bytes): boolean {
  try {
    decodeRumor(bytes)
    return true
  } catch {
    return false
  }
}
