// Checks the invariant behind all promises: no quorum read could miss an established write. For every key and every
// node at least one config of the node's window must have fewer than a quorum of owners that would answer without the
// write. Then no read completes before an owner has returned the write. An owner answers without it when its disk has
// an older version or nothing, the disk is not lost, and the owner knows no newer config of the slot than the node that
// asks (otherwise the fence refuses). Also checks that some disk holds the write at all.
// At most one owner of a slot may be lost before the slot has settled again; the run must not lose more.
// Checked again when a write is established, a window changes, or a disk holds less than before.
// Source: the QUORUM and LOST checks of the model of these rules.
import type { MemberId } from '../../../lib/member.js'
import type { Config } from '../../../lib/views/configs.js'
import type { Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import type { Entry } from './disks.js'
import type { Established, Register } from './registers.js'

export class VisibleWrites extends BaseChecker {
  readonly rule = 'visible writes'

  protected check(observation: Observation): void {
    const { state } = this
    const { at } = observation
    switch (observation.type) {
      case 'picture':
        for (const slot of state.pictures.changed) {
          for (const { newest } of state.registersOf(slot)) {
            if (newest !== undefined) this.#checkRouter(at, observation.node, observation.member, newest)
          }
        }
        break
      case 'answered':
        if (state.news !== undefined && state.hasDisks) this.#checkRegister(at, state.news.register)
        break
      case 'stored':
        if (isLess(state.disks.replaced, observation)) this.#checkRegister(at, state.register(observation.key))
        break
      case 'erased':
        this.#checkRegister(at, state.register(observation.key))
        break
      case 'image':
        for (const [key, before] of state.disks.former) {
          if (isLess(before, observation.entries.get(key))) this.#checkRegister(at, state.register(key))
        }
        break
      case 'lost':
        for (const key of state.disks.entries(observation.member).keys())
          this.#checkHolders(at, state.register(key).newest)
    }
  }

  #checkRegister(at: number, { newest }: Register): void {
    if (newest === undefined) return
    this.#checkHolders(at, newest)
    for (const [node, member] of this.state.pictures.routers()) this.#checkRouter(at, node, member, newest)
  }

  #checkRouter(at: number, node: string, router: MemberId, established: Established): void {
    const { register, version, text } = established
    const { pictures, disks } = this.state
    const window = pictures.window(router, register.slot)
    if (window === undefined || disks.isLost(router)) return
    const begin = pictures.begin(router, register.slot)
    const canMiss = (config: Config) => this.#countBlind(config, begin, established) >= config.quorum
    if (!window.every(canMiss)) return
    const configs = window.map((config) => this.#describe(config, established)).join('; ')
    const missed = `a quorum read of ${register.key} through ${node} can miss version ${version}`
    this.report(at, `${register.key} ${version}`, `${missed}, established by: ${text}; it would ask ${configs}`)
  }

  /** How many owners would answer without the write. */
  #countBlind(config: Config, begin: number, established: Established): number {
    const { state } = this
    let blind = 0
    for (const owner of config.owners) {
      if (state.disks.isLost(owner) || state.holds(owner, established)) continue
      if (state.pictures.begin(owner, established.register.slot) <= begin) blind += 1
    }
    return blind
  }

  #checkHolders(at: number, established: Established | undefined): void {
    if (established === undefined) return
    const { state } = this
    for (const member of state.disks.members()) if (state.holds(member, established)) return
    const { register, version, text } = established
    const lost = `no disk holds version ${version} of ${register.key} any more`
    this.report(at, `${register.key} ${version}`, `${lost}, established by: ${text}`)
  }

  #describe({ begin, owners, quorum }: Config, { register }: Established): string {
    const { disks } = this.state
    const described = owners.map((owner) => {
      const held = disks.get(owner, register.key)?.version ?? 'nothing'
      return `${owner} with ${disks.isLost(owner) ? 'a lost disk' : held}`
    })
    return `${quorum} of config ${begin}: ${described.join(', ')}`
  }
}

function isLess(before: Entry | undefined, after: Entry | undefined): boolean {
  return before !== undefined && (after === undefined || after.version < before.version)
}
