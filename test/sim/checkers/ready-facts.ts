// Judges that what members say of their readiness is true: whoever is ready for config c of a slot has on disk, in
// that version or a newer one, everything that was established under a config before c. Also what is established
// later: an operation that began under an older config and ends after the word was given.
// Sound by the fence: a pull for c reaches a quorum's complement of every earlier config after those members know c,
// and from then on they admit nothing of an older config. Lost members are left out, and a member that has dropped
// what it held of a slot is ready for nothing there. Source: the READY check of the model of these rules.
import type { MemberId } from '../../../lib/member.js'
import type { Observation } from '../run/observation.js'
import { Judge } from './judge.js'
import type { Established } from './registers.js'

export class ReadyFacts extends Judge {
  readonly rule = 'ready facts'
  /** Per slot, of each member the newest config for which it said so. */
  readonly #ready = new Map<number, Map<MemberId, number>>()

  protected judge(observation: Observation): void {
    const { at } = observation
    if (observation.type === 'ready') {
      const { member, slot, config } = observation
      const ready = this.#ready.get(slot) ?? new Map<MemberId, number>()
      this.#ready.set(slot, ready)
      ready.set(member, Math.max(config, ready.get(member) ?? 0))
      for (const register of this.state.registersOf(slot)) {
        for (const established of register.under.values()) this.#judgeFact(at, member, config, established)
      }
    } else if (observation.type === 'erased') this.#renounce(observation.member, observation.key)
    else if (this.state.news !== undefined) {
      const { news } = this.state
      const ready = this.#ready.get(news.register.slot) ?? []
      for (const [member, config] of ready) this.#judgeFact(at, member, config, news)
    }
  }

  #judgeFact(at: number, member: MemberId, config: number, established: Established): void {
    const { state } = this
    const { register, version, under, text } = established
    if (under >= config || state.disks.isLost(member) || state.holds(member, established)) return
    const held = state.disks.get(member, register.key)?.version ?? 'nothing'
    const fact = `${member} says it is ready for config ${config} of slot ${register.slot}`
    this.report(
      at,
      `${member} ${register.key} ${version}`,
      `${fact}, but holds ${held} where ${version} is due: ${text}`
    )
  }

  /** An owner drops nothing but tombstones, and goes on being ready. */
  #renounce(member: MemberId, key: string): void {
    const { slot } = this.state.register(key)
    const newest = this.state.pictures.window(member, slot)?.at(-1)
    if (!newest?.owners.includes(member)) this.#ready.get(slot)?.delete(member)
  }
}
