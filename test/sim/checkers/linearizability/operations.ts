// Operations of clients, as the check for linearizability sees them: when they ran, what they asked of which keys, and
// what the client was told. Plain data.
// Times are numbers on one scale; one operation comes before another when it ended before the other began.

/** What is asked of one key. */
export type Action =
  | { readonly kind: 'get' }
  | {
      readonly kind: 'put'
      readonly value: string
      /** Left out: the value does not expire. */
      readonly expiresAt?: number | undefined
      /** The value keeps the expiry of the one before. */
      readonly keepsExpiry?: boolean | undefined
      /** It is put only when the key is absent, or only when it is present. */
      readonly only?: 'absent' | 'present' | undefined
      /** It is put only when the entry has this version. */
      readonly ifVersion?: string | undefined
    }
  | { readonly kind: 'delete' }
  /** Adds to an integer; an absent key counts as 0. */
  | { readonly kind: 'incr'; readonly by: number }
  | { readonly kind: 'append'; readonly value: string }
  | {
      readonly kind: 'expire'
      readonly expiresAt: number
      /** As in Redis: the value has no expiry, has one, or has one that is sooner or later than the new one. */
      readonly only?: 'none' | 'some' | 'sooner' | 'later' | undefined
    }
  | { readonly kind: 'persist' }

/** What the client was told. What is left out, it was not told. */
export interface Answer {
  /** The value before the action; null: the key was absent. */
  readonly found?: string | null | undefined
  /** Whether the action changed the key; for a get always true. */
  readonly done?: boolean | undefined
  /** The value after an incr. */
  readonly value?: string | undefined
  /** Bytes of the value after an append. */
  readonly length?: number | undefined
  /** The version of the entry that a get found, or that a change has made. */
  readonly version?: string | undefined
  /** The expiry of the value that was found; null: it does not expire. */
  readonly expiresAt?: number | null | undefined
  /** The action does not fit the value, such as incr of a text. Nothing was changed. */
  readonly isUnfit?: boolean | undefined
}

export interface Step {
  readonly key: string
  readonly action: Action
  readonly answer?: Answer | undefined
}

/** A condition of a group: the key has this version, or this value (null: it is absent). */
export type Check =
  | { readonly key: string; readonly version: string }
  | { readonly key: string; readonly value: string | null }

export interface Operation {
  /** How messages call it. */
  readonly name: string
  readonly begin: number
  /** Infinity: its outcome is not known. It takes effect at any time after `begin`, or never. */
  readonly end: number
  /** Steps on one key or several, which take effect together and in this order. Those without an outcome are ignored. */
  readonly steps: readonly Step[]
  /** All of them must hold, or no step takes effect. */
  readonly checks?: readonly Check[] | undefined
  /** Whether the checks held; left out: they did. */
  readonly checksHeld?: boolean | undefined
  /** The smallest and largest time that the clock which decides about expiry showed; left out: any time. */
  readonly clock?: readonly [number, number] | undefined
}

export function isKnown({ end }: Operation): boolean {
  return end !== Number.POSITIVE_INFINITY
}

/** All keys that the operation reads or writes. */
export function keysOf({ steps, checks = [] }: Operation): string[] {
  return [...new Set([...steps, ...checks].map(({ key }) => key))]
}

/** Whether the answers say that nothing was changed. */
export function isReadOnly({ steps, checksHeld }: Operation): boolean {
  if (checksHeld === false) return true
  return steps.every(({ action, answer }) => {
    return action.kind === 'get' || answer?.done === false || answer?.isUnfit === true
  })
}

/** The operation in words. */
export function describe({ name, steps, checks = [], checksHeld, begin, end }: Operation): string {
  const asked = [
    ...checks.map((check) => `if ${check.key} ${'version' in check ? 'has version' : 'is'} ${textOf(check)}`),
    ...steps.map(describeStep)
  ]
  const until = end === Number.POSITIVE_INFINITY ? 'outcome unknown' : `to ${round(end)}`
  return `${name}: ${asked.join(', ')}${checksHeld === false ? ': refused' : ''} (${round(begin)} ${until})`
}

function describeStep({ key, action, answer = {} }: Step): string {
  const { kind, ...asked } = action
  const options = listed(asked)
  const told = listed(answer)
  return `${kind} ${key}${options === '' ? '' : ` ${options}`}${told === '' ? '' : ` -> ${told}`}`
}

function listed(fields: object): string {
  const told = Object.entries(fields).filter(([, value]) => value !== undefined)
  return told.map(([name, value]) => `${name}=${value === null ? 'nothing' : value}`).join(' ')
}

function textOf(check: Check): string {
  return 'version' in check ? check.version : (check.value ?? 'absent')
}

function round(time: number): number {
  return Math.round(time * 1000) / 1000
}
