// Random draws from a seed, and mutations of bytes. The same seed gives the same draws, so an attack can be repeated.

export interface Draws {
  /** A number in [0, 1). */
  next(): number
  /** A whole number in [0, below). */
  below(below: number): number
  pick<T>(items: readonly T[]): T
  bytes(length: number): Uint8Array<ArrayBuffer>
}

export function drawsOf(seed: number): Draws {
  let state = seed >>> 0
  // Source: mulberry32, Tommy Ettinger 2017.
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (bound: number) => Math.floor(next() * bound)
  return {
    next,
    below,
    pick: (items) => items[below(items.length)]!,
    bytes: (length) => Uint8Array.from({ length }, () => below(256))
  }
}

const CHANGES_MAX = 6
/** Bytes that are special in lengths, tags and text. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x0d, 0x24, 0x2a]

/** A copy of `bytes` with one to six changes: set, flip, drop, insert, repeat a part, cut the end. */
export function mutate(bytes: Uint8Array, draws: Draws): Uint8Array<ArrayBuffer> {
  let changed = Buffer.from(bytes)
  for (let turns = 1 + draws.below(CHANGES_MAX); turns > 0; turns--) {
    if (changed.length === 0) return Uint8Array.from(EDGES)
    const at = draws.below(changed.length)
    const kind = draws.below(6)
    if (kind === 0) changed[at] = draws.pick(EDGES)
    else if (kind === 1) changed[at] = changed[at]! ^ (1 << draws.below(8))
    else if (kind === 2) changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1 + draws.below(4))])
    else if (kind === 3) {
      changed = Buffer.concat([changed.subarray(0, at), Buffer.from([draws.below(256)]), changed.subarray(at)])
    } else if (kind === 4) {
      const part = changed.subarray(at, at + 64)
      changed = Buffer.concat([changed.subarray(0, at), part, part, changed.subarray(at + part.length)])
    } else changed = Buffer.from(changed.subarray(0, at))
  }
  return new Uint8Array(changed)
}

/** Numbers at the edges of the types of wire.proto, and of what they mean: slots, views, seconds, ms. */
const EDGE_NUMBERS = [0, 1, 2, 5, 16_383, 16_384, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]
/** One field in this number is changed. */
const CHANGED_ONE_IN = 4
const REPEATED_MAX = 40

/** A copy of a message in which some fields have other values of their type, so that its encoding is still valid. */
export function vary<T>(message: T, draws: Draws): T {
  return varied(message, draws) as T
}

function varied(value: unknown, draws: Draws): unknown {
  const isChanged = draws.below(CHANGED_ONE_IN) === 0
  if (value instanceof Uint8Array) return isChanged ? variedBytes(value, draws) : value
  if (Array.isArray(value)) {
    const items = value.map((item) => varied(item, draws))
    if (!isChanged || items.length === 0) return items
    const times = draws.below(REPEATED_MAX)
    return Array.from({ length: times }, (_, at) => items[at % items.length])
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, content]) => [name, varied(content, draws)]))
  }
  if (!isChanged) return value
  if (typeof value === 'number') return draws.pick(EDGE_NUMBERS)
  if (typeof value === 'boolean') return !value
  if (typeof value === 'string') return Buffer.from(draws.bytes(draws.below(200))).toString('latin1')
  return value
}

function variedBytes(bytes: Uint8Array, draws: Draws): Uint8Array<ArrayBuffer> {
  const kind = draws.below(4)
  if (kind === 0) return new Uint8Array(0)
  if (kind === 1) return draws.bytes(bytes.length)
  if (kind === 2) return draws.bytes(draws.below(2000))
  return mutate(bytes, draws)
}
