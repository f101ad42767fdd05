// One key at one moment, and what one action does to it. Pure.
// Several results are possible where the answer does not decide: whether a value had expired by a clock that was read
// at an unknown time, and whether an entry has a version of which nobody was told.
import type { Action, Answer, Check } from './operations.js'

/** An immutable state of one key. */
export interface Cell {
  /** undefined: absent. */
  readonly value: string | undefined
  readonly expiresAt: number | undefined
  /** undefined: nobody was told of it so far. */
  readonly version: string | undefined
  /** Different for different cells. */
  readonly text: string
}

/** What one action is performed with. */
export interface Given {
  readonly action: Action
  /** undefined: the outcome is unknown. */
  readonly answer: Answer | undefined
  readonly clock: readonly [number, number]
  /** The version of the entry that it makes, when it is known. */
  readonly makes: string | undefined
  /** The value of the entry with this version, when somebody was told. */
  readonly valueAt: (version: string) => string | undefined
}

/** The possible effects of an action on a value that is read. */
interface Effect {
  /** undefined: nothing changes. */
  readonly after: Cell | undefined
  readonly done: boolean
  readonly value?: string
  readonly length?: number
  readonly isUnfit?: boolean
}

const INTEGER = /^(?:0|-?[1-9]\d{0,18})$/
const INTEGER_MIN = -(2n ** 63n)
const INTEGER_MAX = 2n ** 63n - 1n
/** Texts of up to this length are integers that a number holds exactly. */
const EXACT_DIGITS = 15

export const EMPTY: Cell = { value: undefined, expiresAt: undefined, version: undefined, text: '-' }

export function cellOf(value: string, expiresAt: number | undefined, version: string | undefined): Cell {
  return { value, expiresAt, version, text: `${JSON.stringify(value)} ${expiresAt ?? ''} ${version ?? ''}` }
}

/** All cells that the action can leave behind, none of them twice; none: it cannot have been answered so. */
export function outcomes(held: Cell, given: Given): Cell[] {
  const { action, answer } = given
  const found: Cell[] = []
  for (const before of readings(held, given.clock)) {
    const bound = answer === undefined ? held : bind(held, before, answer, given)
    if (bound === undefined) continue
    for (const effect of effects(action, before, given)) {
      if (answer !== undefined && !agrees(effect, answer)) continue
      const after = effect.after ?? bound
      if (!found.some(({ text }) => text === after.text)) found.push(after)
    }
  }
  return found
}

/** How the cell may read, by a clock that shows times from `least` to `most`. */
function readings(held: Cell, [least, most]: readonly [number, number]): readonly Cell[] {
  const { value, expiresAt } = held
  if (value === undefined || (expiresAt !== undefined && expiresAt <= least)) return [EMPTY]
  return expiresAt === undefined || expiresAt > most ? [held] : [held, EMPTY]
}

/** The held cell, with all that the answer tells of it; undefined: the answer contradicts it. */
function bind(held: Cell, before: Cell, { found, expiresAt, version }: Answer, given: Given): Cell | undefined {
  if (found !== undefined && (before.value ?? null) !== found) return undefined
  if (expiresAt !== undefined && (before.expiresAt ?? null) !== expiresAt) return undefined
  if (given.action.kind !== 'get' || version === undefined) return held
  if (before.value === undefined || !mayHave(before, version, given)) return undefined
  return before.version === version ? held : cellOf(before.value, before.expiresAt, version)
}

function mayHave({ value, version: known }: Cell, version: string, { valueAt }: Pick<Given, 'valueAt'>): boolean {
  if (known !== undefined) return known === version
  return (valueAt(version) ?? value) === value
}

function agrees(effect: Effect, { done, value, length, isUnfit = false }: Answer): boolean {
  if ((effect.isUnfit ?? false) !== isUnfit) return false
  if (done !== undefined && done !== effect.done) return false
  if (value !== undefined && value !== effect.value) return false
  return length === undefined || length === effect.length
}

