// Attacks on who is a member: invented views, deaths, joins and records.
import { createServer } from 'node:net'
import { newPrivateKey, type PrivateKey, peerIdOf, sign } from '../../../lib/network/identity.js'
import type { Body } from '../../../lib/network/network.js'
import type { Knowledge, ViewChange } from '../../../lib/network/wire.js'
import { systemRandom } from '../../../lib/system-random.js'
import type { Departure } from '../../../lib/views/departure.js'
import type { JoinRequest } from '../../../lib/views/join.js'
import { departureToWire, joinRequestToWire, signedDeparture, signedPart } from '../../../lib/views/wire-codec.js'
import { type Attack, type Context, crowd, pause, repeat, untilEnd } from '../attack.js'
import { accessOf, guesses } from '../means/access.js'
import { NO_KNOWLEDGE, UNSIGNED, UNVOTED, wireId } from '../means/frames.js'
import { AttackNode } from '../means/libp2p-node.js'
import { freshStoreId, liarKey, linkWith, memberLinks, type PeerLink } from '../means/member-node.js'
import { outcomeOf } from '../means/peer-stream.js'

/** Teaches every victim, and counts how they answer. */
async function teach(context: Context, links: readonly PeerLink[], knowledge: Partial<Knowledge>): Promise<void> {
  const learn = { ...NO_KNOWLEDGE, ...knowledge }
  for (const { control } of links) {
    if (control.closed) continue
    context.did(await outcomeOf(control.ask({ learn })))
  }
}

async function ownKey(context: Context): Promise<PrivateKey> {
  return context.as === 'member' ? liarKey(context) : newPrivateKey(systemRandom)
}

const deadMembers: Attack = {
  name: 'dead-members',
  as: ['joiner', 'member'],
  tries: 'Declares every other member dead: with signed departures, and with ballots that evict them.',
  holds: 'Nobody is removed while others hear it.',
  async run(context) {
    const key = await ownKey(context)
    const links = await memberLinks(context, { key })
    const peerId = peerIdOf(key)
    const { ringId, view, victims } = context.target
    for (let round = 2; !context.signal.aborted; round++) {
      for (const { storeId } of victims) {
        const plain: Omit<Departure, 'signature'> = {
          ...{ ringId, storeId, dead: true, peerId, force: true, issuedAtMs: Date.now() }
        }
        const signature = sign(key, signedDeparture(plain))
        await teach(context, links, { departures: [departureToWire({ ...plain, signature })] })
        const ballot = { round, storeId: wireId(context.target.liar?.storeId ?? storeId) }
        const prepare = { instance: view + 1, ballot, evictions: [wireId(storeId)] }
        for (const { control } of links) {
          if (!control.closed) context.did(await outcomeOf(control.ask({ prepare })))
        }
      }
      await pause(context, 300)
    }
  }
}

/** Views that follow the newest one and were chosen by nobody. */
function inventedViews({ target }: Context): ViewChange[] {
  const { view, victims, liar } = target
  const others = victims.map(({ storeId }) => wireId(storeId))
  const kept = liar === undefined ? others.slice(1) : others
  return [{ ...UNVOTED, number: view + 1, joins: [], removals: kept, lost: [] }]
}

/** The same views with votes that look like a majority: made-up signatures of all members, and of one member often. */
function forgedViews(context: Context): ViewChange[][] {
  const { members } = context.target
  const ids = members.map(({ storeId }) => wireId(storeId))
  const votesBallot = { round: 2 ** 20, storeId: ids[0]! }
  const votesOf = (voters: readonly Uint8Array[]) => {
    return voters.map((storeId) => ({ storeId, signature: context.draws.bytes(64) }))
  }
  const [change] = inventedViews(context)
  return [ids, ids.map(() => ids[0]!)].map((voters) => [{ ...change!, votes: votesOf(voters), votesBallot }])
}

