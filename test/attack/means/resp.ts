// A Redis connection of an attacker: commands as bytes, replies read or left unread.
import type { Socket } from 'node:net'
import { type Context, within } from '../attack.js'
import { rawTcp } from './raw-tcp.js'

const REPLY_MS_MAX = 5000

export function command(...parts: readonly (string | Uint8Array)[]): Buffer {
  return commandOf(parts)
}

/** For commands of more arguments than a call may have. */
export function commandOf(parts: readonly (string | Uint8Array)[]): Buffer {
  const pieces = parts.flatMap((part) => {
    const bytes = typeof part === 'string' ? Buffer.from(part) : Buffer.from(part)
    return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]
  })
  return Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...pieces])
}

/** Opens a connection to the Redis port. Logs in when the attacker has the password. */
export async function respSocket(context: Context, port: number): Promise<Socket> {
  const socket = await rawTcp(context, '127.0.0.1', port)
  const { respPassword } = context.target
  if (respPassword === undefined) return socket
  socket.write(command('AUTH', respPassword))
  const reply = await firstLine(context, socket)
  if (!reply.startsWith('+OK')) throw new Error(`AUTH: ${reply}`)
  return socket
}

/** The next bytes that arrive, as text up to the first line end. Stops reading after them. */
export async function firstLine(context: Context, socket: Socket, ms = REPLY_MS_MAX): Promise<string> {
  let said = ''
  let hear = (_chunk: Buffer) => {}
  let ended = () => {}
  const line = new Promise<string>((resolve, reject) => {
    hear = (chunk) => {
      said += chunk.toString('latin1')
      const end = said.indexOf('\r\n')
      if (end !== -1) resolve(said.slice(0, end))
    }
    ended = () => reject(new Error('closed'))
    socket.on('data', hear)
    socket.once('close', ended)
    if (socket.destroyed) ended()
  })
  try {
    return await within(context, ms, line)
  } finally {
    socket.off('data', hear)
    socket.off('close', ended)
    socket.pause()
  }
}

/** Sends a command and returns the first line of its reply. */
export function ask(context: Context, socket: Socket, ...parts: readonly (string | Uint8Array)[]): Promise<string> {
  return askOf(context, socket, parts)
}

/** As `ask`, for commands of more arguments than a call may have. */
export function askOf(context: Context, socket: Socket, parts: readonly (string | Uint8Array)[]): Promise<string> {
  const line = firstLine(context, socket)
  socket.write(commandOf(parts))
  socket.resume()
  return line
}
