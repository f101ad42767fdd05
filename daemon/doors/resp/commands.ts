// The command table of the RESP door, and the checks before a command runs: the command is known, the number of its
// arguments is right, the client has authenticated. Source: the error texts of Redis 7 (server.c).
import { toRingdError } from '../../../lib/errors.js'
import type { Call, Command } from './command.js'
import { expiryCommands } from './commands-expiry.js'
import { keyCommands } from './commands-keys.js'
import { serverCommands } from './commands-server.js'
import { sessionCommands } from './commands-session.js'
import { updateCommands } from './commands-updates.js'
import { ErrorReply, QUOTED_MAX, type Reply, toReply, VerbatimText } from './encoder.js'

const NAME_BYTES_MAX = 32
/** A reply of the door that is smaller than this need not be counted. */
const COUNTED_BYTES_MIN = 512
/** About the memory of one item of such a reply. */
const ITEM_BYTES = 64
const NOT_AUTHENTICATED = new ErrorReply('NOAUTH Authentication required.')

const table: ReadonlyMap<string, Command> = new Map(
  [keyCommands, updateCommands, expiryCommands, sessionCommands, serverCommands(() => table)]
    .flat()
    .map((command) => [command.name, command])
)

const GET = table.get('get')!
const SET = table.get('set')!
const GET_WORD = word(Buffer.from('get'))
const SET_WORD = word(Buffer.from('set'))

/** Runs the command of `call`. It gets exactly one reply, now or later, whatever the client sent. */
export function runCommand(call: Call): void {
  let reply: Reply | undefined
  try {
    reply = answer(call)
  } catch (thrown) {
    reply = toReply(toRingdError(thrown))
  }
  if (reply === undefined) return
  const bytes = bytesOf(reply)
  if (bytes >= COUNTED_BYTES_MIN) {
    call.hold(bytes)
    call.session.made(bytes)
  }
  call.finish(reply)
}

/** About the memory of a reply that the door made itself. Bytes in it are the client's own, and counted as such. */
function bytesOf(reply: Reply): number {
  if (typeof reply !== 'object' || reply === null || reply instanceof ErrorReply) return 0
  if (reply instanceof VerbatimText) return reply.text.length
  if (reply instanceof Uint8Array) return 0
  let bytes = 0
  if (reply instanceof Map) for (const [key, value] of reply) bytes += ITEM_BYTES + bytesOf(key) + bytesOf(value)
  else for (const item of reply as Iterable<Reply>) bytes += ITEM_BYTES + bytesOf(item)
  return bytes
}

function answer(call: Call): Reply | undefined {
  const { args, session } = call
  const command = findCommand(args[0]!)
  if (command === undefined) return new ErrorReply(unknownCommand(args))
  if (!fits(command, args)) return wrongArity(command.name)
  if (!session.authenticated && !command.flags.includes('no_auth')) return NOT_AUTHENTICATED
  if (command.subcommands === undefined || args.length === 1) return command.run(call)
  return answerSubcommand(command, command.subcommands, call)
}

function answerSubcommand(command: Command, subcommands: readonly Command[], call: Call): Reply | undefined {
  const name = call.args[1]!.toString('latin1', 0, QUOTED_MAX)
  const subcommand = subcommands.find((each) => each.name === name.toLowerCase())
  if (subcommand !== undefined) {
    return fits(subcommand, call.args) ? subcommand.run(call) : wrongArity(`${command.name}|${subcommand.name}`)
  }
  if (name.toLowerCase() === 'help') return help(command, subcommands)
  const tried = cut(call.args[1]!, QUOTED_MAX)
  return new ErrorReply(`ERR unknown subcommand '${tried}'. Try ${command.name.toUpperCase()} HELP.`)
}

function help(command: Command, subcommands: readonly Command[]): Reply {
  const title = `${command.name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`
  return [title, ...subcommands.flatMap((each) => [each.name.toUpperCase(), `    ${each.summary}`])]
}

/** Finds GET and SET, the most frequent commands, without making a string. */
function findCommand(name: Buffer): Command | undefined {
  if (name.length === 3) {
    const letters = word(name)
    if (letters === GET_WORD) return GET
    if (letters === SET_WORD) return SET
  }
  return name.length > NAME_BYTES_MAX ? undefined : table.get(name.toString('latin1').toLowerCase())
}

/** Three letters as one number; upper and lower case give the same. */
function word(name: Buffer): number {
  return ((name[0]! | 32) << 16) | ((name[1]! | 32) << 8) | (name[2]! | 32)
}

function fits(command: Command, args: readonly Buffer[]): boolean {
  return command.arity >= 0 ? args.length === command.arity : args.length >= -command.arity
}

function wrongArity(name: string): ErrorReply {
  return new ErrorReply(`ERR wrong number of arguments for '${name}' command`)
}

function unknownCommand(args: readonly Buffer[]): string {
  let quoted = ''
  for (let i = 1; i < args.length && quoted.length < QUOTED_MAX; i++) {
    quoted += `'${cut(args[i]!, QUOTED_MAX - quoted.length)}' `
  }
  return `ERR unknown command '${cut(args[0]!, QUOTED_MAX)}', with args beginning with: ${quoted}`
}

function cut(text: Buffer, bytesMax: number): string {
  return text.subarray(0, bytesMax).toString('utf8')
}
