// The result of a campaign: as data, and as lines for people. Pure.

import { describe } from '../sim/checkers/linearizability/operations.js'
import { median } from './availability.js'
import type { Attempt } from './client-records.js'
import type { ChaosViolation } from './judge-histories.js'
import { FAULT_KINDS, type FaultKind } from './plan-generator.js'

export interface FaultRecord {
  readonly index: number
  readonly kind: FaultKind
  readonly victims: readonly string[]
  /** Ms since the campaign began. */
  begin: number
  end: number | undefined
}

export interface FaultFigures {
  readonly count: number
  /** From the start of the fault until an operation through every living daemon had succeeded. */
  readonly withoutServiceMsMedian: number
  readonly withoutServiceMsWorst: number
  /** From the end of the fault until its victims served again. */
  readonly backMsMedian: number
  readonly backMsWorst: number
  /** Of the atomic operations that began during these faults, the share whose outcome is unknown. */
  readonly unknownShare: number
}

export interface ChaosReport {
  readonly seed: number
  readonly minutes: number
  readonly members: number
  readonly network: boolean
  /** Kinds that this machine cannot perform, with the reason. */
  readonly unavailable: Readonly<Record<string, string>>
  readonly operations: {
    readonly asked: number
    readonly ok: number
    readonly refused: number
    readonly unknown: number
    /** Failed operations by error. */
    readonly errors: Readonly<Record<string, number>>
  }
  /** Atomic operations, by what their keys are for. */
  readonly atomic: Readonly<Record<string, { ok: number; refused: number; unknown: number }>>
  readonly faults: Readonly<Record<string, FaultFigures>>
  /** Steps that were not performed, by reason. */
  readonly skipped: Readonly<Record<string, number>>
  readonly disks: { readonly copies: number; readonly lagging: number }
  readonly violations: readonly ChaosViolation[]
  /** Groups of keys whose histories are too wide for the check for linearizability. */
  readonly unchecked: number
  /** The folder in which histories, logs and data are kept after a violation. */
  readonly kept: string | undefined
}

export function countOutcomes(attempts: readonly Attempt[]): ChaosReport['operations'] {
  const counts = { ok: 0, refused: 0, unknown: 0 }
  const errors: Record<string, number> = {}
  for (const { outcome, error } of attempts) {
    counts[outcome] += 1
    if (outcome !== 'ok') errors[error ?? 'no answer'] = (errors[error ?? 'no answer'] ?? 0) + 1
  }
  return { asked: attempts.length, ...counts, errors }
}

export function countAtomic(attempts: readonly Attempt[]): ChaosReport['atomic'] {
  const counts: Record<string, { ok: number; refused: number; unknown: number }> = {}
  for (const { kind, key, outcome } of attempts) {
    const name = kind === 'update' ? /atomic-(\w+)/.exec(key)?.[1] : undefined
    if (name === undefined) continue
    counts[name] ??= { ok: 0, refused: 0, unknown: 0 }
    counts[name][outcome] += 1
  }
  return counts
}

/** For each fault: of the atomic operations that began during it, the share whose outcome is unknown. */
export function unknownShares(
  faults: readonly FaultRecord[],
  attempts: readonly Attempt[],
  until: number
): { readonly unknown: number; readonly asked: number }[] {
  const updates = attempts.filter(({ kind }) => kind === 'update')
  return faults.map(({ begin, end = until }) => {
    const during = updates.filter((attempt) => attempt.begin >= begin && attempt.begin <= end)
    return { asked: during.length, unknown: during.filter(({ outcome }) => outcome === 'unknown').length }
  })
}

