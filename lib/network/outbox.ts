// The packets that wait to be sent on one stream. All frames of one turn of the event loop are sent as one packet, in
// order. A long packet is given to the stream in parts, some of them in each turn, since the stream encrypts what it
// takes at once. Invariant: nothing is given to a stream that asked to wait.
import type { Bytes } from '../bytes.js'
import type { Clock } from '../clock.js'
import { KiB } from '../limits.js'
import type { Body, Link } from './network.js'
import { PacketWriter } from './packet-writer.js'

/** The hybrid clock (lib/entry/hybrid-clock.ts). Every packet carries the stamp of its sender. */
export interface Hlc {
  stamp(): { readonly ms: number; readonly counter: number }
  /** A packet of this peer brought the stamp; undefined before its hello. */
  observe(ms: number, counter: number, from: Link | undefined): void
}

/** Bytes that are given to the stream in one turn of the event loop, and at once. */
const TURN_BYTES_MAX = 256 * KiB

export class Outbox {
  private readonly clock: Clock
  private readonly hlc: Hlc
  private readonly send: (packet: Bytes) => boolean
  private readonly writer: PacketWriter
  /** The parts of whole packets, in order. */
  private parts: Bytes[] = []
  private partsBytes = 0
  private flushDue = false
  private blocked = false
  private stopped = false

  /** `send` returns false when the stream takes no more until `drained`. It never throws. */
  constructor(clock: Clock, hlc: Hlc, packetBytesMax: number, send: (packet: Bytes) => boolean) {
    this.clock = clock
    this.hlc = hlc
    this.send = send
    this.writer = new PacketWriter(packetBytesMax)
  }

  /** The bytes that were not given to the stream yet. */
  get bytes(): number {
    return this.partsBytes + this.writer.bytes
  }

  /** The stream takes no more for now. */
  get isBlocked(): boolean {
    return this.blocked
  }

  /** Queues one frame. Throws BAD_REQUEST when it fits into no packet. */
  append(id: number, answer: boolean, body: Body): void {
    if (this.stopped) return
    if (!this.writer.append(id, answer, body)) {
      this.endPacket()
      this.writer.append(id, answer, body)
    }
    if (this.writer.full) this.endPacket()
    if (!this.blocked) this.flushSoon()
  }

  /** Ends the current packet. Later frames are in the next one. */
  endPacket(): void {
    if (this.writer.frames === 0) return
    const { ms, counter } = this.hlc.stamp()
    for (const part of this.writer.finish(ms, counter)) {
      this.parts.push(part)
      this.partsBytes += part.length
    }
  }

  /** The stream takes bytes again. */
  drained(): void {
    if (!this.blocked) return
    this.blocked = false
    if (this.bytes > 0) this.flushSoon()
  }

  /** Sends all that the stream takes now. */
  flushAll(): void {
    this.flush(Number.POSITIVE_INFINITY)
  }

  /** Sends as much as the stream takes now, and as one turn allows. */
  private readonly flushTurn = (): void => this.flush(TURN_BYTES_MAX)

  private flush(bytesMax: number): void {
    this.flushDue = false
    if (this.stopped || this.blocked) return
    this.endPacket()
    const { parts } = this
    this.parts = []
    let taken = 0
    let turnBytes = 0
    while (taken < parts.length && !this.blocked && !this.stopped && turnBytes < bytesMax) {
      const whole = parts[taken]!
      const part = whole.subarray(0, TURN_BYTES_MAX)
      if (part.length < whole.length) parts[taken] = whole.subarray(part.length)
      else taken++
      this.partsBytes -= part.length
      turnBytes += part.length
      this.blocked = !this.send(part)
    }
    if (taken === parts.length || this.stopped) return
    this.parts = parts.slice(taken).concat(this.parts)
    if (!this.blocked) this.flushSoon()
  }

  /** Drops all packets, and takes no more. */
  stop(): void {
    this.stopped = true
    this.parts = []
    this.partsBytes = 0
  }

  private flushSoon(): void {
    if (this.flushDue) return
    this.flushDue = true
    this.clock.defer(this.flushTurn)
  }
}
