// What a client process writes down: one line of JSON for each attempt of an operation. Times are ms of the machine's
// monotonic clock since an origin that all processes of a campaign share, so that they can be compared.
// Invariant: `begin` is taken before the request leaves, `end` after its answer is there.
import { readFileSync } from 'node:fs'

/**
 * ok: it was answered. refused: an error was answered, or it was never sent; whoever was asked does nothing more about
 * it. unknown: it may take effect at any time, or never.
 */
export type Outcome = 'ok' | 'refused' | 'unknown'

export interface Attempt {
  /** Names the operation within its client process; attempts to do the same thing share it. */
  readonly operation: number
  readonly client: number
  /** The daemon that was asked. */
  readonly node: string
  readonly kind: 'put' | 'get' | 'delete'
  readonly key: string
  readonly value?: string | undefined
  /** When a value that was put expires, on the scale of `begin`. */
  readonly expiresAt?: number | undefined
  readonly begin: number
  /** Null: the campaign ended before there was an answer. */
  readonly end: number | null
  readonly outcome: Outcome
  /** The code, or the first words, of what went wrong. */
  readonly error?: string | undefined
  /** What a get found. */
  readonly found?: string | undefined
  /** What a delete found. */
  readonly existed?: boolean | undefined
}

const NS_PER_MS = 1e6

/** Ms since `originNs`, which is `process.hrtime.bigint()` of some process of this machine. */
export function elapsedSince(originNs: bigint): number {
  return Number(process.hrtime.bigint() - originNs) / NS_PER_MS
}

/** Of a counter: a key with one writer, which puts 1, 2, 3... */
export function counterValue(key: string, number: number): string {
  return `${key}=${number}`
}

/** Throws when the file is cut or damaged: its process has not ended as it should. */
export function readRecords(file: string): Attempt[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
}
