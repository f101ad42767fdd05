// Writes histories by hand, in short form: `put('v1').at(10).until(20).as(1, 'ab')`. Nodes and their members are
// letters, times are ms, versions are small numbers minted by the node that the operation goes through.

import { slotOf } from '../../../lib/ring/slots.js'
import type { Window } from '../../../lib/views/configs.js'
import { config, idOf } from '../harness/ring-views.js'
import type { Answered, Invoked, Load, Observation } from '../run/observation.js'

/** A part of a history: one observation, or several. */
export type Part = Observation | Asked | readonly Part[]

/** A broken history, which one checker must reject, and a sound one beside it, which all checkers must accept. */
export interface Fault {
  /** The rule of the checker. */
  readonly rule: string
  readonly name: string
  readonly sound: readonly Part[]
  readonly broken: readonly Part[]
}

/** The key of every history that names no other. */
export const KEY = 'k'
export const OTHER = 'l'
export const SLOT = slotOf(Buffer.from(KEY))

export function fault(
  rule: string,
  name: string,
  given: readonly Part[],
  ways: { readonly sound: readonly Part[]; readonly broken: readonly Part[] }
): Fault {
  return { rule, name, sound: [...given, ...ways.sound], broken: [...given, ...ways.broken] }
}

/** The observations of a history, sorted by time; those of one time keep their order. */
export function observationsOf(parts: readonly Part[]): Observation[] {
  let operation = 0
  const observations = parts.flatMap(function flat(part): Observation[] {
    if (part instanceof Asked) return part.observations(++operation)
    return 'type' in part ? [part] : part.flatMap(flat)
  })
  return observations.sort((one, other) => one.at - other.at)
}

export function version(number: number, letter = 'a'): string {
  return number.toString(16).padStart(16, '0') + idOf(letter).slice(0, 16)
}

interface Copy {
  readonly number: number
  readonly letters: string
  readonly at: number | undefined
}

/** An operation of a client. It is not answered unless `until` or `failing` was called. */
export class Asked {
  #node = 'a'
  #at = 0
  #consistency: Invoked['consistency'] = 'quorum'
  #answer: Omit<Answered, 'type' | 'operation'> | undefined
  #said: Pick<Answered, 'value' | 'existed'> = {}
  readonly #kind: Invoked['kind']
  readonly #key: string
  readonly #value: string | undefined
  readonly #copies: Copy[] = []
  #expiresAt: number | undefined
  #clock: readonly [number, number] | undefined

  constructor(kind: Invoked['kind'], key: string, value?: string) {
    this.#kind = kind
    this.#key = key
    this.#value = value
  }

  through(node: string): this {
    this.#node = node
    return this
  }

  at(ms: number): this {
    this.#at = ms
    return this
  }

  until(ms: number): this {
    this.#answer = { at: ms }
    return this
  }

  failing(ms: number, error = 'NO_QUORUM'): this {
    this.#answer = { at: ms, error }
    return this
  }

  with(consistency: Invoked['consistency']): this {
    this.#consistency = consistency
    return this
  }

  sees(value: string | undefined): this {
    this.#said = { value }
    return this
  }

  finds(existed: boolean): this {
    this.#said = { existed }
    return this
  }

  /** The value that is put expires at this time. */
  expiring(ms: number): this {
    this.#expiresAt = ms
    return this
  }

  /** The clock of the node moves from `from` to `to` during the operation. */
  clocked(from: number, to: number): this {
    this.#clock = [from, to]
    return this
  }

  /** The disks of these members store it under this version: at `at`, or 1 ms after it was asked. */
  as(number: number, letters: string, at?: number): this {
    this.#copies.push({ number, letters, at })
    return this
  }

  observations(operation: number): Observation[] {
    const kind = this.#kind
    const made: Observation[] = []
    const { key, value } = { key: this.#key, value: this.#value }
    const asked = { at: this.#at, operation, client: 1, node: this.#node, kind, key, consistency: this.#consistency }
    const expiresAt = this.#expiresAt
    made.push({ type: 'invoked', ...asked, ...(kind === 'put' ? { value, expiresAt } : {}) })
    for (const { number, letters, at = this.#at + 1 } of this.#copies) {
      made.push(...stored(value, number, letters, at, { minter: this.#node, key, expiresAt }))
    }
    const said = { ...this.#answer, ...this.#said, clock: this.#clock }
    if (this.#answer !== undefined) made.push({ type: 'answered', operation, ...this.#answer, ...said })
    return made
  }
}

export function put(value: string, key = KEY): Asked {
  return new Asked('put', key, value)
}

export function get(key = KEY): Asked {
  return new Asked('get', key)
}

export function remove(key = KEY): Asked {
  return new Asked('delete', key).finds(true)
}

/** `value` undefined: a tombstone. */
export function stored(
  value: string | undefined,
  number: number,
  letters: string,
  at: number,
  { minter = 'a', key = KEY, expiresAt }: { minter?: string; key?: string; expiresAt?: number | undefined } = {}
): Observation[] {
  return [...letters].map((letter) => {
    return { type: 'stored', at, member: idOf(letter), key, version: version(number, minter), value, expiresAt }
  })
}

export function erased(letters: string, at: number, key = KEY): Observation[] {
  return [...letters].map((letter) => ({ type: 'erased', at, member: idOf(letter), key }))
}

/** The disk holds `value` under KEY, or nothing. */
export function image(letter: string, at: number, value?: string, number = 0): Observation {
  const entries = new Map(value === undefined ? [] : [[KEY, { version: version(number), value }]])
  return { type: 'image', at, member: idOf(letter), entries }
}

export function lost(letter: string, at: number): Observation {
  return { type: 'lost', at, member: idOf(letter) }
}

export function ready(letters: string, begin: number, at: number): Observation[] {
  return [...letters].map((letter) => ({ type: 'ready', at, member: idOf(letter), slot: SLOT, config: begin }))
}

/** The nodes use this window, given as [begin, owners] of each config. */
export function works(
  letters: string,
  view: number,
  at: number,
  ...configs: readonly [number, string][]
): Observation[] {
  const window: Window = configs.map(([begin, owners]) => config(begin, owners))
  const windows = new Map([KEY, OTHER].map((key) => [slotOf(Buffer.from(key)), window]))
  return [...letters].map((letter) => ({ type: 'picture', at, node: letter, member: idOf(letter), view, windows }))
}

/** The members `letters` are a ring with one config. */
export function ring(letters: string): Observation[] {
  return works(letters, 1, 0, [1, letters])
}

export function knows(
  letter: string,
  view: number,
  at: number,
  digest = `view-${view}`,
  members?: string
): Observation {
  return {
    type: 'view',
    at,
    member: idOf(letter),
    view,
    digest,
    members: members && [...members].map(idOf)
  } as Observation
}

export function load(node: string, at: number, sizes: Partial<Load> = {}): Observation {
  return { type: 'load', at, node, mailbox: 3, queuedBytes: 1000, timers: 40, ...sizes }
}

export function healed(at: number): Observation {
  return { type: 'healed', at }
}

export function killed(node: string, at: number): Observation {
  return { type: 'killed', at, node }
}

export function started(node: string, at: number): Observation {
  return { type: 'started', at, node }
}
