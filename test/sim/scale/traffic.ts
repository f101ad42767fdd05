// Counts messages and bytes on the simulated wire, by kind, with the sizes that the real codec gives. Each message
// counts as one packet. The overhead of noise, yamux and TCP is not counted. A body that goes to many peers is encoded
// once.

import { RingdError } from '../../../lib/errors.js'
import type { Answer, Body } from '../../../lib/network/network.js'
import { InformedRefusal } from '../../../lib/network/network.js'
import { Frame } from '../../../lib/network/wire.js'

export interface Count {
  messages: number
  bytes: number
}

/** Counts by kind: `ping`, `pong`, `exchange`, `learn`, `rumor`, ... */
export type TrafficCounts = ReadonlyMap<string, Readonly<Count>>

/** Bytes of a packet around its frame: length prefix, clock, tag and length. */
const PACKET_BYTES = 17
/** Copies of one rumor that a peer receives, roughly: each peer of the mesh forwards the rumor. */
export const GOSSIP_DEGREE = 8
/** Bytes around a gossiped rumor: author, sequence number, topic, signature and key. */
const GOSSIP_BYTES = 220
/** A request id of three bytes, as most are. */
const SOME_ID = 100_000

export class Traffic {
  readonly #counts = new Map<string, Count>()
  readonly #sizes = new WeakMap<object, number>()

  request(body: Body): void {
    this.#count(body, false)
  }

  answer(answer: Answer): void {
    if (!(answer instanceof RingdError)) return this.#count(answer, true)
    const knowledge = answer instanceof InformedRefusal ? { knowledge: answer.knowledge } : {}
    this.#count({ refusal: { code: answer.code, message: answer.message, ...knowledge } }, true)
  }

  /** A rumor to `listeners` peers: its author sends it to all, and each forwards it to its mesh. */
  rumor(bytes: number, listeners: number): void {
    const copies = listeners * Math.min(listeners, GOSSIP_DEGREE)
    this.#add('rumor', copies, copies * (bytes + GOSSIP_BYTES))
  }

  get counts(): TrafficCounts {
    return new Map(Array.from(this.#counts, ([kind, count]) => [kind, { ...count }]))
  }

  #count(body: Body, answer: boolean): void {
    const [kind, content] = Object.entries(body).find(([, value]) => value !== undefined) ?? ['nothing', {}]
    let bytes = this.#sizes.get(content)
    if (bytes === undefined) {
      bytes = Frame.encode({ ...body, id: SOME_ID, answer }).length + PACKET_BYTES
      this.#sizes.set(content, bytes)
    }
    this.#add(kind, 1, bytes)
  }

  #add(kind: string, messages: number, bytes: number): void {
    const count = this.#counts.get(kind) ?? { messages: 0, bytes: 0 }
    this.#counts.set(kind, count)
    count.messages += messages
    count.bytes += bytes
  }
}

/** The counts between two moments. */
export function difference(before: TrafficCounts, after: TrafficCounts): TrafficCounts {
  return new Map(
    Array.from(after, ([kind, { messages, bytes }]) => {
      const { messages: fewer, bytes: less } = before.get(kind) ?? { messages: 0, bytes: 0 }
      return [kind, { messages: messages - fewer, bytes: bytes - less }]
    })
  )
}

export function total(counts: TrafficCounts): Count {
  const sum = { messages: 0, bytes: 0 }
  for (const { messages, bytes } of counts.values()) {
    sum.messages += messages
    sum.bytes += bytes
  }
  return sum
}
