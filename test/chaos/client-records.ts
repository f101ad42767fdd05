// The records of a client process: one line of JSON for each attempt of an operation. Times are ms of the machine's
// monotonic clock since the origin of the campaign, so that records of different processes can be compared.
// Invariant: `begin` is taken before the request is sent, `end` after its answer has arrived.
import { readFileSync } from 'node:fs'
import type { Answer, Check, Step } from '../sim/checkers/linearizability/operations.js'

/**
 * ok: the operation succeeded. refused: the daemon answered with an error, or the request was never sent; it takes no
 * effect any more. unknown: it may take effect at any time, or never.
 */
export type Outcome = 'ok' | 'refused' | 'unknown'

export interface Attempt {
  /** Names the operation within its client process; repeated attempts of one operation share it. */
  readonly operation: number
  readonly client: number
  /** The daemon that got the request. */
  readonly node: string
  readonly kind: 'put' | 'get' | 'delete' | 'update'
  /** For an update of several keys: one of them. */
  readonly key: string
  readonly value?: string | undefined
  /** The expiry of a put, on the scale of `begin`. */
  readonly expiresAt?: number | undefined
  readonly begin: number
  /** Null: the campaign ended before there was an answer. */
  readonly end: number | null
  readonly outcome: Outcome
  /** The code of the error, or the first words of its message. */
  readonly error?: string | undefined
  /** The value that a get found. */
  readonly found?: string | undefined
  /** Whether a delete found a value. */
  readonly existed?: boolean | undefined
  /** What an update asked; an expiry of it is on the scale of `begin`. */
  readonly steps?: readonly Omit<Step, 'answer'>[] | undefined
  readonly checks?: readonly Check[] | undefined
  /** What an update was told. */
  readonly answers?: readonly Answer[] | undefined
  readonly checksHeld?: boolean | undefined
}

/** All keys that it reads or writes. */
export function keysOf({ key, steps = [] }: Attempt): string[] {
  return [...new Set([key, ...steps.map((step) => step.key)])]
}

const NS_PER_MS = 1e6

/** Ms since `originNs`, a value of `process.hrtime.bigint()` of any process on this machine. */
export function elapsedSince(originNs: bigint): number {
  return Number(process.hrtime.bigint() - originNs) / NS_PER_MS
}

/** A value of a counter. A counter is a key with one writer, which puts 1, 2, 3... */
export function counterValue(key: string, number: number): string {
  return `${key}=${number}`
}

/** Reads the records of one process. Throws when the file is damaged: its process did not end properly. */
export function readRecords(file: string): Attempt[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
}
