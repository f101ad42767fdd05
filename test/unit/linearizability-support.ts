// Histories for the tests of the check for linearizability: short forms to write them by hand, random ones, and a naive
// checker beside the real one. The naive checker tries every order, with rules of its own, and is slow.
import { below, pick, type Random } from '../../lib/random.js'
import type { Action, Answer, Operation, Step } from '../sim/checkers/linearizability/operations.js'

const NEVER = Number.POSITIVE_INFINITY
let made = 0

/** An operation on one key, `k` unless the action is given with another. */
export function op(begin: number, end: number, action: Action, answer: Answer = {}, key = 'k'): Operation {
  return { name: `#${++made}`, begin, end, steps: [{ key, action, answer }] }
}

/** Its outcome is not known. */
export function lost(begin: number, action: Action, key = 'k'): Operation {
  return { ...op(begin, NEVER, action, undefined, key) }
}

export function group(begin: number, end: number, steps: readonly Step[], more: Partial<Operation> = {}): Operation {
  return { name: `#${++made}`, begin, end, steps, ...more }
}

export const get = { kind: 'get' } as const
export const remove = { kind: 'delete' } as const
export const incr = { kind: 'incr', by: 1 } as const

export function put(value: string, more: Omit<Action & { kind: 'put' }, 'kind' | 'value'> = {}): Action {
  return { kind: 'put', value, ...more }
}

export function add(value: string): Action {
  return { kind: 'append', value }
}

// ---------- the naive checker ----------

interface Held {
  readonly value: string
  readonly expiresAt: number
}

type Store = Readonly<Record<string, Held | undefined>>

/** Tries every order. For histories of a few operations. */
export function isLinearizableNaive(operations: readonly Operation[]): boolean {
  const go = (left: readonly Operation[], store: Store): boolean => {
    const firstEnd = Math.min(...left.map(({ end }) => end))
    if (firstEnd === NEVER) return true
    return left.some((one) => {
      if (one.begin > firstEnd) return false
      const others = left.filter((other) => other !== one)
      return resultsOf(store, one).some((next) => go(others, next))
    })
  }
  return go(operations, {})
}

function resultsOf(store: Store, { steps, checks = [], checksHeld = true, end, clock }: Operation): Store[] {
  const isKnown = end !== NEVER
  const times = isKnown && clock !== undefined ? clock : [-NEVER, NEVER]
  const views = (key: string): (Held | undefined)[] => {
    const held = store[key]
    if (held === undefined || held.expiresAt <= times[0]!) return [undefined]
    return held.expiresAt <= times[1]! && held.expiresAt < NEVER ? [held, undefined] : [held]
  }
  const holds = checks.map((check) =>
    views(check.key).map((held) => (held?.value ?? null) === ('value' in check && check.value))
  )
  if (!checksHeld) return holds.some((results) => results.includes(false)) ? [store] : []
  if (!holds.every((results) => results.includes(true))) return []
  let stores: Store[] = [store]
  for (const { key, action, answer } of steps) {
    stores = stores.flatMap((one) => {
      const held = one[key]
      const readings: (Held | undefined)[] = [held]
      if (held !== undefined && held.expiresAt <= times[1]! && held.expiresAt < NEVER) readings.push(undefined)
      if (held !== undefined && held.expiresAt <= times[0]!) readings.shift()
      return readings.flatMap((read) => {
        const [after, told] = perform(action, read)
        const isFine = !isKnown || Object.entries(answer ?? {}).every(([name, said]) => isSame(told, name, said))
        return isFine ? [after === 'same' ? one : { ...one, [key]: after }] : []
      })
    })
  }
  return stores
}

function isSame(told: Answer, name: string, said: unknown): boolean {
  if (said === undefined) return true
  return said === (name === 'isUnfit' ? (told.isUnfit ?? false) : told[name as keyof Answer])
}

function perform(action: Action, held: Held | undefined): [Held | undefined | 'same', Answer] {
  const found = held?.value ?? null
  const expiresAt = held === undefined || held.expiresAt === NEVER ? null : held.expiresAt
  const old = held?.expiresAt ?? NEVER
  switch (action.kind) {
    case 'get':
      return ['same', { found, done: true, expiresAt }]
    case 'put': {
      const isRefused = action.only === (held === undefined ? 'present' : 'absent')
      if (isRefused) return ['same', { found, done: false }]
      return [
        { value: action.value, expiresAt: action.keepsExpiry ? old : (action.expiresAt ?? NEVER) },
        { found, done: true }
      ]
    }
    case 'delete':
      return held === undefined ? ['same', { found, done: false }] : [undefined, { found, done: true }]
    case 'incr': {
      if (!/^-?\d+$/.test(held?.value ?? '0')) return ['same', { found, done: false, isUnfit: true }]
      const value = String(Number(held?.value ?? 0) + action.by)
      return [
        { value, expiresAt: old },
        { found, done: true, value }
      ]
    }
    case 'append': {
      const value = (held?.value ?? '') + action.value
      return [
        { value, expiresAt: old },
        { found, done: true, length: value.length }
      ]
    }
    case 'expire':
      if (held === undefined) return ['same', { found, done: false }]
      return [
        { ...held, expiresAt: action.expiresAt },
        { found, done: true }
      ]
    case 'persist':
      if (held === undefined || old === NEVER) return ['same', { found, done: false }]
      return [
        { ...held, expiresAt: NEVER },
        { found, done: true }
      ]
  }
}

