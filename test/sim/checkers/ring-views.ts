// Checks what members know of the ring:
//   - All members that know view n know the same view n.
//   - A removed member is in no later view.
//   - The knowledge of a member does not go back, also after a restart: its newest view, and for each slot the first
//     and last config of its window.
//   - A config, named by slot and first view, has one owner set.
// Lost members are not checked: they no longer know what their disks lost.
import type { MemberId } from '../../../lib/member.js'
import { baseConfig, newestConfig, type Window } from '../../../lib/views/configs.js'
import type { Observation, Picture, ViewKnown } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'

export class RingViews extends BaseChecker {
  readonly rule = 'views'
  readonly #digests = new Map<number, ViewKnown>()
  readonly #members = new Map<number, ReadonlySet<MemberId>>()
  readonly #newest = new Map<MemberId, number>()
  readonly #windows = new Map<MemberId, Map<number, Window>>()
  readonly #owners = new Map<string, string>()

  protected check(observation: Observation): void {
    if (observation.type === 'view') this.#checkView(observation)
    else if (observation.type === 'picture') this.#checkPicture(observation)
  }

  #checkView(known: ViewKnown): void {
    const { at, member, view, digest, members } = known
    const first = this.#digests.get(view)
    if (first === undefined) this.#digests.set(view, known)
    else if (first.digest !== digest) {
      this.report(
        at,
        `view ${view}`,
        `view ${view} is ${first.digest} for ${first.member}, and ${digest} for ${member}`
      )
    }
    this.#checkGrowth(at, member, view)
    if (members === undefined || this.#members.has(view)) return
    this.#members.set(view, new Set(members))
    this.#checkReturns(at)
  }

  #checkGrowth(at: number, member: MemberId, view: number): void {
    const before = this.#newest.get(member) ?? 0
    if (view >= before) this.#newest.set(member, view)
    else if (!this.state.disks.isLost(member)) {
      this.report(at, `growth ${member}`, `${member} knew view ${before}, and now knows only view ${view}`)
    }
  }

  /** Over all known views, in their order: a removed member does not return. */
  #checkReturns(at: number): void {
    const removed = new Map<MemberId, number>()
    let before: ReadonlySet<MemberId> = new Set()
    for (const view of [...this.#members.keys()].sort((a, b) => a - b)) {
      const members = this.#members.get(view)!
      for (const id of before) if (!members.has(id)) removed.set(id, view)
      for (const id of members) {
        const since = removed.get(id)
        if (since === undefined) continue
        this.report(at, `return ${id}`, `${id} is in view ${view}, but was removed in view ${since}`)
      }
      before = members
    }
  }

  #checkPicture({ at, member, view, windows }: Picture): void {
    this.#checkGrowth(at, member, view)
    const known = this.#windows.get(member) ?? new Map<number, Window>()
    this.#windows.set(member, known)
    for (const [slot, window] of windows) {
      const before = known.get(slot)
      if (before === window) continue
      known.set(slot, window)
      this.#checkOwners(at, member, slot, window)
      if (before === undefined || this.state.disks.isLost(member)) continue
      const fallsBack =
        baseConfig(window).begin < baseConfig(before).begin || newestConfig(window).begin < newestConfig(before).begin
      if (!fallsBack) continue
      const text = `${member} used configs ${begins(before)} of slot ${slot}, and now uses ${begins(window)}`
      this.report(at, `window ${member} ${slot}`, text)
    }
  }

  #checkOwners(at: number, member: MemberId, slot: number, window: Window): void {
    for (const { begin, owners } of window) {
      const name = `${slot} ${begin}`
      const list = owners.join(' ')
      const known = this.#owners.get(name)
      if (known === undefined) this.#owners.set(name, list)
      else if (known !== list) {
        const text = `config ${begin} of slot ${slot} has owners ${known}, but for ${member} ${list}`
        this.report(at, name, text)
      }
    }
  }
}

function begins(window: Window): string {
  return window.map(({ begin }) => begin).join(', ')
}
