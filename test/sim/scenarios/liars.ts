// A member that lies. It is a whole node whose network also sends what the scenario forges: anything that it can sign
// with its own key, and signatures of others that it has seen.
import { fromHex } from '../../../lib/bytes.js'
import { RingdError } from '../../../lib/errors.js'
import type { MemberId } from '../../../lib/member.js'
import type { Answer, Body } from '../../../lib/network/network.js'
import { SLOTS } from '../../../lib/ring/slots.js'
import type { Ballot, Signatures } from '../../../lib/views/ballot.js'
import type { View, ViewChange } from '../../../lib/views/chain.js'
import { NO_KNOWLEDGE } from '../../../lib/views/knowledge.js'
import { NO_PROOF, type Proof } from '../../../lib/views/paxos.js'
import { promiseStatement, voteStatement } from '../../../lib/views/votes.js'
import { acceptanceToWire, ballotToWire, knowledgeToWire, signedRecord } from '../../../lib/views/wire-codec.js'
import { signerOf } from '../sim-node.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const THREE = ['n0', 'n1', 'n2']
const LIAR = 'n2'
const VICTIM = 'n1'

/** The liar asks the node, whose newest view is `view`. */
function ask(cluster: ScenarioCluster, to: string, body: Body): Promise<Answer> {
  const { network } = cluster.node(LIAR)
  return cluster.ring.wait(new Promise((resolve) => network.request(to, 'control', body, 1000, resolve)))
}

/** The removal of the victim, which all others hear. */
function removal(cluster: ScenarioCluster): ViewChange {
  const victim = cluster.member(VICTIM)
  return { number: cluster.viewNumber('n0') + 1, joins: [], removals: [victim], lost: [victim] }
}

/** A ballot of the liar above all others. */
function ballotOf(cluster: ScenarioCluster, round = 1000): Ballot {
  return { round, storeId: cluster.member(LIAR) }
}

/** What the liar signs as itself, and in the names of the others. */
async function forgedBy(cluster: ScenarioCluster, names: readonly string[], bytes: Uint8Array): Promise<Signatures> {
  const signature = await signerOf(LIAR).sign(bytes)
  return new Map(names.map((name): [MemberId, Uint8Array] => [cluster.member(name), signature]))
}

async function mustStay(cluster: ScenarioCluster, why: string): Promise<void> {
  const victim = cluster.member(VICTIM)
  await cluster.advance(3000)
  for (const name of THREE) cluster.promise(cluster.view(name).members.has(victim), `${name} lost a member: ${why}`)
  await cluster.heal(3)
}

const forgedVotes: Scenario = {
  name: 'forgedVotes',
  summary: 'a member tells a view without another member, with votes that it has signed in the names of all',
  async run(cluster) {
    await cluster.grow(THREE)
    const change = removal(cluster)
    const ballot = ballotOf(cluster)
    const bytes = voteStatement(viewOf(cluster), ballot, change)
    const votes = { ballot, signatures: await forgedBy(cluster, THREE, bytes) }
    await ask(cluster, 'n0', { learn: knowledgeToWire({ ...NO_KNOWLEDGE, changes: [{ ...change, votes }] }) })
    await mustStay(cluster, 'it believed votes that nobody has given')
  }
}

const toldAlone: Scenario = {
  name: 'toldAlone',
  summary: 'a member tells a view without votes, as a member of an older version would',
  async run(cluster) {
    await cluster.grow(THREE)
    for (let time = 0; time < 3; time++) {
      await ask(cluster, 'n0', { learn: knowledgeToWire({ ...NO_KNOWLEDGE, changes: [removal(cluster)] }) })
    }
    await mustStay(cluster, 'it believed one member')
  }
}

/** The liar has promises for a ballot that it got without naming the victim, and asks for acceptance. */
async function acceptedBy(cluster: ScenarioCluster, proof: Proof): Promise<Answer> {
  const ballot = ballotOf(cluster)
  const change = removal(cluster)
  await ask(cluster, 'n0', { prepare: { instance: change.number, ballot: ballotToWire(ballot), evictions: [] } })
  return ask(cluster, 'n0', { accept: acceptanceToWire({ ballot, change, proof }) })
}

const unprovenRemoval: Scenario = {
  name: 'unprovenRemoval',
  summary: 'a member gets promises without saying whom it wants to remove, and then has a removal accepted',
  async run(cluster) {
    await cluster.grow(THREE)
    const answer = await acceptedBy(cluster, NO_PROOF)
    cluster.promise(answer instanceof RingdError, 'a removal was accepted though nobody promised it')
    await mustStay(cluster, 'a removal without a proof was accepted')
  }
}

