// Attacks on the Redis port: memory by what is asked and not read, time by what is expensive, and the way to log in.
import type { Socket } from 'node:net'
import { type Attack, type Context, crowd, pause, repeat } from '../attack.js'
import { mutate } from '../means/draws.js'
import { push, rawTcp } from '../means/raw-tcp.js'
import { ask, askOf, command, commandOf, firstLine, respSocket } from '../means/resp.js'

const MIB = 1024 * 1024

function portOf(context: Context): number {
  return context.draws.pick(context.target.victims).respPort
}

/** Writes a value of this size under the key, through the first victim. */
async function writeValue(context: Context, key: string, bytes: number): Promise<void> {
  const socket = await respSocket(context, context.target.victims[0]!.respPort)
  const reply = await ask(context, socket, 'SET', key, Buffer.alloc(bytes, 'x'))
  context.did(`large value: ${reply.slice(0, 20)}`)
  socket.destroy()
}

/** Reads and forgets. Resolves when `bytes` have arrived, or the connection ended. */
function drain(socket: Socket, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    let received = 0
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received >= bytes) resolve()
    })
    socket.once('close', () => resolve())
    socket.resume()
  })
}

const UNREAD_CLIENTS = 200
const LARGE_BYTES = 8 * MIB

const unreadGets: Attack = {
  name: 'redis-unread-gets',
  as: ['data'],
  tries: `${UNREAD_CLIENTS} clients pipeline GETs of a value of 8 MiB to one daemon, and read nothing.`,
  holds: 'The bytes of replies are reserved before they are read, and clients that do not read wait or are closed.',
  async run(context) {
    await writeValue(context, 'attack:8m', LARGE_BYTES)
    const gets = Buffer.concat(Array.from({ length: 16 }, () => command('GET', 'attack:8m')))
    const { respPort } = context.target.victims[0]!
    await crowd(context, UNREAD_CLIENTS, (index) =>
      repeat(context, async () => {
        await pause(context, 5 * index)
        const socket = await respSocket(context, respPort)
        socket.pause()
        context.did('connections')
        while (await push(socket, gets)) {
          context.did('requests', 16)
          await pause(context, 1000)
          if (context.signal.aborted) return
        }
      })
    )
  }
}

const PRIMED_CLIENTS = 100
const UNKNOWN_KEYS = 12

const primedGets: Attack = {
  name: 'redis-primed-gets',
  as: ['data'],
  tries: `${PRIMED_CLIENTS} clients read small values, then 1024 values of 8 MiB that are new to the daemon.`,
  holds: 'No owner sends a large value before memory is reserved for it, whatever a client has read before.',
  async run(context) {
    for (let at = 0; at < UNKNOWN_KEYS; at++) await writeValue(context, `attack:unknown:${at}`, LARGE_BYTES)
    const key = (at: number) => `attack:unknown:${at % UNKNOWN_KEYS}`
    const { respPort } = context.target.victims[1]!
    await crowd(context, PRIMED_CLIENTS, async (index) => {
      const socket = await respSocket(context, respPort)
      for (let at = 0; at < 50; at++) await ask(context, socket, 'GET', `attack:none:${at}`)
      socket.pause()
      await push(socket, Buffer.concat(Array.from({ length: 1024 }, (_, at) => command('GET', key(index + at)))))
      context.did('requests', 1024)
      await pause(context, 60_000)
    })
  }
}

function readers(name: string, clients: number, bytes: number): Attack {
  const size = `${bytes / MIB} MiB`
  return {
    name,
    as: ['data'],
    tries: `${clients} clients read a value of ${size} from one daemon again and again, and take what they get.`,
    holds: 'Large replies share a budget, and small operations do not wait behind them.',
    async run(context) {
      await writeValue(context, `attack:${name}`, bytes)
      const { respPort } = context.target.victims[0]!
      await crowd(context, clients, (index) =>
        repeat(context, async () => {
          await pause(context, 5 * index)
          const socket = await respSocket(context, respPort)
          while (!context.signal.aborted && !socket.destroyed) {
            socket.write(command('GET', `attack:${name}`))
            await drain(socket, bytes)
            context.did('values read')
            socket.removeAllListeners('data')
          }
        })
      )
    }
  }
}

const longPatterns: Attack = {
  name: 'redis-long-patterns',
  as: ['data'],
  tries: 'Asks CONFIG GET with patterns of 7 MiB that are slow to match, and with thousands of patterns.',
  holds: 'Patterns are refused by length and number before they are matched.',
  async run(context) {
    const star = Buffer.from('*a'.repeat((7 * MIB) / 2))
    const many = ['CONFIG', 'GET', ...Array.from({ length: 20_000 }, () => '*a*b*c*d')]
    await crowd(context, 4, () =>
      repeat(context, async () => {
        const socket = await respSocket(context, portOf(context))
        while (!context.signal.aborted && !socket.destroyed) {
          const reply = await (context.draws.below(2) === 0
            ? ask(context, socket, 'CONFIG', 'GET', star)
            : askOf(context, socket, many))
          context.did(reply.slice(0, 30))
        }
      })
    )
  }
}

