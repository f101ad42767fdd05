// The in-memory network passes the same suite as the real one.
import { silent } from '../../lib/logger.js'
import type { Network } from '../../lib/network/network.js'
import type { Random } from '../../lib/random.js'
import { networkConformance } from '../conformance/network.js'
import { blockConformance } from '../conformance/network-blocks.js'
import type { NetworkFixture } from '../conformance/network-peers.js'
import { MemoryHub, type MemoryNetwork } from '../sim/seams/memory-network.js'
import { type NodeClock, VirtualClock } from '../sim/seams/virtual-clock.js'

/** Deterministic, and good enough for delays. Source: Steele et al., mulberry32. */
function seeded(seed: number): Random {
  const next = (): number => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { next, bytes: (length) => Uint8Array.from({ length }, () => next() * 256) }
}

async function makeFixture(): Promise<NetworkFixture> {
  const clock = new VirtualClock()
  const hub = new MemoryHub(clock, seeded(1))
  const clocks = new Map<Network, NodeClock>()
  let nodes = 0
  const fixture: NetworkFixture = {
    async node({ again, wireVersion } = {}) {
      const nodeClock = clock.forNode()
      const network: MemoryNetwork = hub.network({
        peerId: again ?? `peer-${++nodes}`,
        clock: nodeClock,
        random: seeded(++nodes),
        log: silent,
        hlc: { stamp: () => ({ ms: nodeClock.now(), counter: 0 }), observe() {} },
        ...(wireVersion === undefined ? {} : { wireVersion })
      })
      clocks.set(network, nodeClock)
      return network
    },
    async until(condition, what) {
      if (!(await clock.runUntil(condition, 20_000))) throw new Error(`not in time: ${what}`)
    },
    async wait(promise) {
      let settled = false
      const mark = (): void => {
        settled = true
      }
      promise.then(mark, mark)
      await fixture.until(() => settled, 'a promise settles')
      return promise
    },
    elapse: (ms) => clock.advance(ms),
    async kill(network) {
      clocks.get(network)?.kill()
      hub.kill(network.peerId)
    },
    async close() {
      for (const network of clocks.keys()) await network.stop()
    }
  }
  return fixture
}

networkConformance('in-memory network', makeFixture)
blockConformance('in-memory network, block streams', makeFixture)
