// Judges the invariant behind all promises: no quorum read could miss what is established. For every key and every
// node, with what it knows now, the window has a config in which fewer than a quorum of owners would answer without
// it: then no read is complete before somebody has told. An owner answers without it when its disk has something
// older or nothing, the disk is not lost, and the owner knows no newer config of the slot than the node that asks
// (else it refuses: the fence). Also: somebody holds it at all.
// At most one owner of a slot may be lost for good before the slot has settled again; more are for the run to avoid.
// Looked at again whenever something is established, a window changes, or a disk holds less than before. Source: the
// QUORUM and LOST checks of the model of these rules.
import type { MemberId } from '../../../lib/member.js'
import type { Config } from '../../../lib/views/configs.js'
import type { Observation } from '../run/observation.js'
import type { Entry } from './disks.js'
import { Judge } from './judge.js'
import type { Established, Register } from './registers.js'

export class VisibleWrites extends Judge {
  readonly rule = 'visible writes'

  protected judge(observation: Observation): void {
    const { state } = this
    const { at } = observation
    switch (observation.type) {
      case 'picture':
        for (const slot of state.pictures.changed) {
          for (const { newest } of state.registersOf(slot)) {
            if (newest !== undefined) this.#judgeRouter(at, observation.node, observation.member, newest)
          }
        }
        break
      case 'answered':
        if (state.news !== undefined && state.hasDisks) this.#judgeRegister(at, state.news.register)
        break
      case 'stored':
        if (isLess(state.disks.replaced, observation)) this.#judgeRegister(at, state.register(observation.key))
        break
      case 'erased':
        this.#judgeRegister(at, state.register(observation.key))
        break
      case 'image':
        for (const [key, before] of state.disks.former) {
          if (isLess(before, observation.entries.get(key))) this.#judgeRegister(at, state.register(key))
        }
        break
      case 'lost':
        for (const key of state.disks.entries(observation.member).keys())
          this.#judgeHolders(at, state.register(key).newest)
    }
  }

  #judgeRegister(at: number, { newest }: Register): void {
    if (newest === undefined) return
    this.#judgeHolders(at, newest)
    for (const [node, member] of this.state.pictures.routers()) this.#judgeRouter(at, node, member, newest)
  }

  #judgeRouter(at: number, node: string, router: MemberId, established: Established): void {
    const { register, version, text } = established
    const { pictures, disks } = this.state
    const window = pictures.window(router, register.slot)
    if (window === undefined || disks.isLost(router)) return
    const begin = pictures.begin(router, register.slot)
    const canMiss = (config: Config) => this.#countBlind(config, begin, established) >= config.quorum
    if (!window.every(canMiss)) return
    const configs = window.map((config) => this.#tell(config, established)).join('; ')
    const missed = `a quorum read of ${register.key} through ${node} can miss version ${version}`
    this.report(at, `${register.key} ${version}`, `${missed} of ${text}; it would ask ${configs}`)
  }

  /** Owners that would answer, and know nothing of it. */
  #countBlind(config: Config, begin: number, established: Established): number {
    const { state } = this
    let blind = 0
    for (const owner of config.owners) {
      if (state.disks.isLost(owner) || state.holds(owner, established)) continue
      if (state.pictures.begin(owner, established.register.slot) <= begin) blind += 1
    }
    return blind
  }

  #judgeHolders(at: number, established: Established | undefined): void {
    if (established === undefined) return
    const { state } = this
    for (const member of state.disks.members()) if (state.holds(member, established)) return
    const { register, version, text } = established
    this.report(at, `${register.key} ${version}`, `no disk holds version ${version} any more, of ${text}`)
  }

  #tell({ begin, owners, quorum }: Config, { register }: Established): string {
    const { disks } = this.state
    const told = owners.map((owner) => {
      const held = disks.get(owner, register.key)?.version ?? 'nothing'
      return `${owner} with ${disks.isLost(owner) ? 'a lost disk' : held}`
    })
    return `${quorum} of config ${begin}: ${told.join(', ')}`
  }
}

function isLess(before: Entry | undefined, after: Entry | undefined): boolean {
  return before !== undefined && (after === undefined || after.version < before.version)
}
