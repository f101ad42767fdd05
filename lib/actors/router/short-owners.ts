// The members whose disks have little room left, as their pongs and refusals tell. Part of the router.
//
// A write that is refused must change nothing that a reader can see. When two of three owners are full, the third
// would store it all the same, and the next read would find it. So a write that cannot complete without owners that
// may refuse it asks those first, and the others only when the quorum is certain of room. The order of the questions
// changes no promise: a quorum still stores each acknowledged write. So a wrong or old entry of this table costs one
// round trip.
// Source: disk.md beside the replica.
import type { MemberId } from '../../member.js'
import type { OwnerRequests } from './owner-requests.js'
import type { QuorumPhase, Target } from './quorum-phase.js'

export class ShortOwners {
  readonly #members = new Set<MemberId>()

  tell(member: MemberId, isShort: boolean): void {
    if (isShort) this.#members.add(member)
    else this.#members.delete(member)
  }

  /**
   * The owners with little room, when the phase cannot complete without one that is yet to answer; else undefined: all
   * may be asked at once. An owner without a link does not count as one that can store the write.
   */
  decisive(phase: QuorumPhase, owners: Pick<OwnerRequests, 'isReachable'>): readonly Target[] | undefined {
    if (this.#members.size === 0) return undefined
    const isShort = ({ member }: Target) => this.#members.has(member)
    if (!phase.targets.some(isShort)) return undefined
    const lacks = (target: Target) => isShort(target) || !owners.isReachable(target)
    return phase.canSpare(lacks) ? undefined : phase.targets.filter(isShort)
  }
}
