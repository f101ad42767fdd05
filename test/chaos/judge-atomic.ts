// What users of atomic operations rely on, checked directly on the histories of their clients, beside linearizability:
//   - No lock is held twice. A client holds a lock from the answer that gave it until it begins to release it, or until it
//     may have expired.
//   - Money between two keys of a group stays the same.
//   - A value of a chain is replaced once, and a count is given once.
// Pure: attempts in, violations out. Also tells what was not checked because the daemons do not know the commands.
import { ATOMIC_KINDS, type AtomicKind, LOCK_TTL_MS } from './atomic-clients.js'
import type { Attempt } from './client-records.js'
import { UNKNOWN_COMMAND } from './redis-link.js'

export interface AtomicViolation {
  readonly at: number
  readonly rule: string
  readonly text: string
}

interface Held {
  readonly attempt: Attempt
  readonly from: number
  readonly until: number
}

/** A lock may expire this much before its time: clocks differ, and they are read at different moments. */
const EARLY_MS = 100

export function judgeAtomic(attempts: readonly Attempt[]): AtomicViolation[] {
  const updates = attempts.filter(({ kind, outcome }) => kind === 'update' && outcome === 'ok')
  return [...lockViolations(updates), ...sumViolations(updates), ...repeatViolations(updates)]
}

/** Kinds of atomic clients whose commands the daemons do not know. */
export function unknownKinds(attempts: readonly Attempt[]): AtomicKind[] {
  const unknown = attempts.filter(({ kind, error }) => kind === 'update' && error === UNKNOWN_COMMAND)
  const kinds = new Set(unknown.map(({ key }) => kindOf(key)))
  return ATOMIC_KINDS.filter((kind) => kinds.has(kind))
}

function kindOf(key: string): AtomicKind | undefined {
  return ATOMIC_KINDS.find((kind) => key.includes(`atomic-${kind}-`))
}

function lockViolations(updates: readonly Attempt[]): AtomicViolation[] {
  const violations: AtomicViolation[] = []
  const locks = updates.filter(({ key }) => kindOf(key) === 'lock')
  for (const [key, list] of Map.groupBy(locks, (attempt) => attempt.key)) {
    const held = list.flatMap((attempt) => heldBy(attempt, list)).sort((one, other) => one.from - other.from)
    let longest: Held | undefined
    for (const one of held) {
      if (longest !== undefined && one.from < longest.until) {
        const both = `client ${longest.attempt.client} from ${ms(longest.from)} to ${ms(longest.until)} ms`
        const text = `${key} was held by ${both} and by client ${one.attempt.client} from ${ms(one.from)} ms`
        violations.push({ at: one.from, rule: 'locks', text })
      }
      if (longest === undefined || one.until > longest.until) longest = one
    }
  }
  return violations
}

function heldBy(attempt: Attempt, list: readonly Attempt[]): Held[] {
  const action = attempt.steps?.[0]?.action
  if (action?.kind !== 'put' || attempt.answers?.[0]?.done !== true || attempt.end === null) return []
  const release = list.find(({ client, begin, steps }) => {
    return client === attempt.client && begin > attempt.begin && steps?.[0]?.action.kind === 'delete'
  })
  const until = Math.min(attempt.begin + LOCK_TTL_MS - EARLY_MS, release?.begin ?? Number.POSITIVE_INFINITY)
  return [{ attempt, from: attempt.end, until }]
}

function sumViolations(updates: readonly Attempt[]): AtomicViolation[] {
  const violations: AtomicViolation[] = []
  for (const attempt of updates) {
    if (kindOf(attempt.key) !== 'bank' || attempt.answers?.length !== 2) continue
    const values = attempt.answers.map(({ found, value }) => Number(found ?? value ?? 0))
    const sum = values.reduce((total, value) => total + value, 0)
    if (sum === 0) continue
    const text = `client ${attempt.client} saw ${values.join(' and ')} in ${attempt.key}, which do not add up to 0`
    violations.push({ at: attempt.end ?? attempt.begin, rule: 'money', text })
  }
  return violations
}

function repeatViolations(updates: readonly Attempt[]): AtomicViolation[] {
  const violations: AtomicViolation[] = []
  const first = new Map<string, Attempt>()
  for (const attempt of updates.toSorted((one, other) => one.begin - other.begin)) {
    const { key, client, end, begin } = attempt
    const kind = kindOf(key)
    const [step] = attempt.steps ?? []
    const [answer] = attempt.answers ?? []
    const isCount = kind === 'counter' && step?.action.kind === 'incr'
    const isLink = kind === 'chain' && step?.action.kind === 'put'
    const told = isCount ? answer?.value : isLink ? (answer?.found ?? undefined) : undefined
    if (told === undefined) continue
    const other = first.get(`${key} ${told}`)
    first.set(`${key} ${told}`, attempt)
    if (other === undefined) continue
    const text = `${told} of ${key} was given to client ${other.client} and to client ${client}`
    violations.push({ at: end ?? begin, rule: isCount ? 'counts' : 'chains', text })
  }
  return violations
}

function ms(time: number): number {
  return Math.round(time)
}
