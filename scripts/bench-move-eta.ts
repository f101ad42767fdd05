// How good the time left is that `ringd status` tells during a move, against what it then took. Pure.
import { markdown, shown } from './bench-statistics.js'

/** What the joiner's status told at one moment of the move. */
export interface TimeTold {
  /** Ms since the joiner serves. */
  readonly at: number
  /** Ms until everything is copied; null: unknown. */
  readonly etaMs: number | null
  /** Bytes that were left; null: unknown. */
  readonly bytes: number | null
}

export interface EtaRow {
  /** The share of the bytes that had come. */
  readonly progress: number
  readonly at: number
  readonly toldMs: number | null
  readonly trueMs: number
  /** Told minus true, as a share of the true one. Undefined: nothing was told. */
  readonly error: number | undefined
}

/** Shares of the move at which the told time is compared. */
const STEPS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]

/** One row for each step: the first moment at which so much had come. `endsAt`: when nothing was left. */
export function etaRows(told: readonly TimeTold[], endsAt: number): EtaRow[] {
  const most = Math.max(0, ...told.map(({ bytes }) => bytes ?? 0))
  const begun = told.findIndex(({ bytes }) => bytes === most)
  const rows: EtaRow[] = []
  for (const step of STEPS) {
    const isReached = ({ bytes, at }: TimeTold) =>
      bytes !== null && bytes <= Math.round(most * (1 - step)) && at < endsAt
    const found = told.slice(begun).find(isReached)
    if (found === undefined) continue
    const trueMs = endsAt - found.at
    const error = found.etaMs === null ? undefined : (found.etaMs - trueMs) / trueMs
    rows.push({ progress: 1 - found.bytes! / most, at: found.at, toldMs: found.etaMs, trueMs, error })
  }
  return rows
}

/** As a table; the largest error of a row is in the last line. */
export function etaTable(rows: readonly EtaRow[]): string {
  const share = (value: number | undefined) => (value === undefined ? '-' : `${shown(value * 100, 0)} %`)
  const cells = rows.map(({ progress, at, toldMs, trueMs, error }) => [
    share(progress),
    shown(at / 1000, 1),
    toldMs === null ? '-' : shown(toldMs / 1000, 1),
    shown(trueMs / 1000, 1),
    share(error)
  ])
  const errors = rows.map(({ error }) => Math.abs(error ?? Number.POSITIVE_INFINITY))
  const largest = errors.length === 0 ? undefined : Math.max(...errors)
  const table = markdown(['copied', 's', 'told, s left', 'true, s left', 'error'], cells)
  return `${table}\nlargest error: ${share(largest)}`
}
