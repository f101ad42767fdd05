// One stream of ringd's protocol in the hands of an attacker: packets as it likes, answers if it reads them.
// Owns no limit: the victim's limits are under test. Packets are made by protons, so they are valid unless the attacker
// makes bytes itself.
import type { Stream } from '@libp2p/interface'
import { fromHex } from '../../../lib/bytes.js'
import { type Body, WIRE_VERSION } from '../../../lib/network/network.js'
import { type Frame, Packet } from '../../../lib/network/wire.js'
import { type Context, within } from '../attack.js'
import type { Wire } from './libp2p-node.js'

export const STREAM_PROTOCOLS = {
  control: '/ringd/control/1.0.0',
  operations: '/ringd/operations/1.0.0',
  bulk: '/ringd/bulk/1.0.0',
  pull: '/ringd/pull/1.0.0',
  client: '/ringd/client/1.0.0'
} as const
export type StreamName = keyof typeof STREAM_PROTOCOLS

const ANSWER_MS_MAX = 5000
const PREFIX_BYTES = 4

/** The identity in a hello: hex, '' for none. */
export interface Claim {
  readonly ringId: string
  readonly storeId: string
}
export const NOBODY_CLAIM: Claim = { ringId: '', storeId: '' }

/** Packet with its length before it. */
export function packetOf(frames: readonly Frame[], clockMs = 0): Uint8Array<ArrayBuffer> {
  const body = Packet.encode({ clockMs, clockCounter: 0, frames: [...frames] })
  const packet = new Uint8Array(PREFIX_BYTES + body.length)
  new DataView(packet.buffer).setUint32(0, body.length)
  packet.set(body, PREFIX_BYTES)
  return packet
}

export function helloFrame({ ringId, storeId }: Claim): Frame {
  const hello = {
    wireVersion: WIRE_VERSION,
    ringId: new Uint8Array(fromHex(ringId)),
    storeId: new Uint8Array(fromHex(storeId)),
    instance: new Uint8Array(8).fill(1),
    startedAtMs: 1,
    expects: 0
  }
  return { id: 0, answer: false, hello }
}

export class PeerStream {
  readonly stream: Stream
  readonly #context: Context
  readonly #waiting = new Map<number, PromiseWithResolvers<Body>>()
  #received: Buffer = Buffer.alloc(0)
  #nextId = 1
  readonly #hello = Promise.withResolvers<void>()
  /** Serves the requests of the victim; undefined: they get no answer. */
  serve: ((body: Body) => Body | undefined) | undefined
  closed = false

  private constructor(context: Context, stream: Stream) {
    this.#context = context
    this.stream = stream
    this.#hello.promise.catch(() => {})
    stream.addEventListener('message', ({ data }) => this.#receive(Buffer.from(data.subarray())))
    const end = () => {
      this.closed = true
      this.#hello.reject(new Error('closed'))
      for (const { reject } of this.#waiting.values()) reject(new Error('closed'))
      this.#waiting.clear()
    }
    stream.addEventListener('close', end)
    stream.addEventListener('remoteCloseWrite', end)
  }

  /** Opens the stream and says hello, unless the claim is left out. */
  static async open(context: Context, wire: Wire, name: StreamName, claim?: Claim): Promise<PeerStream> {
    const stream = new PeerStream(context, await wire.open(STREAM_PROTOCOLS[name]))
    if (claim !== undefined) stream.raw(packetOf([helloFrame(claim)]))
    return stream
  }

  /** Resolves with the first hello of the victim. Rejects when the stream ends before, or after five seconds. */
  greeted(): Promise<void> {
    return within(this.#context, ANSWER_MS_MAX, this.#hello.promise)
  }

  /** Sends one request. Returns its id. */
  post(body: Body, clockMs = 0): number {
    const id = this.#nextId++
    this.raw(packetOf([{ id, answer: false, ...body }], clockMs))
    return id
  }

  /** Sends one request and waits for its answer; a refusal is an answer. */
  ask(body: Body, clockMs = 0): Promise<Body> {
    const answer = Promise.withResolvers<Body>()
    this.#waiting.set(this.post(body, clockMs), answer)
    return within(this.#context, ANSWER_MS_MAX, answer.promise)
  }

  /** Sends bytes as they are. False: the buffer is full, wait for `drained`. Throws when the stream has ended. */
  raw(bytes: Uint8Array): boolean {
    return this.stream.send(bytes)
  }

  /** Resolves when the stream takes bytes again. Rejects when it ends. */
  drained(ms = ANSWER_MS_MAX): Promise<void> {
    return within(
      this.#context,
      ms,
      new Promise<void>((resolve, reject) => {
        if (this.closed) return reject(new Error('closed'))
        this.stream.addEventListener('drain', () => resolve(), { once: true })
        this.stream.addEventListener('close', () => reject(new Error('closed')), { once: true })
      })
    )
  }

  /** Stops reading: the victim's answers stay with the victim. */
  stopReading(): void {
    this.stream.pause()
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    while (this.#received.length >= PREFIX_BYTES) {
      const length = this.#received.readUInt32BE(0)
      if (this.#received.length < PREFIX_BYTES + length) return
      const body = this.#received.subarray(PREFIX_BYTES, PREFIX_BYTES + length)
      this.#received = this.#received.subarray(PREFIX_BYTES + length)
      for (const frame of Packet.decode(new Uint8Array(body)).frames) this.#take(frame)
    }
  }

  #take({ id, answer, ...body }: Frame): void {
    if (body.hello !== undefined) this.#hello.resolve()
    else if (answer) {
      this.#waiting.get(id)?.resolve(body)
      this.#waiting.delete(id)
    } else {
      const reply = this.serve?.(body)
      if (reply !== undefined && !this.closed) this.raw(packetOf([{ id, answer: true, ...reply }]))
    }
  }
}

/** The code of a refusal; 'answered' for any other answer. */
export function codeOf({ refusal }: Body): string {
  return refusal === undefined ? 'answered' : refusal.code
}

/** The code of the answer to come; 'no answer' when there is none. */
export function outcomeOf(answer: Promise<Body>): Promise<string> {
  return answer.then(codeOf, () => 'no answer')
}
