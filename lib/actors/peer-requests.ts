// Turns requests of other peers into messages to the actors that answer them. Owns nothing.
// Invariants: an actor hears only of requests that their sender may ask (admission.ts). Every request is answered once,
// with a result, with the error that it met, or with OVERLOADED when the mailbox of the actor is full.

import { type Bytes, toHex } from '../bytes.js'
import { FORMAT_LIMITS, readBlock, readVersions } from '../entry/block.js'
import { asEnvelope } from '../entry/envelope.js'
import { isOwnerAnswer } from '../entry/read-resolution.js'
import { asVersion, VERSION_BYTES } from '../entry/version.js'
import { isPromisedAbove } from '../entry/write-rule.js'
import { RingdError, toRingdError, ValueLarger } from '../errors.js'
import { KEY_BYTES_MAX } from '../limits.js'
import { type Body, type Link, type Network, type Respond, STREAM_CLASSES } from '../network/network.js'
import type {
  AskTransfers,
  Me,
  Pong,
  PrepareReply,
  PrepareRequest,
  ReadReply,
  ReadRequest,
  ToldTransfers,
  Twin,
  WriteReply,
  WriteRequest
} from '../network/wire.js'
import { checkRanges, slotsOf } from '../ring/slots.js'
import type { Ref } from '../runtime/actor.js'
import type { Admission } from './admission.js'
import type { DetectorMessage } from './detector.js'
import type { MembershipMessage } from './membership/membership-messages.js'
import { isRepairRequest, type RepairMessage } from './repair/repair.js'
import {
  type PrepareResult,
  PURGE_STEPS,
  type ReadResult,
  type ReplicaMessage,
  type WriteResult
} from './replica/replica-messages.js'

export interface PeerRequestsDeps {
  readonly admission: Pick<Admission, 'refusal'>
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly membership: Ref<MembershipMessage>
  readonly detector: Ref<DetectorMessage>
  readonly repair: Ref<RepairMessage>
  /** The pong of this peer for the asker. */
  readonly pong: (from: Link) => Promise<Pong>
  /** The transfers of this peer, for a report. */
  readonly transfers: (ask: AskTransfers) => ToldTransfers
  readonly identity: ProcessIdentity
}

interface ProcessIdentity {
  /** This process, signed for the one that asks with `challenge`. Throws BAD_MESSAGE. */
  identify(challenge: Bytes): Promise<Me>
  /** Another process answers under the id of this peer. Throws BAD_MESSAGE. */
  meetTwin(twin: Me): Promise<void>
}

const SERVED_BY = { operations: serveOperation, bulk: serveBulk, control: serveControl } as const

export function servePeerRequests(deps: PeerRequestsDeps): void {
  for (const stream of STREAM_CLASSES) {
    const serve = SERVED_BY[stream]
    deps.network.serve(stream, (from, body, respond) => {
      const refusal = deps.admission.refusal(from, stream, body)
      if (refusal === undefined) serve(deps, from, body, respond)
      else respond(refusal)
    })
  }
}

function serveOperation(deps: PeerRequestsDeps, from: Link, body: Body, respond: Respond): void {
  if (body.read !== undefined) read(deps, from, body.read, respond)
  else if (body.write !== undefined) write(deps, from, body.write, respond)
  else if (body.prepareKey !== undefined) prepare(deps, from, body.prepareKey, respond)
  else respond(new RingdError('BAD_REQUEST', 'not an operation'))
}

function read({ replica }: PeerRequestsDeps, from: Link, { view, key, bytesMax }: ReadRequest, respond: Respond): void {
  const taken = replica.tell({
    type: 'read',
    view,
    from,
    key,
    bytesMax,
    reply: (result) =>
      respond(result instanceof RingdError && !(result instanceof ValueLarger) ? result : { value: readReply(result) }),
    isWanted: undefined
  })
  if (!taken) respond(new RingdError('OVERLOADED'))
}

function readReply(result: ReadResult | ValueLarger): ReadReply {
  if (result instanceof ValueLarger) return { size: result.size }
  return isOwnerAnswer(result) ? result : { envelope: result }
}

function write({ replica }: PeerRequestsDeps, from: Link, message: WriteRequest, respond: Respond): void {
  const { view, key, envelope, repair, confirmedBelow } = message
  const taken = replica.tell({
    type: 'write',
    view,
    from,
    key,
    envelope: asEnvelope(envelope),
    repair,
    confirmedBelow,
    reply: (result) => respond(result instanceof RingdError ? result : { written: writeReply(result) })
  })
  if (!taken) respond(new RingdError('OVERLOADED'))
}

function writeReply(result: WriteResult): WriteReply {
  if (result === undefined) return {}
  if (isPromisedAbove(result)) return { promised: result.promised }
  return result.had ? { newerVersion: result.newer, had: true } : { newerVersion: result.newer }
}

