// The libp2p door for clients: serves get, put, delete, increment, reports, departures, repair, verify and the limit
// for moves over /ringd/client/1.0.0. Holds no state.
// The secret of a client gives it a right: `data` is for keys and reports, `operator` also for what changes the ring.
import type { Bytes } from '../../lib/bytes.js'
import type { LimitReport, RepairReport, Reports, Topic, VerifyReport } from '../../lib/client/reports.js'
import { ABSENT, ALWAYS, type Condition, increment, type Written, writeIf } from '../../lib/decisions.js'
import { asVersion, VERSION_BYTES } from '../../lib/entry/version.js'
import { RingdError, toRingdError } from '../../lib/errors.js'
import { CONSISTENCIES, type Consistency, type Found, type KeyValue } from '../../lib/key-value.js'
import type { MemberId } from '../../lib/member.js'
import type { Body, ClientHandler, Respond } from '../../lib/network/network.js'
import type { Right } from '../../lib/network/secrets.js'
import type { ClientPut, ClientRepair, ClientValue, ClientVerify } from '../../lib/network/wire.js'
import type { VerifyOrder } from '../../lib/node/verification.js'
import { SLOTS, type SlotRange } from '../../lib/ring/slots.js'
import { idFromWire } from '../../lib/views/wire-codec.js'

export interface ClientDoorDeps {
  readonly keyValue: KeyValue
  /** Wall clock, ms since 1970. Times to live count from it. */
  readonly now: () => number
  readonly report: (topic: Topic, argument: Bytes) => Promise<Reports[Topic]>
  /** Makes this peer leave the ring, or asks the ring to remove `member`. */
  readonly depart: (member: MemberId | undefined, options: { readonly force: boolean }) => Promise<void>
  /** Makes this peer compare a range with its other owners. Without a range, reports the progress. */
  readonly repair: (range: SlotRange | undefined) => Promise<RepairReport>
  /** Makes this peer compare all owners of a range. Without an order, reports the progress. */
  readonly verify: (order: VerifyOrder | undefined) => VerifyReport
  /** Sets the limit for moving data of the ring, bytes in a second; 0: none. */
  readonly limit: (bytesPerS: number) => Promise<LimitReport>
}

export interface ClientDoorOptions {
  /** The level of a request that names none. */
  readonly read: Consistency
  readonly write: Consistency
}

/** What the right `data` allows. Everything else needs the right `operator`. */
const DATA_REQUESTS = ['clientGet', 'clientPut', 'clientDelete', 'clientIncrement', 'clientQuery'] as const

const TOPICS: readonly Topic[] = ['status', 'ring', 'where', 'id', 'load', 'limit', 'transfers', 'metrics']

export function clientDoor(deps: ClientDoorDeps, options: ClientDoorOptions): ClientHandler {
  return (right, body, respond) => {
    try {
      if (right !== 'operator') refuseOrders(right, body)
      serve(deps, options, body, respond)
    } catch (thrown) {
      respond(toRingdError(thrown))
    }
  }
}

/** Throws NOT_ALLOWED for every request that is not one of DATA_REQUESTS. */
function refuseOrders(right: Right, body: Body): void {
  if (DATA_REQUESTS.some((kind) => body[kind] !== undefined)) return
  throw new RingdError(
    'NOT_ALLOWED',
    `leave, remove, repair, verify and limit need the right operator; the secret of this client has the right ${right}`
  )
}

