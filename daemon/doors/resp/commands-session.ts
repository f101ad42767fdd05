// The commands about the connection itself: HELLO, AUTH, CLIENT, SELECT, PING, ECHO, RESET, QUIT.
import type { Call, Command, Session } from './command.js'
import { bulk, ErrorReply, NOT_AN_INTEGER, QUOTED_MAX, type Reply, SYNTAX_ERROR } from './encoder.js'
import { parseInteger } from './parser.js'

const OK = 'OK'
const NO_KEYS = [0, 0, 0] as const
const QUICK = ['noscript', 'loading', 'stale', 'fast']
const OPEN = [...QUICK, 'no_auth', 'allow_busy']
const BAD_NAME = 'ERR Client names cannot contain spaces, newlines or special characters.'
/** A client names itself and its library. The door keeps the name for as long as the connection lasts. */
const NAME_BYTES_MAX = 128
/** HELLO with each option twice. */
const HELLO_ARGUMENTS_MAX = 12
const LONG_NAME = `ERR a name has at most ${NAME_BYTES_MAX} bytes`
const WRONG_PASSWORD = new ErrorReply('WRONGPASS invalid username-password pair or user is disabled.')
const NO_PASSWORD_SET =
  'ERR AUTH <password> called without any password configured for the default user. ' +
  'Are you sure your configuration is correct?'
const HELLO_NEEDS_AUTH =
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> ' +
  'option can be used to authenticate the client and select the RESP protocol version at the same time'
/** The Redis version that this door behaves like; clients choose their features by it. */
export const REDIS_VERSION = '7.0.15'

function row(name: string, arity: number, since: string, summary: string, run: Command['run'], flags = QUICK): Command {
  return { name, arity, flags, keys: NO_KEYS, group: 'connection', since, summary, run }
}

const clientCommands: readonly Command[] = [
  row('id', 2, '5.0.0', 'Returns the unique client ID of the connection.', (call) => call.session.id),
  row('getname', 2, '2.6.9', 'Returns the name of the connection.', (call) =>
    call.session.name === '' ? null : bulk(call.session.name)
  ),
  row('setname', 3, '2.6.9', 'Sets the connection name.', (call) => {
    const refusal = refuseName(call.args[2]!, BAD_NAME)
    if (refusal !== undefined) return refusal
    call.session.name = call.args[2]!.toString('latin1')
    return OK
  }),
  row('setinfo', 4, '7.2.0', 'Sets information specific to the client or connection.', setInfo)
]

export const sessionCommands: readonly Command[] = [
  row('ping', -1, '1.0.0', "Returns the server's liveliness response.", ping, ['fast']),
  row('echo', 2, '1.0.0', 'Returns the given string.', (call) => call.args[1]!, ['fast']),
  row('quit', -1, '1.0.0', 'Closes the connection.', quit, OPEN),
  row('reset', 1, '6.2.0', 'Resets the connection.', reset, OPEN),
  row('hello', -1, '6.0.0', 'Handshakes with the server.', hello, OPEN),
  row('auth', -2, '1.0.0', 'Authenticates the connection.', authenticate, OPEN),
  row('select', 2, '1.0.0', 'Changes the selected database: there is only 0.', select, ['loading', 'stale', 'fast']),
  {
    ...row('client', -2, '2.4.0', 'A container for client connection commands.', () => null),
    subcommands: clientCommands
  },
  row('post', -1, '1.0.0', 'Closes the connection: a browser is talking.', refuseBrowser, OPEN),
  row('host:', -1, '1.0.0', 'Closes the connection: a browser is talking.', refuseBrowser, OPEN)
]

function ping(call: Call): Reply {
  if (call.args.length > 2) return new ErrorReply("ERR wrong number of arguments for 'ping' command")
  return call.args[1] ?? 'PONG'
}

function quit(call: Call): Reply {
  call.session.closeWhenAnswered()
  return OK
}

/**
 * Closes the connection on an inline request that begins like HTTP. A web page can make a browser send it, with
 * commands in the lines that follow; those must not run. As in Redis.
 */
function refuseBrowser(call: Call): Reply {
  call.session.closeWhenAnswered()
  return new ErrorReply('ERR this port speaks the Redis protocol, not HTTP')
}