const inventedChains: Attack = {
  name: 'invented-views',
  as: ['joiner', 'member'],
  tries: 'Teaches views that nobody chose, without votes and with forged ones: by learn, and in its refusals.',
  holds: 'No peer believes a view without the votes for it.',
  async run(context) {
    const changes = inventedViews(context)
    const refusal = { code: 'STALE_VIEW', message: 'learn', knowledge: { ...NO_KNOWLEDGE, changes } }
    const serve = (body: Body) => (body.ping !== undefined || body.learn !== undefined ? undefined : { refusal })
    const links = await memberLinks(context, { serve })
    await repeat(context, async () => {
      await teach(context, links, { changes })
      for (const forged of forgedViews(context)) await teach(context, links, { changes: forged })
      await teach(context, links, { changes: [...changes, { ...changes[0]!, number: context.target.view + 2 }] })
      await teach(context, links, { bases: [{ first: 0, last: 16383, value: context.target.view + 1 }] })
      await pause(context, 100)
    })
  }
}

const EMPTY_RECORDS = 2048

const emptyRecords: Attack = {
  name: 'empty-records',
  as: ['joiner', 'member'],
  tries: `Teaches ${EMPTY_RECORDS} empty records of made-up members in each message, again and again.`,
  holds: 'Records are checked before they are worked on; good clients wait for none of it.',
  async run(context) {
    const links = await memberLinks(context)
    await crowd(context, links.length, (index) =>
      repeat(context, async () => {
        const link = links[index]!
        if (link.control.closed) return untilEnd(context)
        const records = Array.from({ length: EMPTY_RECORDS }, () => ({
          ...UNSIGNED,
          ...{ storeId: context.draws.bytes(16), peerId: 'p', sequence: 1, addresses: [], ready: [] }
        }))
        await teach(context, [link], { records })
        context.did('records', records.length)
      })
    )
  }
}

interface Joiner {
  readonly key: PrivateKey
  readonly storeId: string
}

async function newJoiner(context: Context): Promise<Joiner> {
  return { key: await newPrivateKey(systemRandom), storeId: freshStoreId(context) }
}

interface JoinPlan {
  readonly tokens: readonly number[]
  readonly weight: number
  readonly addresses: readonly string[]
}

function joinRequest({ target }: Context, { key, storeId }: Joiner, plan: JoinPlan): Knowledge['joins'] {
  const { tokens, weight, addresses } = plan
  const member = { storeId, peerId: peerIdOf(key), tokens, zone: '', weight }
  const plain: Omit<JoinRequest, 'signature'> = { ringId: target.ringId, member, addresses, issuedAtMs: Date.now() }
  return [joinRequestToWire({ ...plain, signature: sign(key, signedPart(plain)) })]
}

const heavyJoin: Attack = {
  name: 'heavy-join',
  as: ['joiner'],
  tries: 'Joins with as many tokens and as much weight as it gets, answers until it is a member, and falls silent.',
  holds: 'It gets no more tokens than its weight allows, and every key still has its quorum.',
  replaces: true,
  async run(context) {
    const joiner = await newJoiner(context)
    const claim = { ringId: context.target.ringId, storeId: joiner.storeId }
    const links = await memberLinks(context, { key: joiner.key, claim })
    await askToJoin(context, links, joiner)
    for (const { wire } of links) wire.connection.abort(new Error('silent'))
    await untilEnd(context)
  }
}

/** Tokens and weight, the heaviest first. By the rules a member has 64 tokens for each unit of its weight. */
const HEAVY_PLANS = [
  [4096, 16],
  [4096, 1],
  [1024, 16],
  [64, 1]
] as const
const JOINING_MS = 4000

/** Asks with the heaviest plan that is not refused, until the joiner may be a member. */
async function askToJoin(context: Context, links: readonly PeerLink[], joiner: Joiner): Promise<void> {
  const deadline = Date.now() + JOINING_MS
  for (const [count, weight] of HEAVY_PLANS) {
    const tokens = Array.from({ length: count }, (_, at) => Math.floor((16384 * at) / count))
    const joins = () => joinRequest(context, joiner, { tokens, weight, addresses: [] })
    const { control } = links[0]!
    const first = await outcomeOf(control.ask({ learn: { ...NO_KNOWLEDGE, joins: joins() } }))
    context.did(`${count} tokens of weight ${weight}: ${first}`)
    if (first !== 'answered') continue
    while (!context.signal.aborted && Date.now() < deadline) {
      await teach(context, links, { joins: joins() })
      await pause(context, 500)
    }
    return
  }
}

