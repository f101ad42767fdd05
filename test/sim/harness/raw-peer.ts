// A peer that speaks the wire of a ring and runs no node. A test says what it claims to be, asks and answers.
import { silent } from '../../../lib/logger.js'
import type { Body, RequestHandler } from '../../../lib/network/network.js'
import type { MemoryNetwork } from '../seams/memory-network.js'
import { seeded } from '../sim-node.js'
import type { SimRing } from '../sim-ring.js'

export interface RawPeerOptions {
  readonly peerId: string
  /** The store id in its hellos. */
  readonly storeId: string
  /** How far its stamps lie ahead of the wall clock. */
  readonly aheadMs?: number
  /** Gets, for each stamp that it receives, how far it lies ahead of the wall clock. */
  readonly stamps?: number[]
  /** Answers control requests. Default: with `done`. */
  readonly control?: (body: Body) => Body
}

/** Starts the peer, introduced to the ring of the first running node. It has no links yet. */
export async function rawPeer(ring: SimRing, options: RawPeerOptions): Promise<MemoryNetwork> {
  const { peerId, storeId, aheadMs = 0, stamps = [], control = () => ({ done: {} }) } = options
  const clock = ring.clock.forNode()
  const observe = (ms: number) => void stamps.push(ms - clock.now())
  const hlc = { stamp: () => ({ ms: clock.now() + aheadMs, counter: 0 }), observe }
  const network = ring.hub.network({ peerId, clock, random: seeded(7), log: silent, hlc })
  network.introduce(ring.running[0]!.node.view!.founding.ringId, storeId)
  const serve: RequestHandler = (_from, body, respond) => respond(control(body))
  for (const stream of ['control', 'operations', 'bulk'] as const) network.serve(stream, serve)
  await network.start()
  return network
}
