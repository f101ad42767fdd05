// The commands that read and write keys. Each checks its arguments, sends operations to the ring, and makes the reply.
// Commands on several keys are not atomic: each key is one operation, and a bounded number of them runs at once.
import type { Bytes } from '../../../lib/bytes.js'
import { ALWAYS, type Written, writeIf } from '../../../lib/decisions.js'
import { RingdError } from '../../../lib/errors.js'
import type { Call, Command } from './command.js'
import { ErrorReply, type Reply, toReply } from './encoder.js'
import { type ExpiryOptions, momentOf, parseOptions } from './expiry.js'

const OK = 'OK'
/** SET without options. */
const NO_OPTIONS: ExpiryOptions = { keepsExpiry: false, persists: false, condition: ALWAYS, tellsBefore: false }

export const keyCommands: readonly Command[] = [
  {
    name: 'get',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    since: '1.0.0',
    summary: 'Returns the string value of a key.',
    run: get
  },
  {
    name: 'set',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: [1, 1, 1],
    group: 'string',
    since: '1.0.0',
    summary: 'Sets the string value of a key, with an expiry if one is given. It is created if it does not exist.',
    run: set
  },
  {
    name: 'mget',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: [1, -1, 1],
    group: 'string',
    since: '1.0.0',
    summary: 'Returns the string values of one or more keys, each read on its own.',
    run: mget
  },
  {
    name: 'mset',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: [1, -1, 2],
    group: 'string',
    since: '1.0.1',
    summary: 'Sets the string values of one or more keys, each on its own: not atomic.',
    run: mset
  },
  {
    name: 'strlen',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    since: '2.2.0',
    summary: 'Returns the length of a string value.',
    run: (call) => measure(call, (value) => value?.length ?? 0)
  },
  {
    name: 'type',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    group: 'generic',
    since: '1.0.0',
    summary: 'Determines the type of value stored at a key.',
    run: (call) => measure(call, (value) => (value === undefined ? 'none' : 'string'))
  },
  {
    name: 'exists',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: [1, -1, 1],
    group: 'generic',
    since: '1.0.0',
    summary: 'Counts which of the keys exist; a repeated key counts again.',
    run: exists
  },
  {
    name: 'del',
    arity: -2,
    flags: ['write'],
    keys: [1, -1, 1],
    group: 'generic',
    since: '1.0.0',
    summary: 'Deletes one or more keys, each on its own.',
    run: remove
  },
  {
    name: 'unlink',
    arity: -2,
    flags: ['write', 'fast'],
    keys: [1, -1, 1],
    group: 'generic',
    since: '4.0.0',
    summary: 'Deletes one or more keys, each on its own.',
    run: remove
  }
]

function get(call: Call): Reply | undefined {
  const key = call.args[1]!
  const refusal = refuseKey(call, key)
  if (refusal !== undefined) return refusal
  call.read(key, (result) => {
    if (result instanceof Uint8Array) call.hold(result.length)
    call.finish(toReply(result))
  })
  return undefined
}

function set(call: Call): Reply | undefined {
  const { keyValue, settings } = call.session
  const key = call.args[1]!
  const value = call.args[2]!
  const options = call.args.length > 3 ? parseOptions(call.args, 3, 'set') : NO_OPTIONS
  if (options instanceof ErrorReply) return options
  const { unit, amount } = options
  const expiresAtMs = unit && amount && momentOf(amount, unit, settings.now(), 'set')
  if (expiresAtMs instanceof ErrorReply) return expiresAtMs
  const refusal = refuseKey(call, key) ?? refuseValue(call, value)
  if (refusal !== undefined) return refusal
  const { condition, keepsExpiry, tellsBefore } = options
  if (condition === ALWAYS && !keepsExpiry && !tellsBefore) {
    const done = (error: undefined | RingdError) => call.finish(error === undefined ? OK : toReply(error))
    keyValue.put(key, value, settings.write, done, expiresAtMs)
    return undefined
  }
  const decide = writeIf(condition, value, keepsExpiry ? 'as before' : expiresAtMs)
  call.update(key, decide, (result) => finishSet(call, result, tellsBefore), condition !== ALWAYS)
  return undefined
}

/** The reply of SET with a condition or with GET: the value before, or OK, or nothing when the condition was false. */
export function finishSet(call: Call, result: Written | RingdError, tellsBefore: boolean): void {
  if (result instanceof RingdError) return call.finish(toReply(result))
  const { isDone, before } = result
  if (!tellsBefore) return call.finish(isDone ? OK : null)
  if (before !== undefined) call.hold(before.value.length)
  call.finish(toReply(before?.value))
}