/** `without` and `back`: times of each fault, ms. */
export function figuresOf(
  faults: readonly FaultRecord[],
  without: readonly number[],
  back: readonly number[],
  unknown: ReturnType<typeof unknownShares>
): ChaosReport['faults'] {
  const figures: Record<string, FaultFigures> = {}
  for (const kind of FAULT_KINDS) {
    const isOfKind = (_: unknown, index: number) => faults[index]?.kind === kind
    const times = without.filter(isOfKind)
    const returns = back.filter(isOfKind)
    if (times.length === 0) continue
    const during = unknown.filter(isOfKind)
    const total = (pick: (one: (typeof during)[number]) => number) => during.reduce((sum, one) => sum + pick(one), 0)
    const asked = total((one) => one.asked)
    figures[kind] = {
      count: times.length,
      withoutServiceMsMedian: Math.round(median(times)),
      withoutServiceMsWorst: Math.round(Math.max(...times)),
      backMsMedian: Math.round(median(returns)),
      backMsWorst: Math.round(Math.max(...returns)),
      unknownShare: asked === 0 ? 0 : total((one) => one.unknown) / asked
    }
  }
  return figures
}

export function render(report: ChaosReport): string {
  const { operations: asked, disks, violations, kept } = report
  const width = Math.max(...FAULT_KINDS.map(({ length }) => length))
  const rows = Object.entries(report.faults).map(([kind, figures]) => {
    const { count, withoutServiceMsMedian: middle, withoutServiceMsWorst: worst } = figures
    const times = [middle, worst, figures.backMsMedian, figures.backMsWorst].map(seconds).join(' ')
    const unknown = `${(100 * figures.unknownShare).toFixed(2)} %`.padStart(9)
    return `  ${kind.padEnd(width)} ${String(count).padStart(5)} ${times} ${unknown}`
  })
  const lines = [
    `seed        ${report.seed}, ${report.members} members, ${report.minutes} minutes`,
    `operations  ${asked.asked} asked, ${asked.ok} ok, ${asked.refused} refused, ${asked.unknown} unknown`,
    `            ${list(asked.errors)}`,
    ...Object.entries(report.atomic).map(([name, counts]) => `atomic      ${name}: ${list(counts)}`),
    `  ${''.padEnd(width)}         without service      victims back, s    unknown`,
    `  ${'fault'.padEnd(width)} count   median    worst   median    worst   (atomic)`,
    ...rows,
    `skipped     ${list(report.skipped)}`,
    `unavailable ${list(report.unavailable)}`,
    `disks       ${disks.copies} copies of the keys that were read last, ${disks.lagging} of them are older or missing`,
    `violations  ${violations.length}`,
    ...(report.unchecked > 0 ? [`unchecked   ${report.unchecked} groups of keys: too many operations overlap`] : [])
  ]
  for (const { rule, at, text, excerpt } of violations) {
    lines.push(`BROKEN      ${rule} at ${(at / 1000).toFixed(3)} s: ${text}`, ...excerpt.map(lineOf))
  }
  if (kept !== undefined) lines.push(`kept        ${kept}`)
  return lines.join('\n')
}

/** One attempt of a history. */
function lineOf(attempt: Attempt): string {
  const { begin, end, client, node, kind, key, value, outcome, error, found, existed } = attempt
  const until = end === null ? 'never' : (end / 1000).toFixed(4)
  const asked = kind === 'update' ? describeUpdate(attempt) : `${kind} ${key}${value === undefined ? '' : ` ${value}`}`
  const said =
    kind === 'get' ? ` ${found ?? 'nothing'}` : existed === undefined ? '' : existed ? ' existed' : ' nothing'
  const answer = outcome === 'ok' ? `ok${said}` : `${outcome} ${error ?? ''}`
  return `    ${(begin / 1000).toFixed(4)} - ${until} client ${client} through ${node}: ${asked}: ${answer}`
}

function describeUpdate({ operation, begin, end, steps = [], answers = [], checks, checksHeld }: Attempt): string {
  const told = steps.map((step, index) => ({ ...step, answer: answers[index] }))
  const times = { begin, end: end ?? Number.POSITIVE_INFINITY }
  return describe({ name: `operation ${operation}`, ...times, steps: told, checks, checksHeld })
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2).padStart(8)
}

function list(counts: Readonly<Record<string, number | string>>): string {
  const all = Object.entries(counts).map(([name, count]) => `${name} ${count}`)
  return all.length === 0 ? 'none' : all.join(', ')
}
