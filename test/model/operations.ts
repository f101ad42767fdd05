// The operations of the model: what each does to the values of the keys, and what it answers. Pure.
import { type KeySet, keysOf } from './entries.js'

/** Of one key: get to setIfAbsent. Of a set of keys: the others. `settle` is a round that changes nothing. */
export type OperationKind =
  | 'get'
  | 'set'
  | 'delete'
  | 'append'
  | 'setIfAbsent'
  | 'getAll'
  | 'setAll'
  | 'appendAll'
  | 'setAllIfAbsent'
  | 'copy'
  | 'settle'

export const SINGLE_KINDS: readonly OperationKind[] = ['get', 'set', 'delete', 'append', 'setIfAbsent']
export const GROUP_KINDS: readonly OperationKind[] = ['getAll', 'setAll', 'appendAll', 'setAllIfAbsent', 'copy']
export const BLIND_KINDS: ReadonlySet<OperationKind> = new Set(['set', 'delete'])

export type Value = string | null

export interface Effect {
  /** By key; holes for keys that keep their value. Undefined: nothing is written. */
  readonly writes: readonly (Value | undefined)[] | undefined
  /** The answer to the client, as text: values joined by `|`, `-` for an absent one; `1` or `0` for a condition. */
  readonly answer: string
}

const DONE = '.'
const YES = '1'
const NO = '0'
const textOf = (value: Value | undefined) => value ?? '-'

/**
 * What the operation called `name`, one letter, does to these values. `copy` reads the first key of its set, and
 * writes what it read, and its own name, to the other keys.
 */
export function effectOf(
  kind: OperationKind,
  keys: KeySet,
  name: string,
  values: readonly (Value | undefined)[]
): Effect {
  const list = keysOf(keys)
  const writes: Value[] = []
  switch (kind) {
    case 'get':
    case 'getAll':
    case 'settle':
      return { writes: undefined, answer: list.map((key) => textOf(values[key])).join('|') }
    case 'set':
    case 'setAll':
      for (const key of list) writes[key] = name
      return { writes, answer: DONE }
    case 'delete':
      writes[list[0]!] = null
      return { writes, answer: DONE }
    case 'append':
    case 'appendAll':
      for (const key of list) writes[key] = (values[key] ?? '') + name
      return { writes, answer: list.map((key) => writes[key]).join('|') }
    case 'setIfAbsent':
    case 'setAllIfAbsent':
      if (list.some((key) => (values[key] ?? null) !== null)) return { writes: undefined, answer: NO }
      for (const key of list) writes[key] = name
      return { writes, answer: YES }
    case 'copy': {
      const [from, ...to] = list
      for (const key of to) writes[key] = (values[from!] ?? '') + name
      return { writes, answer: textOf(values[from!]) }
    }
  }
}
