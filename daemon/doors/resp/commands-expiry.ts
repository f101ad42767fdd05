// The commands about expiry. Those that change it write the value again, whole, with the new expiry, as one step.

import { changeExpiry } from '../../../lib/decisions.js'
import { RingdError } from '../../../lib/errors.js'
import type { Found } from '../../../lib/key-value.js'
import type { Call, Command } from './command.js'
import { refuseKey, refuseValue } from './commands-keys.js'
import { ErrorReply, type Reply, toReply } from './encoder.js'
import { isAllowed, momentOf, parseConditions, parseOptions, roundedSeconds, type Unit } from './expiry.js'

/** The answers of TTL and its variants for a missing key, and for a key without expiry. */
const NO_KEY = -2
const NO_EXPIRY = -1

export const expiryCommands: readonly Command[] = [
  expireCommand('expire', 'EX', '1.0.0', 'Sets the expiry of a key in seconds.'),
  expireCommand('pexpire', 'PX', '2.6.0', 'Sets the expiry of a key in milliseconds.'),
  expireCommand('expireat', 'EXAT', '1.2.0', 'Sets the expiry of a key to a Unix time in seconds.'),
  expireCommand('pexpireat', 'PXAT', '2.6.0', 'Sets the expiry of a key to a Unix time in milliseconds.'),
  tellCommand('ttl', '1.0.0', 'Returns how long a key has to live, in seconds.', (at, now) =>
    roundedSeconds(Math.max(0, at - now))
  ),
  tellCommand('pttl', '2.6.0', 'Returns how long a key has to live, in milliseconds.', (at, now) =>
    Math.max(0, at - now)
  ),
  tellCommand('expiretime', '7.0.0', 'Returns the expiry of a key as a Unix time in seconds.', roundedSeconds),
  tellCommand('pexpiretime', '7.0.0', 'Returns the expiry of a key as a Unix time in milliseconds.', (at) => at),
  {
    name: 'persist',
    arity: 2,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    group: 'generic',
    since: '2.2.0',
    summary: 'Removes the expiry of a key.',
    run: persist
  },
  {
    name: 'getex',
    arity: -2,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    since: '6.2.0',
    summary: 'Returns the string value of a key, and sets or removes its expiry.',
    run: getex
  },
  setexCommand('setex', 'EX', '2.0.0', 'Sets the string value of a key with an expiry in seconds.'),
  setexCommand('psetex', 'PX', '2.6.0', 'Sets the string value of a key with an expiry in milliseconds.')
]

function expireCommand(name: string, unit: Unit, since: string, summary: string): Command {
  const run = (call: Call): Reply | undefined => {
    const key = call.args[1]!
    const conditions = parseConditions(call.args, 3)
    if (conditions instanceof ErrorReply) return conditions
    const moment = momentOf(call.args[2]!, unit, call.session.settings.now(), name, true)
    if (moment instanceof ErrorReply) return moment
    return rewrite(call, key, ({ expiresAtMs }) => (isAllowed(conditions, expiresAtMs, moment) ? moment : 'as it is'))
  }
  return { name, arity: -3, flags: ['write', 'fast'], keys: [1, 1, 1], group: 'generic', since, summary, run }
}

function persist(call: Call): Reply | undefined {
  return rewrite(call, call.args[1]!, ({ expiresAtMs }) => (expiresAtMs === undefined ? 'as it is' : undefined))
}

/** Replies 1 when the key exists and its expiry changed, else 0. */
function rewrite(
  call: Call,
  key: Buffer,
  expiryOf: (found: Found) => number | undefined | 'as it is'
): Reply | undefined {
  const refusal = refuseKey(call, key)
  if (refusal !== undefined) return refusal
  const reply = (result: { readonly isChanged: boolean } | RingdError): void => {
    if (result instanceof RingdError) call.finish(toReply(result))
    else call.finish(result.isChanged ? 1 : 0)
  }
  call.update(key, changeExpiry(expiryOf), reply, true)
  return undefined
}

function tellCommand(name: string, since: string, summary: string, form: (at: number, now: number) => number): Command {
  const run = (call: Call): Reply | undefined => {
    const key = call.args[1]!
    const refusal = refuseKey(call, key)
    if (refusal !== undefined) return refusal
    const { now } = call.session.settings
    call.find(key, (result) => {
      if (result instanceof RingdError) call.finish(toReply(result))
      else if (result === undefined) call.finish(NO_KEY)
      else call.finish(result.expiresAtMs === undefined ? NO_EXPIRY : form(result.expiresAtMs, now()))
    })
    return undefined
  }
  return { name, arity: 2, flags: ['readonly', 'fast'], keys: [1, 1, 1], group: 'generic', since, summary, run }
}

function getex(call: Call): Reply | undefined {
  const key = call.args[1]!
  const options = parseOptions(call.args, 2, 'getex')
  if (options instanceof ErrorReply) return options
  const { unit, amount, persists } = options
  const expiresAtMs = unit && amount && momentOf(amount, unit, call.session.settings.now(), 'getex')
  if (expiresAtMs instanceof ErrorReply) return expiresAtMs
  const refusal = refuseKey(call, key)
  if (refusal !== undefined) return refusal
  const reply = (result: Found | undefined | RingdError): void => {
    if (result === undefined || result instanceof RingdError) return call.finish(toReply(result))
    call.hold(result.value.length)
    call.finish(result.value)
  }
  if (unit === undefined && !persists) {
    call.find(key, reply)
    return undefined
  }
  const decide = changeExpiry((found) => (found.expiresAtMs === expiresAtMs ? 'as it is' : expiresAtMs))
  call.update(key, decide, (result) => reply(result instanceof RingdError ? result : result.found), true)
  return undefined
}

function setexCommand(name: string, unit: Unit, since: string, summary: string): Command {
  const run = (call: Call): Reply | undefined => {
    const { keyValue, settings } = call.session
    const [, key, amount, value] = call.args as readonly [Buffer, Buffer, Buffer, Buffer]
    const expiresAtMs = momentOf(amount, unit, settings.now(), name)
    if (expiresAtMs instanceof ErrorReply) return expiresAtMs
    const refusal = refuseKey(call, key) ?? refuseValue(call, value)
    if (refusal !== undefined) return refusal
    const done = (error: undefined | RingdError) => call.finish(error === undefined ? 'OK' : toReply(error))
    keyValue.put(key, value, settings.write, done, expiresAtMs)
    return undefined
  }
  return { name, arity: 4, flags: ['write', 'denyoom'], keys: [1, 1, 1], group: 'string', since, summary, run }
}