const largeReplies: Attack = {
  name: 'redis-command-docs',
  as: ['data'],
  tries: 'Asks COMMAND DOCS, COMMAND INFO and COMMAND with 100 000 names, whose reply is far longer than the request.',
  holds: 'The reply of one command is bounded.',
  async run(context) {
    const names = Array.from({ length: 100_000 }, () => 'client')
    await crowd(context, 4, () =>
      repeat(context, async () => {
        const socket = await respSocket(context, portOf(context))
        socket.pause()
        for (const form of ['DOCS', 'INFO', 'DOCS']) {
          await push(socket, commandOf(['COMMAND', form, ...names]))
          context.did(form)
        }
        await pause(context, 400)
        socket.destroy()
      })
    )
  }
}

const longNames: Attack = {
  name: 'redis-long-names',
  as: ['data'],
  tries: 'Names 100 connections with 7 MiB each, by CLIENT SETNAME and HELLO.',
  holds: 'Names are bounded.',
  async run(context) {
    const name = Buffer.alloc(7 * MIB, 'n')
    await crowd(context, 100, async (index) => {
      await pause(context, 20 * index)
      const socket = await respSocket(context, portOf(context))
      const reply = await (index % 2 === 0
        ? ask(context, socket, 'CLIENT', 'SETNAME', name)
        : ask(context, socket, 'HELLO', '3', 'SETNAME', name))
      context.did(reply.slice(0, 30))
      if (reply.startsWith('+OK')) context.breach('a name of 7 MiB is taken')
      await pause(context, 60_000)
    })
  }
}

const GUESSES_MAX = 5

const passwordGuesses: Attack = {
  name: 'redis-password-guesses',
  as: ['outsider'],
  tries: 'Guesses passwords by AUTH and HELLO, pipelined, on many connections.',
  holds: `A connection is closed after ${GUESSES_MAX} wrong passwords, and the guesses are logged with a count.`,
  async run(context) {
    await crowd(context, 20, () =>
      repeat(context, async () => {
        const socket = await rawTcp(context, '127.0.0.1', portOf(context))
        context.did('connections')
        const tries = Array.from({ length: 200 }, () => {
          const guess = Buffer.from(context.draws.bytes(8)).toString('hex')
          return context.draws.below(2) === 0 ? command('AUTH', guess) : command('HELLO', '3', 'AUTH', 'default', guess)
        })
        const answers = await answersTo(context, socket, Buffer.concat(tries))
        context.did('guesses answered', answers)
        if (answers > GUESSES_MAX) context.breach(`more than ${GUESSES_MAX} guesses are answered on a connection`)
        socket.destroy()
      })
    )
  }
}

/** The number of lines that answer these bytes, until the connection ends or half a second passes without one. */
function answersTo(context: Context, socket: Socket, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    let lines = 0
    let timer = setTimeout(() => resolve(lines), 3000)
    const end = () => {
      clearTimeout(timer)
      resolve(lines)
    }
    socket.on('data', (chunk: Buffer) => {
      for (const byte of chunk) if (byte === 10) lines += 1
      clearTimeout(timer)
      timer = setTimeout(() => resolve(lines), 500)
    })
    socket.once('close', end)
    context.signal.addEventListener('abort', end, { once: true })
    socket.write(bytes)
    socket.resume()
  })
}

const UNKNOWN_CONNECTIONS = 2500

const heldConnections: Attack = {
  name: 'redis-held-connections',
  as: ['outsider'],
  tries: `Opens ${UNKNOWN_CONNECTIONS} connections and says nothing, half a command, or what needs a password.`,
  holds: 'Those that do not log in have a share of the connections and a few seconds; good clients are let in.',
  async run(context) {
    const partial = [
      new Uint8Array(0),
      Buffer.from('*2\r\n$3\r\nGET\r\n$100\r\n'),
      Buffer.from('PING'),
      command('GET', 'a')
    ]
    await crowd(context, UNKNOWN_CONNECTIONS, async (index) => {
      await pause(context, index)
      await repeat(context, async () => {
        const socket = await rawTcp(context, '127.0.0.1', context.target.victims[index % 3]!.respPort)
        context.did('connections')
        socket.resume()
        await push(socket, partial[index % partial.length]!)
        await new Promise<void>((resolve) => socket.once('close', () => resolve()))
        if (!context.signal.aborted) context.did('closed by the victim')
        await pause(context, 100)
      })
    })
  }
}

