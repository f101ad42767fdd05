// Two processes under one identity, two rings at one address, and peers that found a ring together.
import type { RingdError } from '../../../lib/errors.js'
import type { Answer } from '../../../lib/network/network.js'
import { rawPeer } from '../harness/raw-peer.js'
import { FaultyStore } from '../seams/faulty-store.js'
import { SimNode, seeded } from '../sim-node.js'
import type { Scenario } from './scenario-cluster.js'

const THREE = ['n0', 'n1', 'n2']
const KEY = 'a'
const LIST = ['/memory/2001', '/memory/2002', '/memory/2003']

const twins: Scenario = {
  name: 'twins',
  summary: 'a copy of the disk of a running member is started',
  async run(cluster) {
    await cluster.grow(THREE)
    await cluster.fill('n0', [KEY], 'old')
    const { clock, hub } = cluster.ring
    const store = await cluster.copyOf('n2')
    const options = { ...cluster.options, store, join: cluster.node('n0').network.addresses() }
    const twin = await SimNode.start(clock, hub, 'n2', seeded(9), options)
    let error: RingdError | undefined
    void twin.node.failed.then((thrown) => {
      error = thrown
    })
    await cluster.advance(10_000)
    cluster.promise(error?.code === 'IDENTITY_TWICE', `the later process goes on, or ends with ${error?.code}`)
    cluster.promise(cluster.node('n2').conditions.has('identity-twice'), 'the earlier process says nothing')
    cluster.promise(cluster.node('n0').conditions.has('identity-twice'), 'a member that meets both says nothing')
    await cluster.ring.wait(twin.node.stop(), 30_000)
    await store.reopen()
    await cluster.start('n3', { store })
    await cluster.heal(4)
  }
}

const halfOpenRestart: Scenario = {
  name: 'halfOpenRestart',
  summary: 'a member loses power and is started again, and the others keep their half-open connections with it',
  async run(cluster) {
    await cluster.grow(THREE)
    await cluster.fill('n0', [KEY], 'old')
    const { hub, nodes } = cluster.ring
    const address = cluster.address('n1')
    cluster.node('n1').clock.kill()
    hub.unplug('n1')
    nodes.delete('n1')
    cluster.disk('n1').crash()
    await cluster.start('n1', { address })
    await cluster.advance(10_000)
    await cluster.heal(3)
    for (const name of THREE) {
      cluster.promise(!cluster.node(name).conditions.has('identity-twice'), 'a member that was restarted counts as two')
    }
  }
}

const inventedTwin: Scenario = {
  name: 'inventedTwin',
  summary: 'a peer tells a member of a second process of it, which it has made up',
  async run(cluster) {
    await cluster.grow(THREE)
    const network = await rawPeer(cluster.ring, { peerId: 'x', storeId: '77'.repeat(16) })
    await cluster.ring.wait(network.dial(cluster.node('n0').network.addresses()[0]!, 1000))
    const answers: Answer[] = []
    const other = { instance: new Uint8Array(8).fill(1), startedAtMs: 1, signature: new Uint8Array(64) }
    network.request('n0', 'control', { twin: { other } }, 3000, (answer) => void answers.push(answer))
    await cluster.advance(4000)
    cluster.reached(answers.length === 1, 'the member has answered')
    await cluster.ring.wait(network.stop())
    cluster.ring.hub.kill('x')
    await cluster.heal(3)
  }
}

const wipedFounder: Scenario = {
  name: 'wipedFounder',
  summary: 'a member comes back with an empty disk and founds a ring at its old address, by which the others join',
  async run(cluster) {
    await cluster.grow(THREE)
    await cluster.fill('n0', [KEY], 'old')
    const address = cluster.address('n0')
    cluster.kill('n0')
    const founder = await cluster.start('x0', { address, join: [] })
    await cluster.advance(8000)
    cluster.reached(founder.node.view !== undefined, 'it has founded a ring')
    cluster.promise(founder.conditions.has('other-ring'), 'the founder says nothing')
    for (const name of ['n1', 'n2']) {
      cluster.promise(cluster.node(name).conditions.has('other-ring'), `${name} says nothing`)
      cluster.kill(name)
      await cluster.start(name, { join: [address] })
      await cluster.advance(8000)
      cluster.promise(cluster.node(name).conditions.has('other-ring'), `${name} says nothing after its restart`)
    }
    cluster.kill('x0')
    await cluster.start('n0')
    await cluster.heal(3)
    await cluster.advance(61_000)
    cluster.promise(!cluster.node('n1').conditions.has('other-ring'), 'the condition does not end')
  }
}

const expectedPeers: Scenario = {
  name: 'expectedPeers',
  summary: 'three empty peers with one list of addresses start together, and one of them loses its disk later',
  async run(cluster) {
    const settings = { join: LIST, expects: 3 }
    // All meet before any of them can hear that a ring was founded.
    for (const name of THREE) cluster.ring.hub.slow(name, 300)
    for (const [at, name] of THREE.entries()) await cluster.start(name, { ...settings, address: LIST[at]! })
    await cluster.advance(8000)
    for (const name of THREE) cluster.ring.hub.slow(name, 0)
    await cluster.heal(3)
    const { founding } = cluster.view('n0')
    cluster.kill('n1')
    const wiped = await cluster.start('w1', { ...settings, address: LIST[1]!, store: new FaultyStore() })
    await cluster.advance(10_000)
    cluster.promise(
      wiped.node.view?.founding.ringId === founding.ringId,
      'a peer with an empty disk is in another ring'
    )
  }
}

export const IDENTITIES: readonly Scenario[] = [twins, halfOpenRestart, inventedTwin, wipedFounder, expectedPeers]
