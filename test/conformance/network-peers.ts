// What the conformance tests of networks share: the networks of one test, and peers that answer.
import * as assert from 'uvu/assert'
import { EMPTY_BYTES } from '../../lib/bytes.js'
import { type ErrorCode, RingdError } from '../../lib/errors.js'
import type { PeerId } from '../../lib/member.js'
import type { Answer, Body, Network, PeerEvent, StreamClass } from '../../lib/network/network.js'

export interface NodeOptions {
  /** The peer id of an earlier node, as which this one starts again. */
  readonly again?: PeerId
  readonly wireVersion?: number
}

/** The networks of one test, and the clock on which they run. */
export interface NetworkFixture {
  /** Makes a network that is neither started nor introduced. */
  node(options?: NodeOptions): Promise<Network>
  /** Waits until the condition holds; fails after a while. */
  until(condition: () => boolean, what: string): Promise<void>
  /** Resolves like `promise`, letting time pass. */
  wait<T>(promise: Promise<T>): Promise<T>
  /** Lets `ms` pass. */
  elapse(ms: number): Promise<void>
  /** Ends a node as a crash does: it says nothing to its peers. */
  kill(network: Network): Promise<void>
  /** Stops every node. */
  close(): Promise<void>
}

export const RING = 'ab'.repeat(16)
export const OTHER_RING = 'cd'.repeat(16)
export const STORE = '11'.repeat(16)

export interface Peer {
  readonly network: Network
  readonly events: PeerEvent[]
  readonly rumors: Array<readonly [from: PeerId, rumor: string]>
}

export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text))
}

export function codeOf(answer: Answer): ErrorCode | 'no error' {
  return answer instanceof RingdError ? answer.code : 'no error'
}

export async function codeOfThrown(promise: Promise<unknown>): Promise<ErrorCode | 'no error'> {
  return promise.then(
    () => 'no error',
    (thrown) => (thrown as RingdError).code
  )
}

export async function peer(fixture: NetworkFixture, ring = RING, options?: NodeOptions): Promise<Peer> {
  const network = await fixture.node(options)
  const events: PeerEvent[] = []
  const rumors: Array<readonly [PeerId, string]> = []
  network.introduce(ring, STORE)
  network.onPeer((event) => events.push(event))
  network.onRumor((from, rumor) => rumors.push([from, Buffer.from(rumor).toString()]))
  return { network, events, rumors }
}

/** Answers each read with its key as the envelope. */
export function echo({ network }: Peer): void {
  for (const stream of ['control', 'operations', 'bulk'] as const) {
    network.serve(stream, (_from, body, respond) => {
      if (body.read !== undefined) respond({ value: { envelope: body.read.key } })
      else if (body.ping !== undefined)
        respond({
          pong: {
            view: body.ping.view,
            ringDigest: '',
            entries: 0,
            bytes: 0,
            batch: 0,
            highestBatchHeard: 0,
            signature: EMPTY_BYTES,
            heardSignature: EMPTY_BYTES
          }
        })
      else respond(new RingdError('BAD_REQUEST'))
    })
  }
}

export function ask(
  from: Peer,
  to: Peer,
  body: Body,
  options: { stream?: StreamClass; timeoutMs?: number } = {}
): Promise<Answer> {
  const { stream = 'operations', timeoutMs = 3000 } = options
  return new Promise((resolve) => from.network.request(to.network.peerId, stream, body, timeoutMs, resolve))
}

export async function pair(
  fixture: NetworkFixture,
  prepare: (peer: Peer, index: number) => void
): Promise<[Peer, Peer]> {
  const peers = [await peer(fixture), await peer(fixture)] as const
  for (const [index, one] of peers.entries()) {
    prepare(one, index)
    await one.network.start()
  }
  await connect(fixture, peers[0], peers[1])
  return [peers[0], peers[1]]
}

export async function connect(fixture: NetworkFixture, from: Peer, to: Peer): Promise<void> {
  assert.is(await fixture.wait(from.network.dial(to.network.addresses()[0]!, 5000)), to.network.peerId)
  await fixture.until(() => to.network.link(from.network.peerId) !== undefined, 'the other end is up, too')
}

export function countOf({ events }: Peer, type: PeerEvent['type']): number {
  return events.filter((event) => event.type === type).length
}
