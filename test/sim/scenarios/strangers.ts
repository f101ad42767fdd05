// Peers that claim to be members, and a member that lies about the store of another one.
import { EMPTY_BYTES } from '../../../lib/bytes.js'
import { encodeEnvelope } from '../../../lib/entry/envelope.js'
import { makeVersion } from '../../../lib/entry/version.js'
import type { Answer, Body } from '../../../lib/network/network.js'
import { rawPeer } from '../harness/raw-peer.js'
import type { Scenario } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'

function forged(nowMs: number): Body['write'] {
  const key = Buffer.from(KEY)
  const version = makeVersion(nowMs + 1000, 0, new Uint8Array(8).fill(7))
  return { view: 1, key, envelope: encodeEnvelope(key, { version, tombstone: false, value: Buffer.from('forged') }) }
}

const claimedId: Scenario = {
  name: 'claimedId',
  summary: 'a peer claims the store id of a member, and writes to the other members',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    const network = await rawPeer(cluster.ring, { peerId: 'x', storeId: cluster.member('n1') })
    const answers: Answer[] = []
    const write = { ...forged(cluster.ring.clock.now())!, view: cluster.viewNumber('n0') }
    for (const name of ['n0', 'n2']) {
      await cluster.ring.wait(network.dial(cluster.node(name).network.addresses()[0]!, 1000))
      network.request(name, 'operations', { write }, 3000, (answer) => void answers.push(answer))
    }
    await cluster.advance(4000)
    cluster.reached(answers.length === 2, 'both members have answered')
    await cluster.mustRead('n1', KEY, 'old')
    await cluster.ring.wait(network.stop())
    cluster.ring.hub.kill('x')
    await cluster.heal(3)
  }
}

const inventedBatch: Scenario = {
  name: 'inventedBatch',
  summary: 'a member tells a restarted one of a later state of its store, which it has made up',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.advance(3000)
    const liar = cluster.member('n2')
    const store = cluster.member('n1')
    cluster.kill('n1', 'n2')
    let pings = 0
    const signatures = { signature: EMPTY_BYTES, heardSignature: new Uint8Array(64) }
    const pong = { view: 1, ringDigest: '', entries: 0, bytes: 0, batch: 1, highestBatchHeard: 2 ** 48, ...signatures }
    const control = ({ ping }: Body): Body => {
      if (ping === undefined) return { done: {} }
      pings += 1
      return { pong }
    }
    const network = await rawPeer(cluster.ring, { peerId: 'n2', storeId: liar, control })
    // The liar is heard first: the other member could confirm the store before.
    cluster.ring.hub.partition(['n0'], ['n1'])
    const { node, network: own } = await cluster.start('n1')
    await cluster.ring.wait(network.dial(own.addresses()[0]!, 1000))
    await cluster.when(() => pings > 1, 'the liar was asked')
    cluster.ring.hub.heal()
    await cluster.when(() => cluster.isLinked('n1', 'n0'), 'the other member is linked')
    await cluster.advance(3000)
    await cluster.ring.wait(network.stop())
    cluster.ring.hub.kill('n2')
    await cluster.start('n2')
    await cluster.heal(3)
    cluster.promise(node.storeId === store, 'a sound store has another id')
  }
}

export const STRANGERS: readonly Scenario[] = [claimedId, inventedBatch]
