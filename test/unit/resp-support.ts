// Shared by the RESP suites: a real clock, a ring that is a Map with delays, a door on a free port, and a client of raw
// bytes.
import { connect, type Socket } from 'node:net'
import { SMALL_BYTES_MAX } from '../../daemon/doors/resp/lanes.js'
import { RespDoor, type RespDoorDeps, type RespDoorOptions } from '../../daemon/doors/resp/server.js'
import type { Bytes } from '../../lib/bytes.js'
import type { Clock } from '../../lib/clock.js'
import { makeVersion } from '../../lib/entry/version.js'
import { type ErrorCode, RingdError, ValueLarger } from '../../lib/errors.js'
import type { Consistency, Decide, Found, KeyValue, UpdateOptions, Value } from '../../lib/key-value.js'
import { silent } from '../../lib/logger.js'

/** This ring keeps no versions. */
const VERSION = makeVersion(1, 0, new Uint8Array(8))
/** A test fails when a condition has not come true after this long. */
const DEADLINE_MS = 20_000

export const clock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(delayMs, task) {
    const handle = setTimeout(task, delayMs)
    return { cancel: () => clearTimeout(handle) }
  },
  defer: (task) => void setImmediate(task)
}

/** A clock that runs `times` as fast as the real one, for deadlines of seconds. */
export function fastClock(times: number): Clock {
  return {
    ...clock,
    elapsed: () => performance.now() * times,
    after: (delayMs, task) => clock.after(delayMs / times, task)
  }
}

/** A ring whose operations take effect when the test says so: at once, after pseudo-random delays, or by `release`. */
export class FakeRing implements KeyValue {
  readonly map = new Map<string, Bytes>()
  /** When each value in the map expires, ms since 1970. A value without an entry here stays. */
  readonly expiries = new Map<string, number>()
  readonly asked: string[] = []
  /** When set, the error with which every operation ends. */
  failure: ErrorCode | undefined
  inFlight = 0
  mostInFlight = 0
  /** The most bytes of the limits of reads under way, without those of small values. */
  mostReserved = 0
  #reserved = 0
  readonly #mode: 'now' | 'random' | 'manual'
  readonly #waiting: Array<() => void> = []
  #seed = 1

  constructor(mode: 'now' | 'random' | 'manual' = 'now') {
    this.#mode = mode
  }

  get(
    key: Bytes,
    consistency: Consistency,
    reply: (result: Bytes | undefined | RingdError) => void,
    bytesMax?: number
  ): void {
    this.#run('get', key, consistency, () => reply(this.#error(key, bytesMax) ?? this.#found(key)?.value), bytesMax)
  }

