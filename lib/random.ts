// The seam for randomness: the daemon feeds it from the system, the simulator from a seed.

export interface Random {
  /** Uniform in [0, 1). For jitter and choices, never for secrets. */
  next(): number
  /** `length` unpredictable bytes, for ids. */
  bytes(length: number): Uint8Array
}

/** Uniform integer in [0, bound). */
export function below(random: Random, bound: number): number {
  return Math.floor(random.next() * bound)
}

/** One element, or undefined of an empty list. */
export function pick<T>(random: Random, list: readonly T[]): T | undefined {
  return list[below(random, list.length)]
}

/** `count` different elements in random order; all of them when there are not so many. */
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
