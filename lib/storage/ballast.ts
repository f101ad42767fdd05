// The ballast: a file beside the store that takes up room while the disk has some, and is deleted when the store needs
// that room. Without it, another program that fills the disk would leave no byte for deletes, purges, records of the
// ring, and the opening of the store, so that the disk could not be emptied through ringd again.
// The file holds no data. It is not synced: a crash may shorten it, and it is filled again.
// Must not throw: a peer without ballast serves as well.
import { rm, stat } from 'node:fs/promises'
import { MiB } from '../limits.js'
import { openNewFile } from './private-files.js'

/** Enough to open a store whose logs are as long as they become (two write buffers). */
export const BALLAST_BYTES = 32 * MiB
const PIECE_BYTES = MiB

export class Ballast {
  readonly #path: string
  readonly #bytesMax: number
  #held: number
  #isChanging = false

  private constructor(path: string, bytesMax: number, held: number) {
    this.#path = path
    this.#bytesMax = bytesMax
    this.#held = held
  }

  /** Finds what an earlier process has left of it; makes nothing. */
  static async open(path: string, bytesMax = BALLAST_BYTES): Promise<Ballast> {
    const found = await stat(path).catch(() => undefined)
    return new Ballast(path, bytesMax, Math.min(found?.size ?? 0, bytesMax))
  }

  /** The bytes that the file takes up now. */
  get held(): number {
    return this.#held
  }

  /** The bytes that `fill` would still take. */
  get lacking(): number {
    return this.#bytesMax - this.#held
  }

  /** Takes up the room, unless it is held already. Leaves the disk as it was when it has not enough room. */
  async fill(): Promise<void> {
    if (this.#isChanging || this.lacking === 0) return
    this.#isChanging = true
    try {
      this.#held = (await this.#write()) ? this.#bytesMax : 0
    } finally {
      this.#isChanging = false
    }
  }

  /** Gives the room back. */
  async release(): Promise<void> {
    if (this.#isChanging) return
    this.#isChanging = true
    try {
      await rm(this.#path, { force: true }).catch(() => {})
      this.#held = 0
    } finally {
      this.#isChanging = false
    }
  }

  /** Bytes that no file system can compress away. False when the disk does not take them. */
  async #write(): Promise<boolean> {
    const piece = incompressible(PIECE_BYTES)
    try {
      const file = await openNewFile(this.#path)
      try {
        for (let at = 0; at < this.#bytesMax; at += piece.length) {
          await file.writeFile(piece.subarray(0, Math.min(piece.length, this.#bytesMax - at)))
        }
      } finally {
        await file.close()
      }
      return true
    } catch {
      await rm(this.#path, { force: true }).catch(() => {})
      return false
    }
  }
}

/** Source: Marsaglia, "Xorshift RNGs", 2003. */
function incompressible(length: number): Uint8Array {
  const words = new Uint32Array(length / 4)
  let state = 0x9e3779b9
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[at] = state
  }
  return new Uint8Array(words.buffer)
}
