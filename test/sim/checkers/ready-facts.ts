// Checks that readiness is true. A member that is ready for config c of a slot has on disk every write that was
// established under a config before c, in that version or a newer one. This includes writes that are established later:
// an operation can begin under an older config and end after the member announced that it is ready.
// A sound run passes because of the fence. A pull for c asks enough owners of every earlier config that the others form
// no quorum. Those owners know c when they answer, and from then on refuse operations of older configs.
// Lost members are not checked. A former owner that has dropped its entries of a slot is ready for nothing there.
// Source: the READY check of the model of these rules.
import type { MemberId } from '../../../lib/member.js'
import type { Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import type { Established } from './registers.js'

export class ReadyFacts extends BaseChecker {
  readonly rule = 'ready facts'
  /** Per slot and member: the newest config for which the member said that it is ready. */
  readonly #ready = new Map<number, Map<MemberId, number>>()

  protected check(observation: Observation): void {
    const { at } = observation
    if (observation.type === 'ready') {
      const { member, slot, config } = observation
      const ready = this.#ready.get(slot) ?? new Map<MemberId, number>()
      this.#ready.set(slot, ready)
      ready.set(member, Math.max(config, ready.get(member) ?? 0))
      for (const register of this.state.registersOf(slot)) {
        for (const established of register.under.values()) this.#checkFact(at, member, config, established)
      }
    } else if (observation.type === 'erased') this.#endReadiness(observation.member, observation.key)
    else if (this.state.news !== undefined) {
      const { news } = this.state
      const ready = this.#ready.get(news.register.slot) ?? []
      for (const [member, config] of ready) this.#checkFact(at, member, config, news)
    }
  }

  #checkFact(at: number, member: MemberId, config: number, established: Established): void {
    const { state } = this
    const { register, version, under, text } = established
    if (under >= config || state.disks.isLost(member) || state.holds(member, established)) return
    const held = state.disks.get(member, register.key)?.version ?? 'nothing'
    const fact = `${member} is ready for config ${config} of slot ${register.slot}`
    this.report(
      at,
      `${member} ${register.key} ${version}`,
      `${fact}, but holds ${held} instead of version ${version} of ${register.key}, established by: ${text}`
    )
  }

  /** A former owner that drops an entry is no longer ready. An owner drops only tombstones, and stays ready. */
  #endReadiness(member: MemberId, key: string): void {
    const { slot } = this.state.register(key)
    const newest = this.state.pictures.window(member, slot)?.at(-1)
    if (!newest?.owners.includes(member)) this.#ready.get(slot)?.delete(member)
  }
}
