// What other peers ask, turned into messages to the actors that answer. Owns nothing.
// Every request is answered once: with a result, with the error that it met, or with OVERLOADED when a mailbox is full.
import type { Ref } from '../actor/actor.js'
import { toHex } from '../bytes.js'
import { RingdError } from '../errors.js'
import type { Body, Link, Network, Respond } from '../network/network.js'
import type { Pong, ReadRequest, WriteRequest } from '../network/wire.js'
import type { SlotRange } from '../ring/slots.js'
import { SLOTS } from '../ring/slots.js'
import type { DetectorMessage } from './detector.js'
import type { MembershipMessage } from './membership.js'
import type { StorageMessage } from './storage.js'

export interface InboundDeps {
  readonly network: Network
  readonly storage: Ref<StorageMessage>
  readonly membership: Ref<MembershipMessage>
  readonly detector: Ref<DetectorMessage>
  /** How this peer is. */
  readonly pong: () => Pong
}

export function serveRequests(deps: InboundDeps): void {
  deps.network.serve('operations', (from, body, respond) => serveOperation(deps, from, body, respond))
  deps.network.serve('bulk', (from, body, respond) => serveBulk(deps, from, body, respond))
  deps.network.serve('control', (from, body, respond) => serveControl(deps, from, body, respond))
}

function serveOperation(deps: InboundDeps, from: Link, body: Body, respond: Respond): void {
  if (body.read !== undefined) read(deps, from, body.read, respond)
  else if (body.write !== undefined) write(deps, from, body.write, respond)
  else respond(new RingdError('BAD_REQUEST', 'not an operation'))
}

function read({ storage }: InboundDeps, from: Link, { view, key }: ReadRequest, respond: Respond): void {
  const taken = storage.tell({
    type: 'read',
    view,
    from: from.peerId,
    key,
    reply: (result) => respond(result instanceof RingdError ? result : { value: { envelope: result } })
  })
  if (!taken) respond(new RingdError('OVERLOADED'))
}

function write({ storage }: InboundDeps, from: Link, { view, key, envelope }: WriteRequest, respond: Respond): void {
  const taken = storage.tell({
    type: 'write',
    view,
    from: from.peerId,
    key,
    envelope,
    reply: (result) => respond(result instanceof RingdError ? result : { written: { newerVersion: result } })
  })
  if (!taken) respond(new RingdError('OVERLOADED'))
}

function serveBulk({ storage }: InboundDeps, from: Link, body: Body, respond: Respond): void {
  let taken = true
  if (body.pull !== undefined) {
    const { view, config, ranges, after, versionsOnly } = body.pull
    if (!areRanges(ranges)) return respond(new RingdError('BAD_REQUEST', 'ranges are ascending slots'))
    taken = storage.tell({
      type: 'pull',
      view,
      from: from.peerId,
      config,
      ranges,
      after,
      versionsOnly,
      reply: (result) => respond(result instanceof RingdError ? result : { pullBlock: result })
    })
  } else if (body.fetch !== undefined) {
    const { view, keys } = body.fetch
    const reply = (result: { block: Uint8Array; crc: number; taken: number } | RingdError) =>
      respond(result instanceof RingdError ? result : { fetched: result })
    taken = storage.tell({ type: 'fetch', view, from: from.peerId, keys, reply })
  } else respond(new RingdError('BAD_REQUEST', 'not a transfer'))
  if (!taken) respond(new RingdError('OVERLOADED'))
}

function serveControl(deps: InboundDeps, from: Link, body: Body, respond: Respond): void {
  const { membership, detector, pong } = deps
  if (body.ping !== undefined) return respond({ pong: pong() })
  const { pingThrough } = body
  if (pingThrough !== undefined) {
    const member = toHex(pingThrough.member)
    if (!detector.tell({ type: 'ping-through', from, member, respond })) respond(new RingdError('OVERLOADED'))
  } else if (!membership.tell({ type: 'request', from, body, respond })) respond(new RingdError('OVERLOADED'))
}

function areRanges(ranges: readonly SlotRange[]): boolean {
  let free = 0
  for (const { first, last } of ranges) {
    if (first < free || last < first || last >= SLOTS) return false
    free = last + 1
  }
  return true
}