function serve(deps: ClientDoorDeps, options: ClientDoorOptions, body: Body, respond: Respond): void {
  const { keyValue, now } = deps
  const { clientGet, clientPut, clientDelete, clientIncrement } = body
  if (clientGet !== undefined) {
    keyValue.find(clientGet.key, consistencyOf(clientGet.consistency, options.read), (result) =>
      respond(result instanceof RingdError ? result : { clientValue: toWire(result, now()) })
    )
  } else if (clientPut !== undefined) {
    const { key, value, consistency, ttlMs } = clientPut
    const expiresAtMs = ttlMs === undefined ? undefined : now() + ttlMs
    const level = consistencyOf(consistency, options.write)
    const condition = conditionOf(clientPut)
    if (condition === ALWAYS) {
      keyValue.put(key, value, level, (result) => respond(result ?? { done: {} }), expiresAtMs)
      return
    }
    const reply = (result: Written | RingdError): void =>
      respond(result instanceof RingdError ? result : { clientWritten: { isDone: result.isDone } })
    keyValue.update(key, level, writeIf(condition, value, expiresAtMs), reply, { isConditional: true })
  } else if (clientIncrement !== undefined) {
    const { key, by, consistency } = clientIncrement
    keyValue.update(key, consistencyOf(consistency, options.write), increment(by), (sum) =>
      respond(sum instanceof RingdError ? sum : { clientIncremented: { sum } })
    )
  } else if (clientDelete !== undefined) {
    keyValue.delete(clientDelete.key, consistencyOf(clientDelete.consistency, options.write), (result) =>
      respond(result instanceof RingdError ? result : { clientDeleted: { existed: result } })
    )
  } else serveOrder(deps, body, respond)
}

function serveOrder({ report, depart, repair, verify, limit }: ClientDoorDeps, body: Body, respond: Respond): void {
  const { clientQuery, clientDepart, clientRepair, clientVerify, clientLimit } = body
  const fail = (thrown: unknown) => respond(toRingdError(thrown))
  const tell = (answer: unknown) => respond({ clientReport: { json: JSON.stringify(answer) } })
  if (clientQuery !== undefined) {
    const topic = TOPICS.find((name) => name === clientQuery.topic)
    if (topic === undefined) throw new RingdError('BAD_REQUEST', `there is no report ${clientQuery.topic.slice(0, 40)}`)
    report(topic, clientQuery.argument).then(tell, fail)
  } else if (clientDepart !== undefined) {
    const { storeId, force } = clientDepart
    depart(storeId && idFromWire(storeId), { force }).then(() => respond({ done: {} }), fail)
  } else if (clientRepair !== undefined) {
    repair(rangeOf(clientRepair)).then(tell, fail)
  } else if (clientVerify !== undefined) {
    const range = rangeOf(clientVerify)
    tell(verify(range && { range, once: clientVerify.once }))
  } else if (clientLimit !== undefined) {
    limit(clientLimit.bytesPerS).then(tell, fail)
  } else {
    const known = 'get, put, delete, increment, query, depart, repair, verify or limit'
    throw new RingdError('BAD_REQUEST', `unknown request: expected ${known}`)
  }
}

function toWire(found: Found | undefined, nowMs: number): ClientValue {
  if (found === undefined) return {}
  const { value, version, expiresAtMs } = found
  const expiresInMs = expiresAtMs === undefined ? undefined : Math.max(0, expiresAtMs - nowMs)
  return { value, version, expiresInMs } as ClientValue
}

function conditionOf({ ifAbsent, ifVersion }: ClientPut): Condition {
  if (ifVersion === undefined) return ifAbsent ? ABSENT : ALWAYS
  if (ifAbsent) throw new RingdError('BAD_REQUEST', 'a put is either for an absent key or for a version, not both')
  if (ifVersion.length !== VERSION_BYTES) {
    throw new RingdError('BAD_REQUEST', `a version has ${VERSION_BYTES} bytes, not ${ifVersion.length}`)
  }
  return { type: 'version', version: asVersion(ifVersion) }
}

function rangeOf({ start, first, last }: ClientRepair | ClientVerify): SlotRange | undefined {
  if (!start) return undefined
  if (first <= last && last < SLOTS) return { first, last }
  throw new RingdError(
    'BAD_REQUEST',
    `slots ${first} to ${last} are no range; a range ascends within 0 to ${SLOTS - 1}`
  )
}

function consistencyOf(text: string, fallback: Consistency): Consistency {
  if (text === '') return fallback
  const known = CONSISTENCIES.find((name) => name === text)
  if (known === undefined)
    throw new RingdError(
      'BAD_REQUEST',
      `unknown consistency ${JSON.stringify(text.slice(0, 40))}; expected one of ${CONSISTENCIES.join(', ')}`
    )
  return known
}