const unknownMemory: Attack = {
  name: 'redis-memory-before-login',
  as: ['outsider'],
  tries: 'On 100 connections without a password, begins commands of 8 MiB and sends all but their last bytes.',
  holds: 'Before the login a command is small, and all such connections share a small budget.',
  async run(context) {
    const chunk = Buffer.alloc(256 * 1024, 'x')
    await crowd(context, 100, (index) =>
      repeat(context, async () => {
        await pause(context, 10 * index)
        const socket = await rawTcp(context, '127.0.0.1', portOf(context))
        socket.resume()
        socket.write(`*3\r\n$3\r\nSET\r\n$1\r\na\r\n$${8 * MIB}\r\n`)
        for (let sent = 0; sent < 8 * MIB - chunk.length && (await push(socket, chunk)); sent += chunk.length) {
          context.did('KiB sent', chunk.length / 1024)
        }
        if (!socket.destroyed) context.did('commands held')
        await new Promise<void>((resolve) => socket.once('close', () => resolve()))
      })
    )
  }
}

const SAMPLES: ReadonlyArray<readonly string[]> = [
  ['PING'],
  ['SET', 'attack:fuzz', 'value', 'EX', '100'],
  ['GET', 'attack:fuzz'],
  ['MSET', 'attack:fuzz', '1', 'attack:fuzz2', '2'],
  ['MGET', 'attack:fuzz', 'attack:fuzz2'],
  ['DEL', 'attack:fuzz'],
  ['EXPIRE', 'attack:fuzz', '10', 'NX'],
  ['GETEX', 'attack:fuzz', 'PX', '1000'],
  ['HELLO', '3', 'SETNAME', 'n'],
  ['CLIENT', 'LIST'],
  ['CLIENT', 'SETINFO', 'LIB-NAME', 'x'],
  ['COMMAND', 'GETKEYS', 'MSET', 'a', 'b'],
  ['COMMAND', 'LIST', 'FILTERBY', 'PATTERN', '*'],
  ['INFO', 'everything'],
  ['CONFIG', 'GET', 'max*'],
  ['SELECT', '0'],
  ['RESET'],
  ['ECHO', 'x']
]
const BROKEN: readonly string[] = [
  ...['*-1\r\n', '*1\r\n$-1\r\n', '*0\r\n', '*131073\r\n', '*1\r\n$8388609\r\n', '*1\r\n:1\r\n', '$5\r\nhello\r\n'],
  ...['*1\r\n$00000000000000000003\r\nGET\r\n', '*2147483647\r\n', '\r\n\r\n', '"', "'\\x", '*1\r\n$+3\r\nGET\r\n']
]

const redisFuzz: Attack = {
  name: 'redis-fuzz',
  as: ['outsider', 'data'],
  tries: 'Sends mutated commands of every sort, pipelined and cut anywhere, inline commands and broken lengths.',
  holds: 'Each is answered with a value or an error, or the connection is closed.',
  async run(context) {
    const { draws } = context
    await crowd(context, 8, () =>
      repeat(context, async () => {
        const socket = await respSocket(context, portOf(context))
        socket.resume()
        for (let turn = 0; turn < 200 && !socket.destroyed; turn++) {
          const valid = command(...draws.pick(SAMPLES))
          const kind = draws.below(4)
          const bytes = kind === 0 ? valid : kind === 1 ? Buffer.from(draws.pick(BROKEN)) : mutate(valid, draws)
          if (!(await push(socket, bytes))) break
          context.did('commands')
        }
        socket.destroy()
      })
    )
  }
}

const manyArguments: Attack = {
  name: 'redis-many-arguments',
  as: ['outsider', 'data'],
  tries: 'Sends commands of 131 072 short arguments, and MGET of 100 000 keys.',
  holds: 'The arguments of one command and the operations of one connection are bounded.',
  async run(context) {
    const keys = Array.from({ length: 100_000 }, (_, at) => `attack:${at}`)
    const short = Buffer.from('$1\r\na\r\n'.repeat(50_000))
    await crowd(context, 6, (index) =>
      repeat(context, async () => {
        const socket = await respSocket(context, portOf(context))
        if (index % 2 === 0) {
          const reply = await askOf(context, socket, ['MGET', ...keys]).catch(() => 'no reply')
          context.did(`MGET: ${reply.slice(0, 20)}`)
        } else {
          socket.resume()
          socket.write('*131072\r\n')
          for (let turn = 0; turn < 20 && (await push(socket, short)); turn++) context.did('arguments', 50_000)
          context.did(await firstLine(context, socket, 500).catch(() => 'no reply'))
        }
        socket.destroy()
      })
    )
  }
}

export const REDIS_ATTACKS: readonly Attack[] = [
  ...[redisFuzz, passwordGuesses, heldConnections, unknownMemory, longNames, longPatterns, largeReplies, manyArguments],
  ...[readers('redis-readers-8m', 100, 8 * MIB), readers('redis-readers-1m', 500, MIB), unreadGets, primedGets]
]