// ---------- random histories ----------

export interface Shape {
  readonly operations: number
  readonly clients: number
  readonly keys: readonly string[]
  /** One in this number has an unknown outcome; it may or may not take effect, at any later time. */
  readonly unknownOneIn: number
  /** One in this number is a group; 0: none. */
  readonly groupOneIn: number
  readonly expires: boolean
  /** Whether every value is put once. Otherwise values are few. */
  readonly isUnique: boolean
  /** Actions to draw from. */
  readonly kinds?: readonly Action['kind'][]
}

const KINDS: readonly Action['kind'][] = ['get', 'get', 'put', 'put', 'delete', 'incr', 'append', 'expire', 'persist']

interface Drawn {
  readonly begin: number
  readonly effect: number
  readonly end: number
  readonly isUnknown: boolean
  readonly steps: readonly Step[]
  readonly checks: Operation['checks']
}

/** A history of a correct store. Its clock shows the time of the effect. */
export function correctHistory(random: Random, shape: Shape): Operation[] {
  const drawn = draw(random, shape).sort((one, other) => one.effect - other.effect)
  let store: Store = {}
  const operations = drawn.map(({ begin, effect, end, isUnknown, steps, checks = [] }): Operation => {
    const wide = random.next() < 0.2 ? random.next() : 0
    const clock = [effect - wide, effect + wide] as const
    const view = (key: string) => (store[key] !== undefined && store[key].expiresAt > effect ? store[key] : undefined)
    const checksHeld = checks.every((check) => (view(check.key)?.value ?? null) === ('value' in check && check.value))
    const name = `#${++made}`
    if (effect === NEVER) return { name, begin, end: NEVER, steps, checks, clock: [begin, NEVER] }
    const told = steps.map((step): Step => {
      if (!checksHeld) return step
      const [after, answer] = perform(step.action, view(step.key))
      if (after !== 'same') store = { ...store, [step.key]: after }
      return {
        ...step,
        answer: random.next() < 0.3 ? { done: answer.done, value: answer.value, isUnfit: answer.isUnfit } : answer
      }
    })
    if (isUnknown) return { name, begin, end: NEVER, steps, checks, clock: [begin, NEVER] }
    return { name, begin, end, steps: told, checks, checksHeld, clock }
  })
  return operations.sort((one, other) => one.begin - other.begin)
}

function draw(random: Random, shape: Shape): Drawn[] {
  const { operations, clients, unknownOneIn, groupOneIn } = shape
  const free = Array.from({ length: clients }, () => random.next())
  return Array.from({ length: operations }, () => {
    const client = below(random, clients)
    const begin = free[client]! + random.next()
    const isUnknown = unknownOneIn > 0 && below(random, unknownOneIn) === 0
    const effect = isUnknown && random.next() < 0.5 ? NEVER : begin + random.next() * (isUnknown ? 10 : 1)
    const end = effect + random.next()
    free[client] = isUnknown ? begin + 1 : end
    const isGroup = groupOneIn > 0 && below(random, groupOneIn) === 0
    const count = isGroup ? 1 + below(random, 3) : 1
    const steps = Array.from({ length: count }, () => ({
      key: pick(random, shape.keys)!,
      action: drawAction(random, begin, shape)
    }))
    const hasChecks = isGroup && random.next() < 0.5
    const checks = hasChecks ? [{ key: pick(random, shape.keys)!, value: pick(random, [null, '1', 'a'])! }] : []
    return { begin, effect, end, isUnknown, steps, checks }
  })
}

function drawAction(random: Random, begin: number, { expires, isUnique, kinds = KINDS }: Shape): Action {
  const kind = pick(random, kinds)!
  const value = isUnique ? `v${++made};` : pick(random, ['a', 'b', '1', '2'])!
  const expiresAt = begin + 4 * random.next()
  switch (kind) {
    case 'put': {
      const only = pick(random, [undefined, undefined, 'absent', 'present'] as const)
      const expiry = expires && random.next() < 0.5 ? { expiresAt } : {}
      return { kind, value, only, ...expiry, keepsExpiry: expires && random.next() < 0.2 }
    }
    case 'incr':
      return { kind, by: pick(random, [1, 1, 2])! }
    case 'append':
      return { kind, value }
    case 'expire':
      return expires ? { kind, expiresAt } : get
    default:
      return { kind }
  }
}

/** The history with one answer changed; often it is broken then. Undefined when there is no answer to change. */
export function changed(random: Random, operations: readonly Operation[]): Operation[] | undefined {
  const others = operations.flatMap(({ steps }) =>
    steps.flatMap(({ answer }) => (answer === undefined ? [] : [answer]))
  )
  const known = operations.filter(({ end, checksHeld }) => end !== NEVER && checksHeld !== false)
  const victim = pick(random, known)
  if (victim === undefined) return undefined
  const at = below(random, victim.steps.length)
  const steps = victim.steps.map((step, index) => {
    return index === at
      ? { ...step, answer: { ...step.answer, ...changeOf(random, pick(random, others) ?? {}) } }
      : step
  })
  return operations.map((one) => (one === victim ? { ...one, steps } : one))
}

function changeOf(random: Random, other: Answer): Answer {
  if (random.next() < 0.2) return { done: random.next() < 0.5 }
  if (random.next() < 0.3 && other.value !== undefined) return { value: other.value }
  return { found: other.found ?? null }
}
