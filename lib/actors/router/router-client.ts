// The `KeyValue` interface of the router: each call becomes a message to it. Owns nothing.
// Invariant: a request that can never succeed (key or value too large, bad expiry) is refused here, before it becomes
// an operation of the router.

import type { Bytes } from '../../bytes.js'
import { ENVELOPE_OVERHEAD_MAX } from '../../entry/envelope.js'
import { RingdError } from '../../errors.js'
import type { Change, Consistency, Decide, KeyValue } from '../../key-value.js'
import type { Ref, Reply } from '../../runtime/actor.js'
import { type Kind, newOperation } from './operation.js'
import { changeAt } from './operation-outcome.js'
import type { RouterOptions } from './router.js'
import type { RouterMessage } from './router-messages.js'

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
    decide?: Decide
  ): void => {
    const reply = answer as Reply<never>
    if (key.length > maxKeyBytes) {
      return reply(
        new RingdError('KEY_TOO_LARGE', `the key has ${key.length} bytes; at most ${maxKeyBytes} are allowed`)
      )
    }
    const limit = bytesMax === undefined ? undefined : bytesMax + ENVELOPE_OVERHEAD_MAX
    const operation = newOperation(kind, { key, change, decide, consistency, bytesMax: limit, reply })
    if (!router.tell({ type: 'operation', operation })) reply(new RingdError('OVERLOADED'))
  }
  return {
    get: (key, consistency, reply, bytesMax) => send('get', key, consistency, reply, bytesMax),
    put(key, value, consistency, reply, expiresAtMs) {
      const change = changeAt({ value, expiresAtMs }, now(), maxValueBytes)
      if (change instanceof RingdError) reply(change)
      else send('put', key, consistency, reply, undefined, change)
    },
    delete: (key, consistency, reply, bytesMax) => send('delete', key, consistency, reply, bytesMax),
    find: (key, consistency, reply, bytesMax) => send('find', key, consistency, reply, bytesMax),
    update: (key, consistency, decide, reply, bytesMax) =>
      send('update', key, consistency, reply, bytesMax, undefined, decide)
  }
}
