// Judges that nobody drops what is still needed.
//   - A member drops live entries of a slot only when its own window is down to one config that it does not own in:
//     by what it knows, since it may be an owner again in a view that it has not heard of, and that is safe. What it
//     gave up then it may also drop later, as long as it has not become an owner again; a batch that was on its way to
//     the disk then still arrives. An owner that is new, and not ready yet, may forget what it held of a slot in
//     which others have purged: what its sources hold takes the place.
//   - What it drops, when it is established, is held by as many owners as acknowledge it (less those whose disks are
//     lost, but one at least) in that config or in a newer one: a slow member may drop long after that config has
//     moved on.
// What was never established may go: its writer has been told nothing. That tombstones and expired values vanish at
// owners is resurrection.ts's to judge.
import type { MemberId } from '../../../lib/member.js'
import type { Config } from '../../../lib/views/configs.js'
import type { BecameReady, Erased, Observation } from '../run/observation.js'
import { Judge } from './judge.js'
import type { Established } from './registers.js'

interface GivenUp {
  readonly config: number
  readonly until: number
}

/** A batch takes no longer to get to the disk, on a disk that lags. */
const BATCH_MS = 1000

export class Deletions extends Judge {
  readonly rule = 'deletions'
  /** Per member and slot the config at which it may have given the slot up, and until when it may drop it. */
  readonly #givenUp = new Map<MemberId, Map<number, GivenUp>>()

  /** Per member and slot the newest config for which it said that it is ready. */
  readonly #ready = new Map<MemberId, Map<number, number>>()

  /** Slots of which somebody has dropped what was gone. */
  readonly #purged = new Set<number>()

  protected judge(observation: Observation): void {
    if (observation.type === 'ready') this.#hearReady(observation)
    if (observation.type === 'picture') this.#see(observation.member, observation.at)
    if (observation.type !== 'erased') return
    const dropped = this.state.disks.replaced
    if (dropped === undefined) return
    const { newest, slot } = this.state.register(observation.key)
    if (this.state.isAbsent(dropped)) this.#purged.add(slot)
    else this.#judgeOwner(observation, slot)
    if (newest !== undefined && dropped.version >= newest.version) this.#judgeOthers(observation, newest)
  }

  #see(member: MemberId, at: number): void {
    const { pictures } = this.state
    const givenUp = this.#givenUp.get(member) ?? new Map<number, GivenUp>()
    this.#givenUp.set(member, givenUp)
    for (const slot of pictures.changed) {
      const window = pictures.window(member, slot)!
      const owned = window.findLast(({ owners }) => owners.includes(member))
      const former = givenUp.get(slot)
      if (owned === undefined && window.length === 1)
        givenUp.set(slot, { config: window[0]!.begin, until: Number.POSITIVE_INFINITY })
      else if (former !== undefined && owned !== undefined && owned.begin > former.config) {
        givenUp.set(slot, { ...former, until: Math.min(former.until, at + BATCH_MS) })
      }
    }
  }

  #hearReady({ member, slot, config }: BecameReady): void {
    const slots = this.#ready.get(member) ?? new Map<number, number>()
    this.#ready.set(member, slots)
    slots.set(slot, Math.max(config, slots.get(slot) ?? 0))
  }

  /** It is about to pull all of it from sources that have purged: nobody counts on what it holds before. */
  #mayForget(member: MemberId, slot: number, { begin }: Config): boolean {
    return this.#purged.has(slot) && (this.#ready.get(member)?.get(slot) ?? 0) < begin
  }

  #judgeOwner({ at, member, key }: Erased, slot: number): void {
    if (at <= (this.#givenUp.get(member)?.get(slot)?.until ?? Number.NEGATIVE_INFINITY)) return
    const window = this.state.pictures.window(member, slot)
    if (window === undefined) return
    const owned = window.find(({ owners }) => owners.includes(member))
    if (owned !== undefined && owned === window.at(-1) && this.#mayForget(member, slot, owned)) return
    const reason =
      owned === undefined
        ? `works by ${window.length} configs of slot ${slot} still`
        : `is an owner of slot ${slot} in config ${owned.begin}`
    this.report(at, `owner ${member} ${key}`, `${member} has dropped its entry of ${key}, but ${reason}`)
  }

  #judgeOthers({ at, member, key }: Erased, established: Established): void {
    const { slot } = established.register
    const since = this.#givenUp.get(member)?.get(slot)?.config ?? this.state.pictures.begin(member, slot)
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
