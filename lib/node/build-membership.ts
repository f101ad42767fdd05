// Builds the membership actor from its parts. Part of the node.

import { ChainTrust } from '../actors/membership/chain-trust.js'
import { DepartureRequests } from '../actors/membership/departure-requests.js'
import type { DurableRing } from '../actors/membership/durable-ring.js'
import { Evictor } from '../actors/membership/evictor.js'
import { Gossip } from '../actors/membership/gossip.js'
import { JoinRequests } from '../actors/membership/join-requests.js'
import { Joining } from '../actors/membership/joining.js'
import { KeptPeers } from '../actors/membership/kept-peers.js'
import { Learning } from '../actors/membership/learning.js'
import { Leaving } from '../actors/membership/leaving.js'
import { Limiting, type LimitTime } from '../actors/membership/limiting.js'
import { Membership } from '../actors/membership/membership.js'
import type { MembershipMessage } from '../actors/membership/membership-messages.js'
import { Verifier } from '../actors/membership/verifier.js'
import { Voting } from '../actors/membership/voting.js'
import { toHex } from '../bytes.js'
import type { Clock } from '../clock.js'
import type { EvictionOptions } from '../detector/eviction-rule.js'
import type { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Member, PeerId } from '../member.js'
import type { Metrics } from '../metrics.js'
import type { Network } from '../network/network.js'
import type { Random } from '../random.js'
import { chooseTokens } from '../ring/tokens.js'
import type { Ref } from '../runtime/actor.js'
import type { Founding } from '../views/chain.js'
import type { Signer } from '../views/join.js'

/** The seams and values that the parts of membership are built on. */
export interface BuildMembershipDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly signer: Signer
  readonly durableRing: DurableRing
  readonly self: Ref<MembershipMessage>
  /** This peer knows what it must know of the ring's time before it stores for others. */
  readonly mayJoin: () => boolean
  /** The time of the members; ms since the epoch. */
  readonly now: () => number
  readonly limitTime: LimitTime
  /** This peer cannot be a member of the ring that it found. */
  readonly onRefused: (error: RingdError) => void
  /** This member is out of the ring, and no other member needs it any more. */
  readonly onDeparted: () => void
}

export interface MembershipOptions extends Partial<EvictionOptions> {
  readonly join: readonly string[]
  /** The id of the only ring that this peer may join. */
  readonly ring?: string | undefined
  readonly zone: string
  readonly weight: number
  readonly replicas: number
  /** Addresses of the ring that this store was a member of under another id; see `DurableMembership.formerPeers`. */
  readonly formerPeers: readonly string[] | undefined
  /** See JoiningOptions. */
  readonly expects?: number | undefined
  /** See `DurableMembership.rescue`. */
  readonly rescue: Founding | undefined
}

const RING_ID_BYTES = 16

export function buildMembership(
  deps: BuildMembershipDeps,
  options: MembershipOptions
): { readonly membership: Membership; readonly leaving: Leaving } {
  const { clock, now, random, log, metrics, network, signer, durableRing, self, onDeparted } = deps
  const gossip = new Gossip({ random, log, network, durableRing, self })
  const evictor = new Evictor({ log, metrics }, options)
  const verifier = new Verifier({ clock, log, metrics, signer })
  const joinRequests = new JoinRequests({ clock, verifier, durableRing, gossip, self })
  const departureRequests = new DepartureRequests({ clock, verifier, durableRing })
  const joining = buildJoining(deps, options, gossip)
  const isSeed = (peerId: PeerId) => joining.isSeed(peerId)
  const chainTrust = new ChainTrust({ log, metrics, durableRing, verifier, isSeed, ringId: options.ring })
  const limiting = new Limiting({ log, durableRing, gossip, time: deps.limitTime })
  const requests = { joinRequests, departureRequests }
  const learning = new Learning({ log, durableRing, gossip, verifier, chainTrust, ...requests, limiting })
  const voting = new Voting({
    clock,
    random,
    log,
    signer,
    verifier,
    durableRing,
    gossip,
    evictor,
    joinRequests,
    departureRequests,
    self
  })
  const leaving = new Leaving({ clock, now, log, durableRing, signer, gossip, departureRequests, onDeparted })
  const keptPeers = new KeptPeers({ network, durableRing })
  const membership = new Membership({
    clock,
    log,
    durableRing,
    gossip,
    learning,
    joining,
    joinRequests,
    leaving,
    limiting,
    evictor,
    voting,
    keptPeers
  })
  return { membership, leaving }
}

function joinAddresses({ join, formerPeers }: MembershipOptions): readonly string[] {
  return [...join, ...(formerPeers ?? [])]
}

function buildJoining(
  { random, log, network, signer, durableRing, mayJoin, now, onRefused }: BuildMembershipDeps,
  options: MembershipOptions,
  gossip: Gossip
): Joining {
  const { ring, zone, weight, replicas, formerPeers, expects = 0, rescue } = options
  const choose = (members: readonly Member[], count: number) =>
    chooseTokens(members, { storeId: durableRing.storeId, zone, weight }, count)
  return new Joining(
    { random, log, network, signer, durableRing, gossip, mayJoin, now, chooseTokens: choose, onRefused },
    {
      join: joinAddresses(options),
      ring,
      zone,
      weight,
      founding: { ringId: toHex(random.bytes(RING_ID_BYTES)), replicas },
      mayFound: formerPeers === undefined,
      expects,
      rescue
    }
  )
}