const JOIN_REQUESTS = 300

const joinFlood: Attack = {
  name: 'join-flood',
  as: ['joiner'],
  tries: `Sends ${JOIN_REQUESTS} signed join requests of members that do not exist.`,
  holds: 'A daemon that wants to join is let in all the same.',
  newcomer: true,
  replaces: true,
  async run(context) {
    const links = await memberLinks(context)
    const joiners = await Promise.all(Array.from({ length: JOIN_REQUESTS }, () => newJoiner(context)))
    await repeat(context, async () => {
      for (let at = 0; at < joiners.length && !context.signal.aborted; at += 100) {
        const plan = { tokens: [context.draws.below(16384)], weight: 1, addresses: [] }
        const joins = joiners.slice(at, at + 100).flatMap((joiner) => joinRequest(context, joiner, plan))
        await teach(context, links, { joins })
        context.did('join requests', joins.length)
      }
      await pause(context, 500)
    })
  }
}

const DIALS_PER_SECOND_MAX = 10

const dialledAddresses: Attack = {
  name: 'dialled-addresses',
  as: ['joiner', 'member'],
  tries: 'Announces thousands of addresses in join requests and records, all of a port at which it counts.',
  holds: `Peers dial their own members only: at most ${DIALS_PER_SECOND_MAX} connections in a second arrive there.`,
  async run(context) {
    let dials = 0
    const server = createServer((socket) => {
      dials += 1
      socket.on('error', () => {})
      socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const began = Date.now()
    await announce(context, port)
    server.close()
    context.did('dials that arrived', dials)
    const most = (DIALS_PER_SECOND_MAX * (Date.now() - began)) / 1000
    if (dials > most) context.breach(`${dials} dials to addresses of the attacker's choice`)
  }
}

async function announce(context: Context, port: number): Promise<void> {
  const links = await memberLinks(context)
  const joiners = await Promise.all(Array.from({ length: 200 }, () => newJoiner(context)))
  await repeat(context, async () => {
    for (const joiner of joiners) {
      if (context.signal.aborted) return
      const addresses = Array.from({ length: 16 }, (_, at) => `/ip4/127.0.0.${1 + at}/tcp/${port}`)
      const joins = joinRequest(context, joiner, { tokens: [context.draws.below(16384)], weight: 1, addresses })
      const { storeId, key } = joiner
      const own = { storeId: wireId(storeId), peerId: peerIdOf(key), sequence: Date.now(), addresses, ready: [] }
      await teach(context, links, { joins, records: [{ ...UNSIGNED, ...own }] })
      context.did('addresses', 2 * addresses.length)
    }
  })
}

const stolenJoiner: Attack = {
  name: 'stolen-joiner',
  as: ['outsider', 'joiner'],
  needs: 'joiner',
  tries: 'Founds a ring of its own and teaches it to a daemon that waits for another ring.',
  holds: 'The joiner joins the ring that it was told to join and no other.',
  async run(context) {
    const { joiner } = context.target
    if (joiner === undefined) throw new Error('no daemon waits')
    const own = await newJoiner(context)
    const ringId = freshStoreId(context)
    const founder = { storeId: wireId(own.storeId), peerId: peerIdOf(own.key), tokens: [1, 8000], zone: '', weight: 1 }
    const changes: ViewChange[] = [
      { ...UNVOTED, number: 1, joins: [founder], removals: [], lost: [], ringId: wireId(ringId), replicas: 1 }
    ]
    const take = ({ joins }: Knowledge) => {
      for (const { member } of joins)
        if (member !== undefined) changes.push({ ...NO_CHANGE, number: 2, joins: [member] })
      context.did('join requests of the victim', joins.length)
    }
    const serve = (body: Body): Body | undefined => {
      if (body.learn !== undefined) take(body.learn)
      const knowledge = { ...NO_KNOWLEDGE, changes: changes.slice(0, 2) }
      const digest = { view: changes.length, basesCrc: 0, records: [], joins: [], departures: [] }
      return body.exchange && { exchanged: { digest: { ...digest, recordsCrc: 0, recordsOmitted: false }, knowledge } }
    }
    const accesses = [accessOf(context), ...guesses(context).map(({ access }) => access)]
    await repeat(context, async () => {
      for (const access of accesses) {
        const node = await AttackNode.start(context, access, own.key)
        try {
          const link = await linkWith(context, node, joiner, { ringId, storeId: own.storeId }, { serve })
          context.did('links')
          for (let turn = 0; turn < 10 && !link.control.closed; turn++) {
            await teach(context, [link], { changes: changes.slice(0, 2) })
            await pause(context, 200)
          }
        } catch {
          context.did('links refused')
        }
        await node.stop()
      }
    })
  }
}

const NO_CHANGE = { ...UNVOTED, joins: [], removals: [], lost: [] }

const lyingPongs: Attack = {
  name: 'lying-pongs',
  as: ['member'],
  restarts: true,
  tries: 'Answers every ping with the claim to have heard of 2^48 batches of the asker, while a daemon restarts.',
  holds: 'One member alone cannot make a store an old copy: the daemon serves again as the same member.',
  async run(context) {
    const pong = { ...UNSIGNED, view: context.target.view, ringDigest: '', entries: 0, bytes: 0, batch: 2 ** 48 }
    const serve = (body: Body) => {
      if (body.ping === undefined) return undefined
      context.did('lies')
      return { pong: { ...pong, highestBatchHeard: 2 ** 48 } }
    }
    await crowd(context, context.target.victims.length, (index) =>
      repeat(context, async () => {
        const victim = context.target.victims[index]!
        const node = await AttackNode.start(context, accessOf(context), liarKey(context))
        const claim = { ringId: context.target.ringId, storeId: context.target.liar?.storeId ?? '' }
        const link = await linkWith(context, node, victim, claim, { serve })
        while (!context.signal.aborted && !link.control.closed) await pause(context, 100)
        await node.stop()
      })
    )
  }
}

/** The liar's own request to leave, by the rules, so that the others vote. */
function ownLeave(context: Context): Knowledge['departures'] {
  const key = liarKey(context)
  const { ringId, liar } = context.target
  const plain: Omit<Departure, 'signature'> = {
    ...{ ringId, storeId: liar?.storeId ?? '', dead: false, peerId: peerIdOf(key), force: false },
    issuedAtMs: Date.now()
  }
  return [departureToWire({ ...plain, signature: sign(key, signedDeparture(plain)) })]
}

const lyingVotes: Attack = {
  name: 'lying-votes',
  as: ['member'],
  replaces: true,
  tries: 'Asks to leave, and answers the ballots on that with acceptances of other instances and of invented views.',
  holds: 'The vote is refused or ignored, and no daemon ends.',
  async run(context) {
    const { view } = context.target
    const wrong = [view, view + 1, view + 2, view + 3, 0].map((number) => ({ ...inventedViews(context)[0]!, number }))
    const serve = (body: Body): Body | undefined => {
      const { prepare, accept } = body
      if (prepare?.ballot === undefined && accept?.ballot === undefined) return undefined
      context.did(prepare === undefined ? 'ballots to accept' : 'ballots to promise')
      const ballot = (prepare ?? accept)!.ballot!
      const acceptedChange = context.draws.pick(wrong)
      if (prepare === undefined)
        return { accepted: { ...UNSIGNED, granted: true, promised: { ...ballot, round: 2 ** 30 } } }
      return { promised: { ...UNSIGNED, granted: true, promised: ballot, acceptedBallot: ballot, acceptedChange } }
    }
    const links = await memberLinks(context, { serve })
    for (let round = 1; !context.signal.aborted; round++) {
      await teach(context, links, { departures: ownLeave(context) })
      for (const change of wrong) {
        const ballot = { round, storeId: wireId(context.target.liar?.storeId ?? '') }
        for (const { control } of links) {
          if (control.closed) continue
          context.did(await outcomeOf(control.ask({ accept: { instance: change.number, ballot, change } })))
        }
      }
      await pause(context, 100)
    }
  }
}

export const MEMBERSHIP_ATTACKS: readonly Attack[] = [
  ...[deadMembers, inventedChains, emptyRecords, dialledAddresses],
  ...[stolenJoiner, lyingPongs, lyingVotes, heavyJoin, joinFlood]
]
