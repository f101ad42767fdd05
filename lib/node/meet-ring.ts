// The start of a store that belongs to a ring already: it looks whether it is told to join another one.
// Part of the node.
import { RingdError, toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Network } from '../network/network.js'
import type { NodeOptions } from './node-options.js'
import type { OtherRing } from './other-ring.js'
import type { StoreIdentity } from './store-identity.js'

export interface MeetRingDeps {
  readonly network: Pick<Network, 'introduce' | 'dial'>
  readonly identity: Pick<StoreIdentity, 'storeId' | 'membership'>
  readonly log: Logger
  readonly otherRing: Pick<OtherRing, 'atJoinAddress'>
}

const MEET_TIMEOUT_MS = 3000

/**
 * Why this store cannot go on: it is to join another ring than its own; or it is a ring of one, and the peer at the
 * address to join by belongs to another. A member that knows other members finds them by the addresses that it has
 * stored, so it goes on, and says what it met. A peer that does not answer is dialled again later.
 */
export async function meetRing(
  { network, identity, log, otherRing }: MeetRingDeps,
  { join, ring }: Pick<NodeOptions, 'join' | 'ring'>
): Promise<RingdError | undefined> {
  const { view } = identity.membership.ring
  if (view === undefined) return undefined
  const { ringId } = view.founding
  if (ring !== undefined && ring !== ringId)
    return new RingdError('WRONG_RING', `this store belongs to ring ${ringId}, and is to join ring ${ring}`)
  if (join.length > 0) network.introduce(ringId, identity.storeId)
  for (const address of join) {
    const error = await network.dial(address, MEET_TIMEOUT_MS).then(() => undefined, toRingdError)
    if (error?.code === 'OWN_ADDRESS') continue
    if (error === undefined) return undefined
    if (error.code !== 'WRONG_RING') log.warn({ address, err: error }, 'join address unreachable; trying again later')
    else if (view.members.size > 1) otherRing.atJoinAddress(address)
    else {
      const mine = `this store belongs to ring ${ringId.slice(0, 8)}`
      return new RingdError('WRONG_RING', `${mine}, and the peer at ${address} to another`, { cause: error })
    }
    return undefined
  }
  return undefined
}