/** One read whose reply is not the value itself. */
function measure(call: Call, form: (value: Bytes | undefined) => Reply): Reply | undefined {
  const key = call.args[1]!
  const refusal = refuseKey(call, key)
  if (refusal !== undefined) return refusal
  call.read(key, (result) => call.finish(result instanceof RingdError ? toReply(result) : form(result)))
  return undefined
}

function mget(call: Call): Reply | undefined {
  const { replyBytesMax } = call.session.settings
  const keys = call.args.slice(1)
  const values: Reply[] = new Array(keys.length).fill(null)
  const read = (index: number, done: Done): void =>
    call.read(keys[index]!, (result) => {
      if (result === undefined || result instanceof RingdError) return done(result)
      call.hold(result.length)
      if (call.heldBytes <= replyBytesMax) {
        values[index] = result
        return done(undefined)
      }
      values.length = 0
      return done(
        new RingdError('BAD_REQUEST', `the values are together longer than ${replyBytesMax} bytes; ask for fewer keys`)
      )
    })
  return refuseKeys(call, keys) ?? eachKey(call, keys.length, read, () => values)
}

function mset(call: Call): Reply | undefined {
  const { keyValue, settings } = call.session
  const { args } = call
  if (args.length % 2 === 0) return new ErrorReply("ERR wrong number of arguments for 'mset' command")
  for (let at = 1; at < args.length; at += 2) {
    const refusal = refuseKey(call, args[at]!) ?? refuseValue(call, args[at + 1]!)
    if (refusal !== undefined) return refusal
  }
  const write = (index: number, done: Done): void =>
    keyValue.put(args[2 * index + 1]!, args[2 * index + 2]!, settings.write, done)
  return eachKey(call, (args.length - 1) / 2, write, () => OK)
}

function exists(call: Call): Reply | undefined {
  const keys = call.args.slice(1)
  let count = 0
  const read = (index: number, done: Done): void =>
    call.read(keys[index]!, (result) => {
      if (result instanceof Uint8Array) count++
      done(result instanceof RingdError ? result : undefined)
    })
  return refuseKeys(call, keys) ?? eachKey(call, keys.length, read, () => count)
}

function remove(call: Call): Reply | undefined {
  const { keyValue, settings } = call.session
  const keys = call.args.slice(1)
  let count = 0
  const remove = (index: number, done: Done): void =>
    keyValue.delete(keys[index]!, settings.write, (existed) => {
      if (existed === true) count++
      done(existed instanceof RingdError ? existed : undefined)
    })
  return refuseKeys(call, keys) ?? eachKey(call, keys.length, remove, () => count)
}

type Done = (error: RingdError | undefined) => void

/**
 * Runs `start(0..count-1)`, as many at once as the session allows, then finishes the call with `reply()`. After an
 * error it starts no further one, waits for those that run, and finishes with the first error. While some have not
 * started, later commands of the client wait, so that they cannot overtake.
 */
function eachKey(call: Call, count: number, start: (index: number, done: Done) => void, reply: () => Reply): undefined {
  const { session } = call
  let started = 0
  let running = 0
  let failure: RingdError | undefined
  let starting = false
  let paused = false

  function startMore(): void {
    starting = true
    while (failure === undefined && started < count && running < session.keysAtOnce) {
      running++
      start(started++, done)
    }
    starting = false
    const more = failure === undefined && started < count
    if (more && !paused) session.pause()
    if (!more && paused) session.resume()
    paused = more
    if (running === 0 && !more) call.finish(failure === undefined ? reply() : toReply(failure))
  }

  function done(error: RingdError | undefined): void {
    running--
    failure ??= error
    if (!starting) startMore()
  }

  startMore()
}

function refuseKeys(call: Call, keys: readonly Bytes[]): Reply | undefined {
  for (const key of keys) {
    const refusal = refuseKey(call, key)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

export function refuseKey(call: Call, key: Bytes): Reply | undefined {
  const { keyBytesMax } = call.session.settings
  if (key.length <= keyBytesMax) return undefined
  return toReply(new RingdError('KEY_TOO_LARGE', `the key is longer than ${keyBytesMax} bytes`))
}

export function refuseValue(call: Call, value: Bytes): Reply | undefined {
  const { valueBytesMax } = call.session.settings
  if (value.length <= valueBytesMax) return undefined
  return toReply(new RingdError('VALUE_TOO_LARGE', `the value is longer than ${valueBytesMax} bytes`))
}