function effects(action: Action, before: Cell, given: Given): readonly Effect[] {
  const { makes } = given
  const { value, expiresAt } = before
  switch (action.kind) {
    case 'get':
      return [{ after: undefined, done: true }]
    case 'put': {
      const expiry = action.keepsExpiry ? expiresAt : action.expiresAt
      const put = { after: cellOf(action.value, expiry, makes), done: true }
      return allowed(action, before, given).map((isAllowed) => (isAllowed ? put : { after: undefined, done: false }))
    }
    case 'delete':
      return value === undefined ? [{ after: undefined, done: false }] : [{ after: EMPTY, done: true }]
    case 'incr': {
      const sum = value === undefined ? String(action.by) : plus(value, action.by)
      if (sum === undefined) return [{ after: undefined, done: false, isUnfit: true }]
      return [{ after: cellOf(sum, expiresAt, makes), done: true, value: sum }]
    }
    case 'append': {
      const whole = (value ?? '') + action.value
      return [{ after: cellOf(whole, expiresAt, makes), done: true, length: Buffer.byteLength(whole) }]
    }
    case 'expire':
      if (value === undefined || !mayExpire(action, expiresAt)) return [{ after: undefined, done: false }]
      return [{ after: cellOf(value, action.expiresAt, makes), done: true }]
    case 'persist':
      if (value === undefined || expiresAt === undefined) return [{ after: undefined, done: false }]
      return [{ after: cellOf(value, undefined, makes), done: true }]
  }
}

/** Whether the conditions of the put hold; both, when that is not known. */
function allowed(
  { only, ifVersion }: Action & { readonly kind: 'put' },
  before: Cell,
  given: Pick<Given, 'valueAt'>
): readonly boolean[] {
  const isAbsent = before.value === undefined
  if (only !== undefined && isAbsent !== (only === 'absent')) return [false]
  if (ifVersion === undefined) return [true]
  if (isAbsent || !mayHave(before, ifVersion, given)) return [false]
  return before.version === undefined ? [true, false] : [true]
}

function mayExpire({ expiresAt, only }: Action & { readonly kind: 'expire' }, before: number | undefined): boolean {
  if (only === 'none') return before === undefined
  if (only === 'some') return before !== undefined
  if (only === 'sooner') return before !== undefined && before < expiresAt
  return only !== 'later' || before === undefined || before > expiresAt
}

/** Undefined when the text is no integer, or the sum has more than 64 bits. */
function plus(text: string, by: number): string | undefined {
  if (!INTEGER.test(text)) return undefined
  if (text.length <= EXACT_DIGITS && Math.abs(by) < Number.MAX_SAFE_INTEGER / 2) return String(Number(text) + by)
  const sum = BigInt(text) + BigInt(by)
  return sum < INTEGER_MIN || sum > INTEGER_MAX ? undefined : String(sum)
}

/** Whether both actions of unknown outcome are the same but for a value that nobody can distinguish. */
export function classOf(action: Action, isSeen: (text: string) => boolean): string {
  if (action.kind !== 'put' && action.kind !== 'append') return JSON.stringify(action)
  const { value } = action
  if (isSeen(value) || INTEGER.test(value)) return JSON.stringify(action)
  return JSON.stringify({ ...action, value: Buffer.byteLength(value), isUnseen: true })
}

/** What the condition of a group may find: true, false, or both. */
export function checkResults(held: Cell, check: Check, given: Pick<Given, 'clock' | 'valueAt'>): boolean[] {
  const results = readings(held, given.clock).flatMap((before): boolean[] => {
    if ('value' in check) return [(before.value ?? null) === check.value]
    if (before.value === undefined || !mayHave(before, check.version, given)) return [false]
    return before.version === undefined ? [true, false] : [true]
  })
  return [...new Set(results)]
}
