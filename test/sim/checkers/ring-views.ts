// Judges what members know of the ring: everybody who knows view n knows the same view n; a member that was removed
// is in no later view; what a member knows never goes back, restarts included: its newest view, and of each slot the
// ends of its window; and a config, named by slot and first view, has one owner set. Members that are lost are left
// out: what their disks lost they no longer know.
import type { MemberId } from '../../../lib/member.js'
import { baseConfig, newestConfig, type Window } from '../../../lib/views/configs.js'
import type { Observation, Picture, ViewKnown } from '../run/observation.js'
import { Judge } from './judge.js'

export class RingViews extends Judge {
  readonly rule = 'views'
  readonly #digests = new Map<number, ViewKnown>()
  readonly #members = new Map<number, ReadonlySet<MemberId>>()
  readonly #newest = new Map<MemberId, number>()
  readonly #windows = new Map<MemberId, Map<number, Window>>()
  readonly #owners = new Map<string, string>()

  protected judge(observation: Observation): void {
    if (observation.type === 'view') this.#judgeView(observation)
    else if (observation.type === 'picture') this.#judgePicture(observation)
  }

  #judgeView(known: ViewKnown): void {
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
    this.#judgeGrowth(at, member, view)
    if (members === undefined || this.#members.has(view)) return
    this.#members.set(view, new Set(members))
    this.#judgeReturns(at)
  }

  #judgeGrowth(at: number, member: MemberId, view: number): void {
    const before = this.#newest.get(member) ?? 0
    if (view >= before) this.#newest.set(member, view)
    else if (!this.state.disks.isLost(member)) {
      this.report(at, `growth ${member}`, `${member} knew view ${before}, and now knows view ${view} only`)
    }
  }

  /** Over all views that are known, in their order: who is gone once stays gone. */
  #judgeReturns(at: number): void {
    const gone = new Map<MemberId, number>()
    let before: ReadonlySet<MemberId> = new Set()
    for (const view of [...this.#members.keys()].sort((a, b) => a - b)) {
      const members = this.#members.get(view)!
      for (const id of before) if (!members.has(id)) gone.set(id, view)
      for (const id of members) {
        const left = gone.get(id)
        if (left === undefined) continue
        this.report(at, `return ${id}`, `${id} is in view ${view}, but was gone from view ${left}`)
      }
      before = members
    }
  }

  #judgePicture({ at, member, view, windows }: Picture): void {
    this.#judgeGrowth(at, member, view)
    const known = this.#windows.get(member) ?? new Map<number, Window>()
    this.#windows.set(member, known)
    for (const [slot, window] of windows) {
      const before = known.get(slot)
      if (before === window) continue
      known.set(slot, window)
      this.#judgeOwners(at, member, slot, window)
      if (before === undefined || this.state.disks.isLost(member)) continue
      const fallsBack =
        baseConfig(window).begin < baseConfig(before).begin || newestConfig(window).begin < newestConfig(before).begin
      if (!fallsBack) continue
      const text = `${member} worked by configs ${begins(before)} of slot ${slot}, and now works by ${begins(window)}`
      this.report(at, `window ${member} ${slot}`, text)
    }
  }

  #judgeOwners(at: number, member: MemberId, slot: number, window: Window): void {
    for (const { begin, owners } of window) {
      const name = `${slot} ${begin}`
      const list = owners.join(' ')
      const known = this.#owners.get(name)
      if (known === undefined) this.#owners.set(name, list)
      else if (known !== list) {
        this.report(at, name, `config ${begin} of slot ${slot} is owned by ${known}, and for ${member} by ${list}`)
      }
    }
  }
}

function begins(window: Window): string {
  return window.map(({ begin }) => begin).join(', ')
}
