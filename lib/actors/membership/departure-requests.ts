// Requests that a member leaves the ring, as every peer hears them: a member's own leave request, or the removal
// request of another member for one that is dead. They are verified, and forgotten when nobody renews them. Part of the
// membership actor. The requests that this peer makes are in leaving.ts.
// Source: rules 10 and 11 of lib/views/README.md.

import type { Clock } from '../../clock.js'
import type { MemberId } from '../../member.js'
import type { View } from '../../views/chain.js'
import { type Departure, isOpen, replaces } from '../../views/departure.js'
import { signedDeparture } from '../../views/wire-codec.js'
import type { DurableRing } from './durable-ring.js'
import type { Verifier } from './verifier.js'

export interface DepartureRequestsDeps {
  readonly clock: Clock
  readonly verifier: Verifier
  readonly durableRing: DurableRing
}

/** A request is forgotten when nobody has renewed it for this long. */
const FORGET_MS = 30_000

export class DepartureRequests {
  readonly #deps: DepartureRequestsDeps
  readonly #heardAt = new Map<MemberId, number>()
  readonly #renewedAt = new Map<MemberId, number>()

  constructor(deps: DepartureRequestsDeps) {
    this.#deps = deps
  }

  /** When the request for each member to leave was first heard here; monotonic ms. */
  get heardAt(): ReadonlyMap<MemberId, number> {
    return this.#heardAt
  }

  /** Of these requests, those that are newer than what is known here, and signed by a peer that may make them. */
  async verify(requests: readonly Departure[]): Promise<readonly Departure[]> {
    const { durableRing, verifier, clock } = this.#deps
    const genuine: Departure[] = []
    for (const request of requests) {
      if (!replaces(request, durableRing.ring.departures.get(request.storeId))) continue
      const { view } = durableRing.ring
      // A request that the view has granted already comes from a peer that does not know that view yet.
      if (view === undefined || !isOpen(view, request)) continue
      if (!mayRequest(view, request)) continue
      const { peerId, signature } = request
      const claim = { peerId, statement: signedDeparture(request), signature }
      if (!(await verifier.holds('departure request', [claim]))) break
      genuine.push(request)
    }
    const now = clock.elapsed()
    for (const { storeId } of genuine) {
      if (!this.#heardAt.has(storeId)) this.#heardAt.set(storeId, now)
      this.#renewedAt.set(storeId, now)
    }
    return genuine
  }

  forgetLate(now: number): void {
    const { durableRing } = this.#deps
    const late: MemberId[] = []
    for (const [id, renewed] of this.#renewedAt) {
      const isKnown = durableRing.ring.departures.has(id)
      if (isKnown && now - renewed <= FORGET_MS) continue
      if (isKnown) late.push(id)
      this.#renewedAt.delete(id)
      this.#heardAt.delete(id)
    }
    durableRing.forgetRequests(late)
  }
}

/** A member asks to leave for itself. The removal of a dead member is asked for by another member. */
function mayRequest(view: View, { storeId, peerId, dead }: Departure): boolean {
  if (!dead) return view.members.get(storeId)?.peerId === peerId
  for (const member of view.members.values()) if (member.peerId === peerId && member.storeId !== storeId) return true
  return false
}
