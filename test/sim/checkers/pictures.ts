// What members know of the ring, as far as a run has told: the windows by which they work, and the views that they
// hold. Judges nothing. What a member knows it has on disk, so it counts also while its node is down.
import type { MemberId } from '../../../lib/member.js'
import { type Config, newestConfig, type Window } from '../../../lib/views/configs.js'
import type { Observation, Picture } from '../run/observation.js'

interface Known {
  view: number
  readonly windows: Map<number, Window>
}

export class Pictures {
  /** The slots in which the last picture differs from the one before it. */
  changed: number[] = []
  readonly #known = new Map<MemberId, Known>()
  readonly #nodes = new Map<MemberId, string>()
  /** The member that each node is now. */
  readonly #lives = new Map<string, MemberId>()
  readonly #configs = new Map<number, Map<number, Config>>()
  readonly #views = new Map<MemberId, number>()
  #newestView = 0

  observe(observation: Observation): void {
    if (observation.type === 'picture') this.#learn(observation)
    else if (observation.type === 'view') this.#hold(observation.member, observation.view)
  }

  /** The member that the node is now. */
  memberOf(node: string): MemberId | undefined {
    return this.#lives.get(node)
  }

  /** A member by the node that it is or was; any other id as it is. */
  nameOf(id: string): string {
    const node = this.#nodes.get(id)
    return node === undefined ? id : `${node} (member ${id.slice(0, 8)})`
  }

  /** Nodes that route by a picture, each with the member that it is now. */
  routers(): Iterable<readonly [node: string, member: MemberId]> {
    return this.#lives
  }

  window(member: MemberId, slot: number): Window | undefined {
    return this.#known.get(member)?.windows.get(slot)
  }

  /** Every config of the slot that anybody has ever known. */
  configs(slot: number): Iterable<Config> {
    return this.#configs.get(slot)?.values() ?? []
  }

  /** The newest config that the member knows; 0 when nothing is known of it. */
  begin(member: MemberId, slot: number): number {
    const window = this.window(member, slot)
    return window === undefined ? 0 : newestConfig(window).begin
  }

  /**
   * An operation on the slot that the node has just answered went by a config no newer than this. A node that holds a
   * view that its picture does not show yet may have gone by that.
   */
  answeredUnder(node: string, slot: number): number {
    const member = this.#lives.get(node)
    if (member === undefined) return this.#newestView
    const held = this.#views.get(member) ?? 0
    return held > this.#known.get(member)!.view ? held : this.begin(member, slot)
  }

  #learn({ node, member, view, windows }: Picture): void {
    this.#lives.set(node, member)
    this.#nodes.set(member, node)
    this.#hold(member, view)
    const known = this.#known.get(member) ?? { view, windows: new Map<number, Window>() }
    this.#known.set(member, known)
    known.view = view
    this.changed = []
    for (const [slot, window] of windows) {
      if (known.windows.get(slot) === window) continue
      known.windows.set(slot, window)
      this.changed.push(slot)
      const configs = this.#configs.get(slot) ?? new Map<number, Config>()
      this.#configs.set(slot, configs)
      for (const config of window) if (!configs.has(config.begin)) configs.set(config.begin, config)
    }
  }

  #hold(member: MemberId, view: number): void {
    this.#views.set(member, Math.max(view, this.#views.get(member) ?? 0))
    this.#newestView = Math.max(this.#newestView, view)
  }
}