  put(
    key: Bytes,
    value: Bytes,
    consistency: Consistency,
    reply: (result: undefined | RingdError) => void,
    expiresAtMs?: number
  ): void {
    this.#run('put', key, consistency, () => {
      this.#store(key, { value: Buffer.from(value), expiresAtMs })
      reply(this.#error())
    })
  }

  find(
    key: Bytes,
    consistency: Consistency,
    reply: (result: Found | undefined | RingdError) => void,
    bytesMax?: number
  ): void {
    this.#run('find', key, consistency, () => reply(this.#error(key, bytesMax) ?? this.#found(key)), bytesMax)
  }

  update<T>(
    key: Bytes,
    consistency: Consistency,
    decide: Decide<T>,
    reply: (result: T | RingdError) => void,
    { bytesMax }: UpdateOptions = {}
  ): void {
    this.#run('update', key, consistency, () => {
      const error = this.#error(key, bytesMax)
      if (error !== undefined) return reply(error)
      const { change, result } = decide(this.#found(key))
      if (change === 'delete') this.#drop(key)
      else if (change !== undefined) this.#store(key, { ...change, value: Buffer.from(change.value) })
      reply(result)
    })
  }

  delete(
    key: Bytes,
    consistency: Consistency,
    reply: (existed: boolean | RingdError) => void,
    bytesMax?: number
  ): void {
    this.#run('delete', key, consistency, () => reply(this.#error(key, bytesMax) ?? this.#drop(key)))
  }

  /** Lets the oldest `count` operations take effect. */
  release(count = this.#waiting.length): void {
    for (const task of this.#waiting.splice(0, count)) task()
  }

  #found(key: Bytes): Found | undefined {
    const expiresAtMs = this.expiries.get(name(key))
    if (expiresAtMs !== undefined && expiresAtMs <= clock.now()) this.#drop(key)
    const value = this.map.get(name(key))
    return value && { value, expiresAtMs, version: VERSION }
  }

  #store(key: Bytes, { value, expiresAtMs }: Value): void {
    this.map.set(name(key), value)
    if (expiresAtMs === undefined) this.expiries.delete(name(key))
    else this.expiries.set(name(key), expiresAtMs)
  }

  #drop(key: Bytes): boolean {
    this.expiries.delete(name(key))
    return this.map.delete(name(key))
  }

  #error(key?: Bytes, bytesMax = Number.POSITIVE_INFINITY): RingdError | undefined {
    if (this.failure !== undefined) return new RingdError(this.failure)
    const size = key && this.map.get(name(key))?.length
    return size !== undefined && size > bytesMax ? new ValueLarger(size) : undefined
  }

  #run(what: string, key: Bytes, consistency: Consistency, task: () => void, bytesMax = 0): void {
    const reserved = bytesMax > SMALL_BYTES_MAX ? bytesMax : 0
    this.#reserved += reserved
    this.mostReserved = Math.max(this.mostReserved, this.#reserved)
    this.asked.push(`${what} ${name(key)} ${consistency}`)
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight)
    const finish = () => {
      this.inFlight--
      this.#reserved -= reserved
      task()
    }
    if (this.#mode === 'now') finish()
    else if (this.#mode === 'manual') this.#waiting.push(finish)
    else {
      this.#seed = (Math.imul(this.#seed, 1103515245) + 12345) & 0x7fffffff
      setTimeout(finish, (this.#seed >> 8) % 5)
    }
  }
}

function name(key: Bytes): string {
  return Buffer.from(key).toString('latin1')
}

export const info = {
  version: '0.0.1-test',
  runId: 'ab'.repeat(20),
  processId: 42,
  keys: () => 7,
  largestNear: () => Number.POSITIVE_INFINITY,
  memoryBytes: () => 1000
}

export interface OpenDoor {
  readonly door: RespDoor
  readonly port: number
}

/** Closers of what a test has opened, for tests that fail half-way. */
const leftOpen: Array<() => unknown> = []

/** Call after each test. An open door or socket would keep the process alive. */
export async function closeAll(): Promise<void> {
  await Promise.all(leftOpen.splice(0).map((close) => close()))
}

/** `deps`: what the door gets in place of the usual clock, log and metrics. */
export async function openDoor(
  keyValue: KeyValue,
  options: Partial<RespDoorOptions> = {},
  deps: Partial<RespDoorDeps> = {}
): Promise<OpenDoor> {
  const all = { keyValue, clock, log: silent, info, ...deps }
  const door = new RespDoor(all, { port: 0, drainMs: 2000, ...options })
  leftOpen.push(() => door.stop())
  const { port } = await door.start()
  return { door, port }
}

/** Waits for `condition`, tested each millisecond. Fails after a deadline. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + DEADLINE_MS
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never came: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** A client of raw bytes. */
export class RawClient {
  closed = false
  ended = false
  bytes = 0
  readonly socket: Socket
  #chunks: Buffer[] = []

  constructor(port: number, reads = true) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    leftOpen.push(() => this.socket.destroy())
    if (reads) this.read()
    this.socket.on('end', () => {
      this.ended = true
      this.socket.end()
    })
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.on('error', () => {})
  }

  read(): void {
    this.socket.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length
      this.#chunks.push(chunk)
    })
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('latin1')
  }

  send(...requests: ReadonlyArray<string | Buffer>): void {
    for (const each of requests) this.socket.write(typeof each === 'string' ? Buffer.from(each, 'latin1') : each)
  }

  /**
   * Resolves with all received bytes once they are as long as `expected`, so that a difference is readable. Then clears
   * them.
   */
  async expect(expected: string): Promise<string> {
    await until(() => this.bytes >= expected.length || this.closed, JSON.stringify(expected.slice(0, 100)))
    const text = this.text
    this.#chunks = []
    this.bytes = 0
    return text
  }

  async close(): Promise<void> {
    this.socket.destroy()
    await until(() => this.closed, 'closed')
  }
}

/** Encodes a multibulk request. */
export function request(...args: ReadonlyArray<string | Buffer>): Buffer {
  const parts = args.map((arg) => (typeof arg === 'string' ? Buffer.from(arg, 'latin1') : arg))
  return Buffer.concat([
    Buffer.from(`*${parts.length}\r\n`),
    ...parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')])
  ])
}

export function bulkReply(text: string): string {
  return `$${text.length}\r\n${text}\r\n`
}
