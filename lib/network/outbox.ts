// The packets that wait to be sent on one stream. All frames of one turn of the event loop are sent as one packet, in
// order. Invariant: nothing is given to a stream that asked to wait.
import type { Bytes } from '../bytes.js'
import type { Clock } from '../clock.js'
import type { Body, Link } from './network.js'
import { PacketWriter } from './packet-writer.js'

/** The hybrid clock (lib/entry/hybrid-clock.ts). Every packet carries the stamp of its sender. */
export interface Hlc {
  stamp(): { readonly ms: number; readonly counter: number }
  /** A packet of this peer brought the stamp; undefined before its hello. */
  observe(ms: number, counter: number, from: Link | undefined): void
}

export class Outbox {
  private readonly clock: Clock
  private readonly hlc: Hlc
  private readonly send: (packet: Bytes) => boolean
  private readonly writer: PacketWriter
  private packets: Bytes[] = []
  private packetsBytes = 0
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
    return this.packetsBytes + this.writer.bytes
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
    const packet = this.writer.finish(ms, counter)
    this.packets.push(packet)
    this.packetsBytes += packet.length
  }

  /** The stream takes bytes again. */
  drained(): void {
    if (!this.blocked) return
    this.blocked = false
    if (this.bytes > 0) this.flushSoon()
  }

  /** Sends as many packets as the stream takes now. */
  readonly flush = (): void => {
    this.flushDue = false
    if (this.stopped || this.blocked) return
    this.endPacket()
    const { packets } = this
    this.packets = []
    let sent = 0
    while (sent < packets.length && !this.blocked && !this.stopped) {
      const packet = packets[sent++]!
      this.packetsBytes -= packet.length
      this.blocked = !this.send(packet)
    }
    if (sent < packets.length && !this.stopped) this.packets = packets.slice(sent).concat(this.packets)
  }

  /** Drops all packets, and takes no more. */
  stop(): void {
    this.stopped = true
    this.packets = []
    this.packetsBytes = 0
  }

  private flushSoon(): void {
    if (this.flushDue) return
    this.flushDue = true
    this.clock.defer(this.flush)
  }
}
