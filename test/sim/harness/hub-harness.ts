// Two linked peers on a hub, each with its own clock, for tests of network faults.
import { EMPTY_BYTES } from '../../../lib/bytes.js'
import { silent } from '../../../lib/logger.js'
import type { Answer, PeerEvent } from '../../../lib/network/network.js'
import { MemoryHub } from '../seams/memory-network.js'
import { VirtualClock } from '../seams/virtual-clock.js'

const random = { next: () => 0.5, bytes: (length: number) => new Uint8Array(length) }

/** `a` has dialled `b`. `ping` sends a request to `b`, and returns a list that collects the answers. */
export async function hubHarness() {
  const clock = new VirtualClock()
  const hub = new MemoryHub(clock, random)
  const nodes = ['a', 'b'].map((peerId) => {
    const nodeClock = clock.forNode()
    const network = hub.network({
      peerId,
      clock: nodeClock,
      random,
      log: silent,
      hlc: { stamp: () => ({ ms: nodeClock.now(), counter: 0 }), observe() {} }
    })
    const events: PeerEvent['type'][] = []
    network.introduce('ab'.repeat(16), '11'.repeat(16))
    network.onPeer(({ type }) => events.push(type))
    network.serve('control', (_from, body, respond) =>
      respond({
        pong: {
          view: body.ping!.view,
          ringDigest: '',
          entries: 0,
          bytes: 0,
          batch: 0,
          highestBatchHeard: 0,
          signature: EMPTY_BYTES,
          heardSignature: EMPTY_BYTES
        }
      })
    )
    return { network, events, clock: nodeClock }
  })
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]]
  await a.network.start()
  await b.network.start()
  const dialled = a.network.dial(b.network.addresses()[0]!, 1000)
  await clock.advance(100)
  await dialled
  const ping = (timeoutMs: number): Answer[] => {
    const answers: Answer[] = []
    a.network.request('b', 'control', { ping: { view: 1 } }, timeoutMs, (answer) => answers.push(answer))
    return answers
  }
  return { clock, hub, a, b, ping }
}
