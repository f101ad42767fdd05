// The seam for randomness. The daemon takes it from the system, the simulator from a seed.

export interface Random {
  /** A uniform number in [0, 1). For jitter and choices, never for secrets. */
  next(): number
  /** `length` unpredictable bytes, for ids. */
  bytes(length: number): Uint8Array
}

/** A uniform integer in [0, bound). */
export function below(random: Random, bound: number): number {
  return Math.floor(random.next() * bound)
}

/** A random element; undefined when the list is empty. */
export function pick<T>(random: Random, list: readonly T[]): T | undefined {
  return list[below(random, list.length)]
}

/** `count` different elements in random order; all elements when the list is shorter. */
export function sample<T>(random: Random, list: readonly T[], count: number): T[] {
  const pool = list.slice()
  const length = Math.min(count, pool.length)
  for (let at = 0; at < length; at++) {
    const other = at + below(random, pool.length - at)
    const taken = pool[other]!
    pool[other] = pool[at]!
    pool[at] = taken
  }
  return pool.slice(0, length)
}
