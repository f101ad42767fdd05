// A minimal Redis client for benchmarks: it sends pipelines over one socket and counts failures. Also a light load that
// times each request.
import { connect, type Socket } from 'node:net'
import { systemClock } from '../lib/system-clock.js'
import { pause } from './bench-peers.js'

const CR = 13
const LF = 10
const DOLLAR = 36
const STAR = 42
const MINUS = 45

/**
 * Called for each reply. `failed`: the reply is an error, or the connection closed before it came. `isNil`: there is no
 * such key. `error`: the text of the error, when there is one.
 */
type Answered = (failed: boolean, isNil: boolean, error?: string) => void

export class RespSocket {
  readonly #socket: Socket
  readonly #waiting: Answered[] = []
  #rest: Buffer = Buffer.alloc(0)
  #isClosed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay()
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#isClosed = true
      for (const answered of this.#waiting.splice(0)) answered(true, false)
    })
  }

  static open(port: number): Promise<RespSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new RespSocket(socket)))
    })
  }

  /** Sends the commands in one write. Calls `answered` for each of them, in their order. */
  ask(commands: ReadonlyArray<readonly (string | Buffer)[]>, answered: Answered): void {
    if (this.#isClosed) {
      for (let at = 0; at < commands.length; at++) answered(true, false)
      return
    }
    for (let at = 0; at < commands.length; at++) this.#waiting.push(answered)
    this.#socket.write(Buffer.concat(commands.map(encode)))
  }

  /** Sends the commands in one write. Resolves with the number of failures when all are answered. */
  send(commands: ReadonlyArray<readonly (string | Buffer)[]>): Promise<number> {
    return new Promise((resolve) => {
      let open = commands.length
      let failures = 0
      this.ask(commands, (failed) => {
        failures += failed ? 1 : 0
        if (--open === 0) resolve(failures)
      })
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (let end = endOfReply(bytes, at); end !== -1; end = endOfReply(bytes, at)) {
      const error = bytes[at] === MINUS ? bytes.toString('utf8', at + 1, end - 2) : undefined
      const isNil = (bytes[at] === DOLLAR || bytes[at] === STAR) && bytes[at + 1] === MINUS
      this.#waiting.shift()?.(error !== undefined, isNil, error)
      at = end
    }
    this.#rest = bytes.subarray(at)
  }
}

/** The position after the reply at `at`, or -1 while the reply is incomplete. */
export function endOfReply(bytes: Buffer, at: number): number {
  const lineEnd = bytes.indexOf(LF, at) + 1
  if (lineEnd === 0) return -1
  if (bytes[at] === STAR) {
    let end = lineEnd
    for (let left = Number(bytes.toString('latin1', at + 1, lineEnd - 2)); left > 0 && end !== -1; left--) {
      end = end < bytes.length ? endOfReply(bytes, end) : -1
    }
    return end
  }
  if (bytes[at] !== DOLLAR || bytes[at + 1] === MINUS) return lineEnd
  const end = lineEnd + Number(bytes.toString('latin1', at + 1, bytes.indexOf(CR, at))) + 2
  return end <= bytes.length ? end : -1
}

function encode(command: readonly (string | Buffer)[]): Buffer {
  const parts = command.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), Buffer.from(part), Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(`*${command.length}\r\n`), ...parts])
}

/** Sends one request at a time, alternately SET and GET, with a pause after each, and times each one. */
export class LightLoad {
  readonly #socket: RespSocket
  readonly #done: Promise<void>
  #times: number[] = []
  #failures = 0
  #stopping = false

  private constructor(socket: RespSocket, keyAt: (turn: number) => string, gapMs: number) {
    this.#socket = socket
    this.#done = this.#run(keyAt, gapMs)
  }

  static async start(port: number, keyAt: (turn: number) => string, gapMs: number): Promise<LightLoad> {
    return new LightLoad(await RespSocket.open(port), keyAt, gapMs)
  }

  async #run(keyAt: (turn: number) => string, gapMs: number): Promise<void> {
    const value = Buffer.alloc(100, 'x')
    for (let turn = 0; !this.#stopping; turn++) {
      const key = keyAt(turn)
      const started = systemClock.elapsed()
      this.#failures += await this.#socket.send([turn % 2 === 0 ? ['SET', key, value] : ['GET', key]])
      this.#times.push(systemClock.elapsed() - started)
      await pause(gapMs)
    }
  }

  /** The durations of the requests since the last call, ms. */
  take(): number[] {
    const times = this.#times
    this.#times = []
    return times
  }

  /** Resolves with the number of failed requests. */
  async stop(): Promise<number> {
    this.#stopping = true
    await this.#done
    this.#socket.close()
    return this.#failures
  }
}