function reset(call: Call): Reply {
  const { session } = call
  session.protocol = 2
  session.name = ''
  session.authenticated = !session.settings.login.isRequired
  return 'RESET'
}

function select(call: Call): Reply {
  const index = parseInteger(call.args[1]!)
  if (index === undefined) return NOT_AN_INTEGER
  if (index !== 0) return new ErrorReply('ERR DB index is out of range')
  return OK
}

function setInfo(call: Call): Reply {
  const attribute = call.args[2]!.toString('latin1', 0, QUOTED_MAX)
  const name = attribute.toLowerCase()
  if (name !== 'lib-name' && name !== 'lib-ver') return new ErrorReply(`ERR Unrecognized option '${attribute}'`)
  return refuseName(call.args[3]!, `ERR ${name} cannot contain spaces, newlines or special characters.`) ?? OK
}

function authenticate(call: Call): Reply | undefined {
  const { args, session } = call
  if (args.length > 3) return SYNTAX_ERROR
  if (args.length === 2 && !session.settings.login.isRequired) return new ErrorReply(NO_PASSWORD_SET)
  const user = args.length === 3 ? args[1]! : Buffer.from('default')
  if (!logIn(session, user, args.at(-1)!)) return session.refuseLogin(call, WRONG_PASSWORD)
  return OK
}

function logIn(session: Session, user: Buffer, password: Buffer): boolean {
  if (!session.settings.login.accepts(user, password)) return false
  session.authenticated = true
  return true
}

interface Greeting {
  protocol: number | undefined
  user?: Buffer
  password?: Buffer
  name?: Buffer
}

/** HELLO [protover [AUTH user password] [SETNAME name]]. Changes nothing when one part of it is wrong. */
function hello(call: Call): Reply | undefined {
  const { session } = call
  const greeting = readGreeting(call.args)
  if (greeting instanceof ErrorReply) return greeting
  const badName = greeting.name && refuseName(greeting.name, BAD_NAME)
  if (badName !== undefined) return badName
  if (greeting.user !== undefined && !logIn(session, greeting.user, greeting.password!))
    return session.refuseLogin(call, WRONG_PASSWORD)
  if (!session.authenticated) return new ErrorReply(HELLO_NEEDS_AUTH)
  if (greeting.name !== undefined) session.name = greeting.name.toString('latin1')
  if (greeting.protocol !== undefined) session.protocol = greeting.protocol === 3 ? 3 : 2
  const answer: ReadonlyArray<readonly [string, Reply]> = [
    ['server', bulk('redis')],
    ['version', bulk(REDIS_VERSION)],
    ['proto', session.protocol],
    ['id', session.id],
    ['mode', bulk('standalone')],
    ['role', bulk('master')],
    ['modules', []]
  ]
  return new Map(answer.map(([key, value]) => [bulk(key), value]))
}

function readGreeting(args: readonly Buffer[]): Greeting | ErrorReply {
  const greeting: Greeting = { protocol: undefined }
  if (args.length === 1) return greeting
  if (args.length > HELLO_ARGUMENTS_MAX) return SYNTAX_ERROR
  const protocol = parseInteger(args[1]!)
  if (protocol === undefined) return new ErrorReply('ERR Protocol version is not an integer or out of range')
  if (protocol !== 2 && protocol !== 3) return new ErrorReply('NOPROTO unsupported protocol version')
  greeting.protocol = protocol
  for (let at = 2; at < args.length; ) {
    const option = args[at]!.toString('latin1', 0, QUOTED_MAX)
    const left = args.length - at - 1
    if (option.toUpperCase() === 'AUTH' && left >= 2) {
      greeting.user = args[at + 1]!
      greeting.password = args[at + 2]!
      at += 3
    } else if (option.toUpperCase() === 'SETNAME' && left >= 1) {
      greeting.name = args[at + 1]!
      at += 2
    } else return new ErrorReply(`ERR Syntax error in HELLO option '${option}'`)
  }
  return greeting
}

function refuseName(name: Buffer, unprintable: string): ErrorReply | undefined {
  if (name.length > NAME_BYTES_MAX) return new ErrorReply(LONG_NAME)
  return isPrintable(name) ? undefined : new ErrorReply(unprintable)
}

/** ASCII without spaces and control characters. */
function isPrintable(text: Buffer): boolean {
  return text.every((byte) => byte >= 33 && byte <= 126)
}
