// What waits to go out on one stream: frames of one turn of the event loop leave as one packet, in order.
// Invariant: nothing is handed to a stream that asked to wait.
import type { Bytes } from '../bytes.js'
import type { Clock } from '../clock.js'
import type { Body } from './network.js'
import { PacketWriter } from './packet-writer.js'

/** Moves clocks past each other: see lib/entry. Every packet carries the sender's. */
export interface Hlc {
  stamp(): { readonly ms: number; readonly counter: number }
  observe(ms: number, counter: number): void
}

export class Outbox {
  private readonly clock: Clock
  private readonly hlc: Hlc
  private readonly send: (packet: Bytes) => boolean
  private readonly writer: PacketWriter
  private sealed: Bytes[] = []
  private sealedBytes = 0
  private flushDue = false
  private blocked = false
  private stopped = false

  /** `send` returns false when it wants no more until `drained`, and never throws. */
  constructor(clock: Clock, hlc: Hlc, packetBytesMax: number, send: (packet: Bytes) => boolean) {
    this.clock = clock
    this.hlc = hlc
    this.send = send
    this.writer = new PacketWriter(packetBytesMax)
  }

  /** Bytes not yet handed to the stream. */
  get bytes(): number {
    return this.sealedBytes + this.writer.bytes
  }

  /** Queues one frame. Throws BAD_REQUEST when it fits into no packet. */
  append(id: number, answer: boolean, body: Body): void {
    if (this.stopped) return
    if (!this.writer.append(id, answer, body)) {
      this.seal()
      this.writer.append(id, answer, body)
    }
    if (this.writer.full) this.seal()
    if (!this.blocked) this.flushSoon()
  }

  /** Ends the packet here: what follows goes into the next one. */
  seal(): void {
    if (this.writer.frames === 0) return
    const { ms, counter } = this.hlc.stamp()
    const packet = this.writer.seal(ms, counter)
    this.sealed.push(packet)
    this.sealedBytes += packet.length
  }

  /** The stream takes bytes again. */
  drained(): void {
    if (!this.blocked) return
    this.blocked = false
    if (this.bytes > 0) this.flushSoon()
  }

  /** Sends now what the stream takes. */
  readonly flush = (): void => {
    this.flushDue = false
    if (this.stopped || this.blocked) return
    this.seal()
    const packets = this.sealed
    this.sealed = []
    let sent = 0
    while (sent < packets.length && !this.blocked && !this.stopped) {
      const packet = packets[sent++]!
      this.sealedBytes -= packet.length
      this.blocked = !this.send(packet)
    }
    if (sent < packets.length && !this.stopped) this.sealed = packets.slice(sent).concat(this.sealed)
  }

  /** Forgets everything and takes nothing more. */
  stop(): void {
    this.stopped = true
    this.sealed = []
    this.sealedBytes = 0
  }

  private flushSoon(): void {
    if (this.flushDue) return
    this.flushDue = true
    this.clock.defer(this.flush)
  }
}
