// Large packets of one link are read piece by piece, each in a turn of large work, so that nobody's large packets keep
// small ones waiting. The stream is paused between the pieces.
import type { LargeWork } from '../large-work.js'
import { KiB } from '../limits.js'
import { PACKET_BYTES_SOFT } from './packet-writer.js'

/** A packet without a large frame is not longer: many small requests of one turn are no large work. */
const SMALL_FRAMES_BYTES_MAX = PACKET_BYTES_SOFT + 64 * KiB

export class PacketPieces {
  private readonly largeWork: LargeWork | undefined
  private readonly pieceBytes: number
  private readonly onTurn: () => boolean
  private bytes = 0
  private waiting = false

  /** `onTurn`: the link may read on; false when it has ended. `largeWork` left out: it always may. */
  constructor(largeWork: LargeWork | undefined, pieceBytes: number, onTurn: () => boolean) {
    this.largeWork = largeWork
    this.pieceBytes = pieceBytes
    this.onTurn = onTurn
  }

  /** The link must not read on now. */
  get isWaiting(): boolean {
    return this.waiting
  }

  /** Bytes of a packet have arrived, which will have `packetBytes`. */
  add(bytes: number, packetBytes: number): void {
    if (packetBytes <= SMALL_FRAMES_BYTES_MAX) return
    this.bytes += bytes
    if (this.largeWork === undefined || this.bytes < this.pieceBytes || this.waiting) return
    this.bytes = 0
    this.waiting = true
    this.largeWork.begin(() => {
      this.waiting = false
      return this.onTurn()
    })
  }
}
