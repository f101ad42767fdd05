// Tells the network which ring this peer belongs to and which peers to stay connected with. Part of the membership
// actor. Kept are all members, linked peers that ask to join, and former members that still own a slot in an open
// window: they answer for old configs until the slot has moved.
// Invariant: addresses come from records that their member has signed. Those of a join request, which its joiner has
// signed, are dialled while the joiner is linked, and once a view has made it a member, until it has a record. Anybody
// may make up requests, and no peer may choose what this one dials.

import type { MemberId, PeerId } from '../../member.js'
import type { Network } from '../../network/network.js'
import { windowOwners } from '../../views/configs.js'
import type { RingState } from '../../views/ring-state.js'
import type { DurableRing } from './durable-ring.js'

export interface KeptPeersDeps {
  readonly network: Network
  readonly durableRing: DurableRing
}

type Addresses = readonly string[]

export class KeptPeers {
  readonly #deps: KeptPeersDeps
  #isIntroduced = false
  #kept: ReadonlyMap<PeerId, Addresses> = new Map()
  /** Addresses of the join requests that are known, and of those by which members without a record have joined. */
  #asked: ReadonlyMap<MemberId, Addresses> = new Map()
  /** The ring that `#kept` follows from. */
  #told: RingState | undefined

  constructor(deps: KeptPeersDeps) {
    this.#deps = deps
  }

  /** Tells the network what has changed. The ring must be on disk: the network names it to other peers. */
  refresh(): void {
    const { durableRing, network } = this.#deps
    const { ring } = durableRing
    const { view, configs, records, joins } = ring
    if (view === undefined || configs === undefined) return
    const told = this.#told
    if (configs === told?.configs && records === told.records && joins === told.joins) return
    this.#told = ring
    if (!this.#isIntroduced) {
      this.#isIntroduced = true
      network.introduce(view.founding.ringId, durableRing.storeId)
    }
    this.#asked = askedAddresses(ring, this.#asked)
    const peers = peersToKeep(ring, this.#asked, (peerId) => network.link(peerId) !== undefined)
    peers.delete(durableRing.peerId)
    if (!sameAddresses(peers, this.#kept)) network.keep(peers)
    this.#kept = peers
  }
}

function askedAddresses(
  { view, records, joins }: RingState,
  before: ReadonlyMap<MemberId, Addresses>
): ReadonlyMap<MemberId, Addresses> {
  const asked = new Map(Array.from(joins, ([id, { addresses }]) => [id, addresses]))
  for (const [id, addresses] of before) if (view?.members.has(id) && !records.has(id)) asked.set(id, addresses)
  return asked
}

function peersToKeep(
  { view, configs, records, joins }: RingState,
  asked: ReadonlyMap<MemberId, Addresses>,
  isLinked: (peerId: PeerId) => boolean
): Map<PeerId, Addresses> {
  const peers = new Map<PeerId, Addresses>()
  if (view === undefined || configs === undefined) return peers
  for (const { member, addresses } of joins.values()) if (isLinked(member.peerId)) peers.set(member.peerId, addresses)
  for (const member of view.members.values()) {
    peers.set(member.peerId, records.get(member.storeId)?.addresses ?? asked.get(member.storeId) ?? [])
  }
  const owners = view.peerIds.size > view.members.size ? windowOwners(configs) : []
  for (const id of owners) {
    const peerId = view.peerIds.get(id)!
    const addresses = records.get(id)?.addresses
    if (addresses !== undefined && !view.lost.has(id) && !peers.has(peerId)) peers.set(peerId, addresses)
  }
  return peers
}

function sameAddresses(one: ReadonlyMap<PeerId, Addresses>, other: ReadonlyMap<PeerId, Addresses>): boolean {
  if (one.size !== other.size) return false
  for (const [peerId, addresses] of one) {
    const others = other.get(peerId)
    if (others === addresses) continue
    if (others?.length !== addresses.length || others.some((address, at) => address !== addresses[at])) return false
  }
  return true
}
