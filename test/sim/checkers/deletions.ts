// Checks that no member drops an entry that is still needed.
//   - A member drops live entries of a slot only after its own window of the slot had one config in which it is no
//     owner. Its own knowledge decides: it may be an owner again in a view that it has not heard of, and that is safe.
//     It may drop a slot that it released also later, until it becomes an owner again; a batch that was then on its way
//     to the disk may still arrive. A new owner that is not ready may drop its old entries of a slot in which others
//     have purged, because its pull replaces them. A purge that deleted nothing is not reported: it may drop an entry
//     also when a quorum of the other owners is ready and holds it.
//   - When the dropped version was established, a quorum of owners in that config or a newer one holds it. Owners whose
//     disks are lost count as holders, but at least one must really hold it. A newer config is accepted because a slow
//     member may drop long after the slot has moved on.
// An entry that was never established may be dropped: its writer got no acknowledgement. Tombstones and expired values
// that owners drop are checked by resurrection.ts.
import type { MemberId } from '../../../lib/member.js'
import type { Config } from '../../../lib/views/configs.js'
import type { BecameReady, Erased, Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import type { Entry } from './disks.js'
import type { Established } from './registers.js'

/** A slot that a member may drop: since `config`, and until this time. */
interface Released {
  readonly config: number
  readonly until: number
}

/** A batch reaches the disk within this time, also on a disk that lags. */
const BATCH_MS = 1000

export class Deletions extends BaseChecker {
  readonly rule = 'deletions'
  /** Per member and slot: the config at which the member may have released the slot, and until when it may drop it. */
  readonly #released = new Map<MemberId, Map<number, Released>>()

  /** Per member and slot: the newest config for which the member said that it is ready. */
  readonly #ready = new Map<MemberId, Map<number, number>>()

  /** Slots in which a member has purged. */
  readonly #purged = new Set<number>()

  protected check(observation: Observation): void {
    if (observation.type === 'ready') this.#hearReady(observation)
    if (observation.type === 'picture') this.#see(observation.member, observation.at)
    if (observation.type !== 'erased') return
    const dropped = this.state.disks.replaced
    if (dropped === undefined) return
    const { newest, slot } = this.state.register(observation.key)
    if (this.state.isAbsent(dropped)) this.#purged.add(slot)
    else this.#checkOwner(observation, slot, dropped)
    if (newest !== undefined && dropped.version >= newest.version) this.#checkOthers(observation, newest)
  }

  #see(member: MemberId, at: number): void {
    const { pictures } = this.state
    const released = this.#released.get(member) ?? new Map<number, Released>()
    this.#released.set(member, released)
    for (const slot of pictures.changed) {
      const window = pictures.window(member, slot)!
      const owned = window.findLast(({ owners }) => owners.includes(member))
      const former = released.get(slot)
      if (owned === undefined && window.length === 1)
        released.set(slot, { config: window[0]!.begin, until: Number.POSITIVE_INFINITY })
      else if (former !== undefined && owned !== undefined && owned.begin > former.config) {
        released.set(slot, { ...former, until: Math.min(former.until, at + BATCH_MS) })
      }
    }
  }

  #hearReady({ member, slot, config }: BecameReady): void {
    const slots = this.#ready.get(member) ?? new Map<number, number>()
    this.#ready.set(member, slots)
    slots.set(slot, Math.max(config, slots.get(slot) ?? 0))
  }

  /** It will pull the whole slot from sources that have purged, so no read relies on the entry that it drops. */
  #mayForget({ member, key }: Erased, slot: number, config: Config, dropped: Entry): boolean {
    if (this.#isReady(member, slot, config)) return false
    if (this.#purged.has(slot)) return true
    const holds = (owner: MemberId) => (this.state.disks.get(owner, key)?.version ?? '') >= dropped.version
    const others = config.owners.filter((owner) => owner !== member && this.#isReady(owner, slot, config))
    return others.filter(holds).length >= config.quorum
  }

  #isReady(member: MemberId, slot: number, { begin }: Config): boolean {
    return (this.#ready.get(member)?.get(slot) ?? 0) >= begin
  }

  #checkOwner(erased: Erased, slot: number, dropped: Entry): void {
    const { at, member, key } = erased
    if (at <= (this.#released.get(member)?.get(slot)?.until ?? Number.NEGATIVE_INFINITY)) return
    const window = this.state.pictures.window(member, slot)
    if (window === undefined) return
    const owned = window.find(({ owners }) => owners.includes(member))
    if (owned !== undefined && owned === window.at(-1) && this.#mayForget(erased, slot, owned, dropped)) return
    const reason =
      owned === undefined
        ? `still uses ${window.length} configs of slot ${slot}`
        : `is an owner of slot ${slot} in config ${owned.begin}`
    this.report(at, `owner ${member} ${key}`, `${member} has dropped its entry of ${key}, but ${reason}`)
  }

  #checkOthers({ at, member, key }: Erased, established: Established): void {
    const { slot } = established.register
    const since = this.#released.get(member)?.get(slot)?.config ?? this.state.pictures.begin(member, slot)
    let isKnown = false
    for (const config of this.state.pictures.configs(slot)) {
      if (config.begin < since) continue
      isKnown = true
      if (this.#keeps(config, established)) return
    }
    if (!isKnown) return
    const text = `${member} has dropped its entry of ${key}, but too few owners from config ${since} on hold`
    this.report(
      at,
      `others ${key} ${established.version}`,
      `${text} version ${established.version}: ${established.text}`
    )
  }

  #keeps({ owners, quorum }: Config, established: Established): boolean {
    const { disks } = this.state
    const isLost = (owner: MemberId) => disks.isLost(owner)
    const holders = owners.filter((owner) => !isLost(owner) && this.state.holds(owner, established)).length
    return holders > 0 && holders + owners.filter(isLost).length >= quorum
  }
}
