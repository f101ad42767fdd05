// The knowledge of members about the ring, as far as the run has reported it: their views, and the windows that they
// use. Reports nothing. A member has its knowledge on disk, so it counts also while its node is down.
import type { MemberId } from '../../../lib/member.js'
import { type Config, newestConfig, type Window } from '../../../lib/views/configs.js'
import type { Observation, Picture } from '../run/observation.js'

interface Known {
  view: number
  readonly windows: Map<number, Window>
}

export class Pictures {
  /** The slots in which the last picture of a member differs from its picture before. */
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

  /** The name of the node that the member is or was, with the short id; any other id unchanged. */
  nameOf(id: string): string {
    const node = this.#nodes.get(id)
    return node === undefined ? id : `${node} (member ${id.slice(0, 8)})`
  }

  /** All nodes of which a picture was reported, each with the member that it is now. */
  routers(): Iterable<readonly [node: string, member: MemberId]> {
    return this.#lives
  }

  window(member: MemberId, slot: number): Window | undefined {
    return this.#known.get(member)?.windows.get(slot)
  }

  /** Every config of the slot that some member has known. */
  configs(slot: number): Iterable<Config> {
    return this.#configs.get(slot)?.values() ?? []
  }

  /** The first view of the newest config that the member knows; 0 when no picture of it was reported. */
  begin(member: MemberId, slot: number): number {
    const window = this.window(member, slot)
    return window === undefined ? 0 : newestConfig(window).begin
  }

  /**
   * The newest config that the node can have used for an operation on the slot that it has just answered. A node may
   * use a view that it holds before its picture shows it.
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
