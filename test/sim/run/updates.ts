// The operations of a run whose outcome depends on what the key holds, and blind writes on the same keys. Each is
// reported as an update, with its action and its answer, for the check of linearizability.
import type { Bytes } from '../../../lib/bytes.js'
import { ABSENT, ALWAYS, append, changeExpiry, increment, take, type Written, writeIf } from '../../../lib/decisions.js'
import { RingdError } from '../../../lib/errors.js'
import type { Found } from '../../../lib/key-value.js'
import type { Action, Answer } from '../checkers/linearizability/operations.js'
import type { SimNode } from '../sim-node.js'

export const UPDATE_KINDS = [
  'set',
  'remove',
  'increment',
  'append',
  'put-absent',
  'swap',
  'take',
  'expire',
  'persist'
] as const
export type UpdateKind = (typeof UPDATE_KINDS)[number]

export interface Update {
  readonly action: Action
  readonly run: (node: SimNode) => Promise<Answer>
}

/** Longer than any value of a run. */
const VALUE_BYTES_MAX = 1 << 20

export function isUpdateKind(kind: string): kind is UpdateKind {
  return UPDATE_KINDS.some((known) => known === kind)
}

/** `value`: what it stores or appends. `expiresAt`: of what it stores, ms since the epoch. */
export function updateOf(kind: UpdateKind, key: string, value: string, expiresAt: number | undefined): Update {
  const bytes = Buffer.from(value)
  switch (kind) {
    case 'set':
      return {
        action: { kind: 'put', value, expiresAt },
        run: async (node) => {
          await node.putUntil(key, value, expiresAt)
          return { done: true }
        }
      }
    case 'remove':
      return { action: { kind: 'delete' }, run: async (node) => ({ done: await node.delete(key) }) }
    case 'increment':
      return { action: { kind: 'incr', by: 1 }, run: (node) => incremented(node, key) }
    case 'append':
      return {
        action: { kind: 'append', value },
        run: async (node) => ({ length: await node.update(key, append(bytes, VALUE_BYTES_MAX)) })
      }
    case 'put-absent':
      return {
        action: { kind: 'put', value, expiresAt, only: 'absent' },
        run: async (node) => writtenOf(await node.update(key, writeIf(ABSENT, bytes, expiresAt), true))
      }
    case 'swap':
      return {
        action: { kind: 'put', value, expiresAt },
        run: async (node) => writtenOf(await node.update(key, writeIf(ALWAYS, bytes, expiresAt)))
      }
    case 'take':
      return {
        action: { kind: 'delete' },
        run: async (node) => {
          const found = textOf(await node.update(key, take, true))
          return { found, done: found !== null }
        }
      }
    case 'expire':
      return { action: { kind: 'expire', expiresAt: expiresAt! }, run: (node) => expiring(node, key, expiresAt!) }
    case 'persist':
      return { action: { kind: 'persist' }, run: (node) => expiring(node, key, undefined) }
  }
}

async function incremented(node: SimNode, key: string): Promise<Answer> {
  try {
    return { value: String(await node.update(key, increment(1n))) }
  } catch (thrown) {
    if (thrown instanceof RingdError && thrown.code === 'BAD_REQUEST') return { isUnfit: true }
    throw thrown
  }
}

async function expiring(node: SimNode, key: string, expiresAt: number | undefined): Promise<Answer> {
  const isAsItIs = (found: Found): boolean => expiresAt === undefined && found.expiresAtMs === undefined
  const decide = changeExpiry((found) => (isAsItIs(found) ? 'as it is' : expiresAt))
  const { isChanged, found } = await node.update(key, decide, true)
  return { done: isChanged, found: textOf(found) }
}

function writtenOf({ isDone, before }: Written): Answer {
  return { done: isDone, found: textOf(before) }
}

function textOf(found: { readonly value: Bytes } | undefined): string | null {
  return found === undefined ? null : Buffer.from(found.value).toString()
}
