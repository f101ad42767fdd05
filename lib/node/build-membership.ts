// The membership actor, put together from its parts. Part of the node.

import type { DurableRing } from '../actors/membership/durable-ring.js'
import { Evictor } from '../actors/membership/evictor.js'
import { Gossip } from '../actors/membership/gossip.js'
import { Joining } from '../actors/membership/joining.js'
import { Leaving } from '../actors/membership/leaving.js'
import { Membership } from '../actors/membership/membership.js'
import type { MembershipMessage } from '../actors/membership/membership-messages.js'
import { Voting } from '../actors/membership/voting.js'
import { toHex } from '../bytes.js'
import type { Clock } from '../clock.js'
import type { EvictionOptions } from '../detector/eviction-rule.js'
import type { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Member } from '../member.js'
import type { Metrics } from '../metrics.js'
import type { Network } from '../network/network.js'
import type { Random } from '../random.js'
import { chooseTokens } from '../ring/tokens.js'
import type { Ref } from '../runtime/actor.js'
import type { Signer } from '../views/join.js'

export interface MembershipParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly signer: Signer
  readonly durableRing: DurableRing
  readonly self: Ref<MembershipMessage>
  /** This peer cannot be a member of the ring that it found. */
  readonly onRefused: (error: RingdError) => void
  /** Out of the ring, and nobody needs it any more. */
  readonly onGone: () => void
}

export interface MembershipOptions extends Partial<EvictionOptions> {
  readonly join: readonly string[]
  readonly zone: string
  readonly weight: number
  readonly replicas: number
  /** Addresses of the ring that this store was a member of, under another id. */
  readonly formerPeers: readonly string[] | undefined
}

const RING_ID_BYTES = 16

export function buildMembership(
  parts: MembershipParts,
  options: MembershipOptions
): { readonly membership: Membership; readonly leaving: Leaving } {
  const { random, durableRing } = parts
  const { join, zone, weight, replicas, formerPeers } = options
  const gossip = new Gossip(parts)
  const evictor = new Evictor(parts, options)
  const voting = new Voting({ ...parts, gossip, evictor })
  const founding = { ringId: toHex(random.bytes(RING_ID_BYTES)), replicas }
  const choose = (members: readonly Member[], count: number) =>
    chooseTokens(members, { storeId: durableRing.storeId, zone, weight }, count)
  const joining = new Joining(
    { ...parts, gossip, chooseTokens: choose },
    { join: [...join, ...(formerPeers ?? [])], zone, weight, founding, mayFound: formerPeers === undefined }
  )
  const leaving = new Leaving({ ...parts, gossip })
  return { membership: new Membership({ ...parts, gossip, voting, joining, leaving, evictor }), leaving }
}
