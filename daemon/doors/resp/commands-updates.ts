// The commands that change a key by what it holds: counters, appends, and writes that answer with the value before.
// Each is one atomic operation; the decisions are in lib/decisions.ts.

import { ABSENT, ALWAYS, append, INT64_MIN, increment, integerOf, take, writeIf } from '../../../lib/decisions.js'
import { RingdError } from '../../../lib/errors.js'
import type { Found } from '../../../lib/key-value.js'
import type { Call, Command } from './command.js'
import { finishSet, refuseKey, refuseValue } from './commands-keys.js'
import { ErrorReply, NOT_AN_INTEGER, type Reply, toReply } from './encoder.js'

const DECREMENT_OVERFLOWS = new ErrorReply('ERR decrement would overflow')

export const updateCommands: readonly Command[] = [
  counter('incr', 2, '1.0.0', 'Increments the integer value of a key by one.', () => 1n),
  counter('decr', 2, '1.0.0', 'Decrements the integer value of a key by one.', () => -1n),
  counter('incrby', 3, '1.0.0', 'Increments the integer value of a key by a number.', (by) => by),
  counter('decrby', 3, '1.0.0', 'Decrements the integer value of a key by a number.', (by) => -by),
  string('append', 3, '2.0.0', 'Appends a string to the value of a key. It is created if it does not exist.', appendTo),
  string('getset', 3, '1.0.0', 'Returns the value of a key after setting it to a new one.', getSet),
  string('getdel', 2, '6.2.0', 'Returns the value of a key after deleting it.', getDelete),
  string('setnx', 3, '1.0.0', 'Sets the value of a key only when the key does not exist.', setIfAbsent)
]

function string(
  name: string,
  arity: number,
  since: string,
  summary: string,
  run: (call: Call) => Reply | undefined
): Command {
  const flags = name === 'getdel' ? ['write', 'fast'] : ['write', 'denyoom', 'fast']
  return { name, arity, flags, keys: [1, 1, 1], group: 'string', since, summary, run }
}

/** INCR and its kind. `byOf`: what is added, of the number that the client sent (1 when there is none). */
function counter(name: string, arity: number, since: string, summary: string, byOf: (by: bigint) => bigint): Command {
  const run = (call: Call): Reply | undefined => {
    const key = call.args[1]!
    const sent = arity === 3 ? integerOf(call.args[2]!) : 1n
    if (sent === undefined) return NOT_AN_INTEGER
    if (name === 'decrby' && sent === INT64_MIN) return DECREMENT_OVERFLOWS
    const refusal = refuseKey(call, key)
    if (refusal !== undefined) return refusal
    call.update(key, increment(byOf(sent)), (sum) => call.finish(toReply(sum)))
    return undefined
  }
  return string(name, arity, since, summary, run)
}

function appendTo(call: Call): Reply | undefined {
  const [, key, suffix] = call.args as readonly [Buffer, Buffer, Buffer]
  const refusal = refuseKey(call, key) ?? refuseValue(call, suffix)
  if (refusal !== undefined) return refusal
  call.update(key, append(suffix, call.session.settings.valueBytesMax), (length) => call.finish(toReply(length)))
  return undefined
}

function getSet(call: Call): Reply | undefined {
  const [, key, value] = call.args as readonly [Buffer, Buffer, Buffer]
  const refusal = refuseKey(call, key) ?? refuseValue(call, value)
  if (refusal !== undefined) return refusal
  call.update(key, writeIf(ALWAYS, value, undefined), (result) => finishSet(call, result, true))
  return undefined
}

function setIfAbsent(call: Call): Reply | undefined {
  const [, key, value] = call.args as readonly [Buffer, Buffer, Buffer]
  const refusal = refuseKey(call, key) ?? refuseValue(call, value)
  if (refusal !== undefined) return refusal
  const decide = writeIf(ABSENT, value, undefined)
  const done = (result: { readonly isDone: boolean } | RingdError): void =>
    call.finish(result instanceof RingdError ? toReply(result) : Number(result.isDone))
  call.update(key, decide, done, true)
  return undefined
}

function getDelete(call: Call): Reply | undefined {
  const key = call.args[1]!
  const refusal = refuseKey(call, key)
  if (refusal !== undefined) return refusal
  const done = (found: Found | undefined | RingdError): void => {
    if (found === undefined || found instanceof RingdError) return call.finish(toReply(found))
    call.hold(found.value.length)
    call.finish(found.value)
  }
  call.update(key, take, done, true)
  return undefined
}
