// What one link has received and sent so far, and the watches that end it when that stops: a packet that has begun and
// does not end, answers that the other end does not read. Large answers that keep others waiting have less time.
import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import { MiB } from '../limits.js'
import { PROGRESS_BYTES_MIN, STALL_MS, StallWatch } from './stall-watch.js'

/** The time for progress with large answers while there is no room for those of others. */
const CONTENDED_STALL_MS = 2000
const LARGE_BYTES_MIN = MiB

export interface LinkProgressOptions {
  /** See LinkOptions. */
  readonly readStallMs: number
  /** A packet has begun, and this side waits for its rest. */
  readonly awaitsPacket: () => boolean
  /** Bytes that the other end has not read, as far as this end knows, and those of them that the stream holds. */
  readonly unread: () => number
  readonly unsent: () => number
  /** Others wait for the memory that unread answers hold. */
  readonly isContended: () => boolean
  readonly fail: (error: RingdError) => void
}

export class LinkProgress {
  private readonly options: LinkProgressOptions
  private readonly packets: StallWatch
  private readonly answers: StallWatch
  private readonly largeAnswers: StallWatch
  private receivedBytes = 0
  private packetsRead = 0
  private sentBytes = 0
  private timesEmptied = 0
  private hadUnread = false

  constructor(clock: Clock, options: LinkProgressOptions) {
    const { readStallMs, awaitsPacket, unread, unsent, isContended, fail } = options
    this.options = options
    this.packets = new StallWatch(clock, {
      periodMs: STALL_MS,
      isWaiting: awaitsPacket,
      progress: () => this.receivedBytes + this.packetsRead * PROGRESS_BYTES_MIN,
      onStall: () => fail(new RingdError('UNREACHABLE', 'a packet of the peer has begun and does not end'))
    })
    const progress = () => this.sentBytes - unsent() + this.timesEmptied * PROGRESS_BYTES_MIN
    const unreadError = () => new RingdError('OVERLOADED', 'the peer sends requests and does not read the answers')
    this.answers = new StallWatch(clock, {
      periodMs: readStallMs,
      isWaiting: () => unread() > 0,
      progress,
      onStall: () => fail(unreadError())
    })
    this.largeAnswers = new StallWatch(clock, {
      periodMs: CONTENDED_STALL_MS,
      isWaiting: () => unread() >= LARGE_BYTES_MIN,
      progress,
      onStall: () => {
        if (isContended()) fail(unreadError())
        else this.largeAnswers.watch()
      }
    })
  }

  received(bytes: number): void {
    this.receivedBytes += bytes
  }

  packetRead(): void {
    this.packetsRead++
  }

  sent(bytes: number): void {
    this.sentBytes += bytes
  }

  /** Call it when a packet may have begun. */
  watchPackets(): void {
    if (this.options.awaitsPacket()) this.packets.watch()
  }

  /** This side has held up the packets of the other end until now. */
  readsAgain(): void {
    this.packets.restart()
  }

  /** Call it when what the other end has not read may have changed. `unreadBytes`: as `unread` tells. */
  watchAnswers(unreadBytes: number): void {
    const hasUnread = unreadBytes > 0
    if (hasUnread && this.options.readStallMs > 0) this.answers.watch()
    if (unreadBytes >= LARGE_BYTES_MIN && this.options.readStallMs > 0) this.largeAnswers.watch()
    if (!hasUnread && this.hadUnread) this.timesEmptied++
    this.hadUnread = hasUnread
  }

  stop(): void {
    this.packets.stop()
    this.answers.stop()
    this.largeAnswers.stop()
  }
}