function prepare({ replica }: PeerRequestsDeps, from: Link, message: PrepareRequest, respond: Respond): void {
  const { view, key, ballot, origins, bytesMax } = message
  if ([ballot, ...origins].some(({ length }) => length !== VERSION_BYTES)) {
    return respond(new RingdError('BAD_MESSAGE', `a ballot and an origin have ${VERSION_BYTES} bytes`))
  }
  const taken = replica.tell({
    type: 'prepare',
    view,
    from,
    key,
    ballot: asVersion(ballot),
    origins: origins.map(asVersion),
    bytesMax,
    reply: (result) => {
      if (result instanceof ValueLarger) respond({ preparedKey: { size: result.size, tellings: [] } })
      else respond(result instanceof RingdError ? result : { preparedKey: prepareReply(result) })
    }
  })
  if (!taken) respond(new RingdError('OVERLOADED'))
}

function prepareReply(result: PrepareResult): PrepareReply {
  if ('refusedBy' in result) return { refusedBy: result.refusedBy, tellings: [] }
  const { envelope, closed } = result
  const tellings = result.tellings.map(({ versions, isUnknown }) => ({ versions: [...versions], isUnknown }))
  return { envelope, closed: closed === 0 ? undefined : closed, tellings }
}

function serveBulk(deps: PeerRequestsDeps, from: Link, body: Body, respond: Respond): void {
  const { read: asksRead, write: asksWrite, prepareKey } = body
  if ((asksRead ?? asksWrite ?? prepareKey) !== undefined) return serveOperation(deps, from, body, respond)
  const { replica, repair, transfers } = deps
  if (body.askTransfers !== undefined) return respond({ toldTransfers: transfers(body.askTransfers) })
  if (isRepairRequest(body)) {
    if (!repair.tell({ type: 'request', from, body, respond })) respond(new RingdError('OVERLOADED'))
    return
  }
  try {
    const message = bulkMessage(from, body, respond)
    if (message === undefined) respond(new RingdError('BAD_REQUEST', 'not a transfer'))
    else if (!replica.tell(message)) respond(new RingdError('OVERLOADED'))
  } catch (thrown) {
    respond(toRingdError(thrown))
  }
}

/** Undefined for a body of another class. Throws BAD_REQUEST, BAD_MESSAGE, BAD_ENTRY. */
function bulkMessage(from: Link, body: Body, respond: Respond): ReplicaMessage | undefined {
  const { compare, offer, close, tally } = body
  const answer =
    <T>(bodyOf: (result: T) => Body) =>
    (result: T | RingdError) =>
      respond(result instanceof RingdError ? result : bodyOf(result))
  if (compare !== undefined) {
    checkRanges(compare.ranges)
    const slots = slotsOf(compare.ranges)
    return { type: 'compare', ...compare, slots, from, reply: answer((sums) => ({ compared: { sums } })) }
  }
  if (close !== undefined) {
    checkRanges(close.ranges)
    const step = PURGE_STEPS[close.step]
    if (step === undefined) throw new RingdError('BAD_REQUEST', `there is no purge step ${close.step}`)
    const slots = slotsOf(close.ranges)
    return { type: 'close', ...close, step, slots, from, reply: answer((closed) => ({ closed })) }
  }
  if (tally !== undefined) {
    checkRanges(tally.ranges)
    const slots = slotsOf(tally.ranges)
    return { type: 'tally', view: tally.view, slots, from, reply: answer((tallies) => ({ tallied: { tallies } })) }
  }
  if (offer === undefined) return undefined
  const { view, config, block, crc, versionsOnly } = offer
  const versions = versionsOnly ? readVersions(block, crc, KEY_BYTES_MAX).entries : []
  const entries = versionsOnly ? [] : readBlock(block, crc, FORMAT_LIMITS).entries
  const reply = answer((keys: readonly Bytes[]) => ({ wanted: { keys: [...keys] } }))
  return { type: 'offer', view, config, versions, entries, from, reply }
}

function serveControl(deps: PeerRequestsDeps, from: Link, body: Body, respond: Respond): void {
  const { membership, detector, pong, identity } = deps
  const answer = (work: Promise<Body>) => void work.then(respond, (thrown) => respond(toRingdError(thrown)))
  if (body.ping !== undefined) return answer(pong(from).then((told) => ({ pong: told })))
  if (body.who !== undefined) return answer(identity.identify(body.who.challenge).then((me) => ({ me })))
  if (body.twin !== undefined) return answer(meet(body.twin, identity))
  const { pingThrough } = body
  if (pingThrough !== undefined) {
    const member = toHex(pingThrough.member)
    if (!detector.tell({ type: 'ping-through', from, member, respond })) respond(new RingdError('OVERLOADED'))
  } else if (!membership.tell({ type: 'request', from, body, respond })) respond(new RingdError('OVERLOADED'))
}

/** Throws BAD_MESSAGE. */
async function meet({ other }: Twin, identity: ProcessIdentity): Promise<Body> {
  if (other === undefined) throw new RingdError('BAD_MESSAGE', 'a message twin names no other process')
  await identity.meetTwin(other)
  return { done: {} }
}
