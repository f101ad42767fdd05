// The `KeyValue` interface of the router: each call becomes a message to it. Owns nothing.
// Invariant: a request that can never succeed (key or value too large, bad expiry) is refused here, before it becomes
// an operation of the router.

import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { ENVELOPE_OVERHEAD_MAX } from '../../entry/envelope.js'
import { RingdError } from '../../errors.js'
import type { Change, Consistency, Decide, KeyValue } from '../../key-value.js'
import { ask, type Ref, type Reply } from '../../runtime/actor.js'
import { type Kind, newOperation } from './operation.js'
import { changeAt } from './operation-outcome.js'
import type { RouterOptions } from './router.js'
import type { RouterMessage } from './router-messages.js'

/** A delete is an update whose answer is whether there was a value. */
const deleted: Decide<boolean> = (found) => ({ change: found && 'delete', result: found !== undefined })

/** The ring as a key-value store. `now` is the wall clock of this peer, by which values expire. */
export function routerClient(router: Ref<RouterMessage>, options: RouterOptions, now: () => number): KeyValue {
  const { maxKeyBytes, maxValueBytes } = options
  // Arguments in a row: an object for each call would cost as much as the rest.
  const send = (
    kind: Kind,
    key: Bytes,
    consistency: Consistency,
    answer: unknown,
    bytesMax?: number,
    change?: Change,
    decide?: Decide<unknown>,
    isConditional?: boolean
  ): void => {
    const reply = answer as Reply<never>
    if (key.length > maxKeyBytes) {
      return reply(
        new RingdError('KEY_TOO_LARGE', `the key has ${key.length} bytes; at most ${maxKeyBytes} are allowed`)
      )
    }
    const limit = bytesMax === undefined ? undefined : bytesMax + ENVELOPE_OVERHEAD_MAX
    // What depends on the stored value cannot be agreed on by fewer owners than a quorum.
    const level = decide !== undefined && consistency === 'one' ? 'quorum' : consistency
    const operation = newOperation(kind, {
      key,
      change,
      decide,
      consistency: level,
      bytesMax: limit,
      isConditional,
      reply
    })
    if (!router.tell({ type: 'operation', operation })) reply(new RingdError('OVERLOADED'))
  }
  return {
    get: (key, consistency, reply, bytesMax) => send('get', key, consistency, reply, bytesMax),
    put(key, value, consistency, reply, expiresAtMs) {
      const change = changeAt({ value, expiresAtMs }, now(), maxValueBytes)
      if (change instanceof RingdError) reply(change)
      else send('put', key, consistency, reply, undefined, change)
    },
    // Most keys that are deleted without being there would get a tombstone, if they were not read first.
    delete: (key, consistency, reply, bytesMax) =>
      send('delete', key, consistency, reply, bytesMax, undefined, deleted, true),
    find: (key, consistency, reply, bytesMax) => send('find', key, consistency, reply, bytesMax),
    update: (key, consistency, decide, reply, { bytesMax, isConditional } = {}) =>
      send('update', key, consistency, reply, bytesMax, undefined, decide, isConditional)
  }
}

/** Longer than an operation of the router takes. */
const SETTLE_TIMEOUT_MS = 15_000

/**
 * Has a round run on the key that changes nothing, so that the promises on it end. Throws what the router replies,
 * OVERLOADED, STOPPED or TIMEOUT.
 */
export async function settleKey(clock: Clock, router: Ref<RouterMessage>, key: Bytes): Promise<void> {
  await ask<RouterMessage, undefined>(clock, router, SETTLE_TIMEOUT_MS, (reply) => ({ type: 'settle', key, reply }))
}
