// The window updates that one muxer sends, fewer than yamux makes them. yamux tells the other end of every frame that
// was read, also of one with a few bytes. Each update is encrypted, written and read by itself, so it costs both ends
// as much as a small request. Updates of one stream add up, and the sum of several says the same.
// Source: the yamux specification, "Flow Control": the length of a window update is a delta.
// Invariant: less than half a window of each stream is held back, so a sender that has used up its window has an update
// under way.

const HEADER_BYTES = 12
const TYPE_WINDOW_UPDATE = 1
/** Streams with held updates. Then all are sent, since a stream may have ended meanwhile. */
const STREAMS_MAX = 256

export class WindowUpdates {
  readonly #heldBytesMax: number
  readonly #held = new Map<number, number>()

  /** `windowBytes`: the smallest window of a stream. */
  constructor(windowBytes: number) {
    this.#heldBytesMax = windowBytes / 2
  }

  /**
   * Takes what the muxer sends next: one header, or a header with data. Returns the frames to send instead. O(1), but
   * once in STREAMS_MAX streams.
   */
  next<T extends { readonly length: number }>(frame: T): readonly (T | Uint8Array)[] {
    if (!(frame instanceof Uint8Array) || frame.length !== HEADER_BYTES || frame[1] !== TYPE_WINDOW_UPDATE)
      return [frame]
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
    // Updates with flags open, accept and end streams.
    if (view.getUint16(2) !== 0) return [frame]
    const stream = view.getUint32(4)
    const bytes = (this.#held.get(stream) ?? 0) + view.getUint32(8)
    if (bytes >= this.#heldBytesMax) {
      this.#held.delete(stream)
      return [windowUpdate(stream, bytes)]
    }
    this.#held.set(stream, bytes)
    if (this.#held.size < STREAMS_MAX) return []
    const all = Array.from(this.#held, ([id, held]) => windowUpdate(id, held))
    this.#held.clear()
    return all
  }
}

/** A header of yamux: version, type, flags, stream, and the bytes that the window grows by. */
function windowUpdate(stream: number, bytes: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES))
  view.setUint8(1, TYPE_WINDOW_UPDATE)
  view.setUint32(4, stream)
  view.setUint32(8, bytes)
  return new Uint8Array(view.buffer)
}
