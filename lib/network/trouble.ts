// What a pong tells of the troubles of its sender: its conditions, the members that do not answer it, and whether its
// store is trusted. Pure. Owns the bounds of that message: a peer keeps the last one of each member.
import { type Bytes, fromHex, toHex } from '../bytes.js'
import type { MemberId } from '../member.js'
import type { Trouble as WireTrouble } from './wire.js'

/** A condition as another peer tells it. A newer version may have names that this one does not know. */
export interface ToldCondition {
  readonly name: string
  /** One sentence for an operator. */
  readonly says: string
}

export interface Trouble {
  readonly conditions: readonly ToldCondition[]
  /** Members that have not answered the peer itself for some seconds. Another peer tells at most 16 of them. */
  readonly unreached: readonly MemberId[]
  /** The number of all of them. */
  readonly unreachedCount: number
  /** Its store is not trusted yet after a restart: it serves no data. */
  readonly untrusted: boolean
}

export const NO_TROUBLE: Trouble = { conditions: [], unreached: [], unreachedCount: 0, untrusted: false }

export const CONDITIONS_MAX = 8
export const UNREACHED_MAX = 16
/** As text: the name of a condition, at most 32 characters of ASCII. */
const NAME = /^[a-z][a-z0-9-]{0,31}$/
const SAYS_LENGTH_MAX = 200
const STORE_ID_BYTES = 16

/** For a pong. Undefined when there is no trouble. What exceeds the bounds is left out. */
export function troubleToWire(trouble: Trouble): WireTrouble | undefined {
  const { conditions, unreached, unreachedCount, untrusted } = trouble
  if (conditions.length === 0 && unreachedCount === 0 && !untrusted) return undefined
  return {
    conditions: conditions.slice(0, CONDITIONS_MAX).map(({ name, says }) => ({ name, says })),
    unreached: unreached.slice(0, UNREACHED_MAX).map((id) => fromHex(id) as Uint8Array<ArrayBuffer>),
    unreachedCount,
    untrusted
  }
}

/** What a pong told. Undefined when it exceeds the bounds: no ringd sends that. */
export function troubleFromWire(told: WireTrouble | undefined): Trouble | undefined {
  if (told === undefined) return NO_TROUBLE
  const { conditions, unreached, unreachedCount, untrusted } = told
  if (conditions.length > CONDITIONS_MAX || unreached.length > UNREACHED_MAX) return undefined
  if (unreachedCount < unreached.length) return undefined
  if (!conditions.every(isSound) || !unreached.every(isStoreId)) return undefined
  return { conditions, unreached: unreached.map(toHex), unreachedCount, untrusted }
}

function isSound({ name, says }: ToldCondition): boolean {
  return NAME.test(name) && says.length <= SAYS_LENGTH_MAX
}

function isStoreId(bytes: Bytes): boolean {
  return bytes.length === STORE_ID_BYTES
}