const forgedProof: Scenario = {
  name: 'forgedProof',
  summary: 'a member proves a removal by promises that it has signed in the names of all',
  async run(cluster) {
    await cluster.grow(THREE)
    const evictions = [cluster.member(VICTIM)]
    const { founding, number } = cluster.view('n0')
    const ballot = ballotOf(cluster)
    const bytes = promiseStatement(founding.ringId, number + 1, ballot, evictions)
    const promises = await forgedBy(cluster, THREE, bytes)
    const answer = await acceptedBy(cluster, { ...NO_PROOF, evictions, ballot, promises })
    cluster.promise(answer instanceof RingdError, 'a removal was accepted by a forged proof')
    await mustStay(cluster, 'a forged proof was accepted')
  }
}

const objectedRemoval: Scenario = {
  name: 'objectedRemoval',
  summary: 'a member asks the others to promise the removal of one that they hear',
  async run(cluster) {
    await cluster.grow(THREE)
    const evictions = [fromHex(cluster.member(VICTIM))]
    const instance = cluster.viewNumber('n0') + 1
    for (const name of ['n0', VICTIM]) {
      const answer = await ask(cluster, name, {
        prepare: { instance, ballot: ballotToWire(ballotOf(cluster)), evictions }
      })
      cluster.promise(answer instanceof RingdError, `${name} promised the removal of a member that it hears`)
    }
    await mustStay(cluster, 'the removal of a heard member was promised')
  }
}

const unaskedJoin: Scenario = {
  name: 'unaskedJoin',
  summary: 'a member has a joiner accepted that has not asked to join',
  async run(cluster) {
    await cluster.grow(THREE)
    const number = cluster.viewNumber('n0') + 1
    const ghost = { storeId: 'ee'.repeat(16), peerId: 'ghost', tokens: [1, 2, 3], zone: '', weight: 1 }
    const ballot = ballotOf(cluster)
    const change = { number, joins: [ghost], removals: [] }
    const request = { ringId: cluster.view('n0').founding.ringId, member: ghost, addresses: [], issuedAtMs: 1 }
    const joins = [{ ...request, signature: await signerOf(LIAR).sign(new Uint8Array(1)) }]
    const proof = { ...NO_PROOF, joins }
    const answer = await ask(cluster, 'n0', { accept: acceptanceToWire({ ballot, change, proof }) })
    cluster.promise(answer instanceof RingdError, 'a joiner that has not asked was accepted')
    await cluster.heal(3)
  }
}

const forgedRecord: Scenario = {
  name: 'forgedRecord',
  summary: 'a member tells that another one is ready for everything and listens elsewhere',
  async run(cluster) {
    await cluster.grow(THREE)
    const draft = {
      storeId: cluster.member(VICTIM),
      peerId: VICTIM,
      sequence: 2 ** 40,
      addresses: ['/memory/666'],
      ready: new Uint32Array(SLOTS).fill(999),
      signature: new Uint8Array(0)
    }
    const record = { ...draft, signature: await signerOf(LIAR).sign(signedRecord(draft)) }
    const answer = await ask(cluster, 'n0', { learn: knowledgeToWire({ ...NO_KNOWLEDGE, records: [record] }) })
    const isBelieved = cluster.view('n0').readiness.get(cluster.member(VICTIM))?.[0] === 999
    cluster.promise(answer instanceof RingdError && !isBelieved, 'a record that its member did not sign was believed')
    await cluster.heal(3)
  }
}

const waitingJoiner: Scenario = {
  name: 'waitingJoiner',
  summary: 'a joiner waits for a peer that is down, and a member of another ring dials it',
  async run(cluster) {
    await cluster.grow(['n0'])
    await cluster.start('joiner', { join: ['/memory/999'], address: '/memory/500' })
    await cluster.ring.wait(cluster.node('n0').network.dial('/memory/500', 1000))
    await cluster.advance(5000)
    cluster.promise(cluster.viewNumber('joiner') === 0, 'a joiner believed a peer that it was not told to join by')
  }
}

/** The newest view as the nodes know it; its former members do not matter to votes. */
function viewOf(cluster: ScenarioCluster): View {
  const { number, founding, members, peerIds, lost } = cluster.view('n0')
  return { number, founding, members, peerIds, lost }
}

export const LIARS: readonly Scenario[] = [
  forgedVotes,
  toldAlone,
  unprovenRemoval,
  forgedProof,
  objectedRemoval,
  unaskedJoin,
  forgedRecord,
  waitingJoiner
]
