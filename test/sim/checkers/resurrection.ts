// Checks that deleted keys stay deleted. An expired value counts like a tombstone.
//   - After a delete was acknowledged no quorum read returns an older value. registers.ts defines "older".
//   - An owner purges a tombstone only when no owner that it knows of holds an older live entry. An older entry of a
//     member that is no owner cannot win a read: an owner that holds nothing answers with its purge bound. The checkers
//     of reads would see it.
//   - After that purge no owner stores a live entry that is older than the tombstone. A member that has not heard that
//     the slot has moved is no owner any more, and may still store writes that were sent to it before. A new owner may
//     store anything until it takes over the purges of the others; when it is ready it must hold nothing of it.
// A member that drops tombstones because it no longer owns the slot does not purge: deletions.ts checks it.
import type { MemberId } from '../../../lib/member.js'
import type { Answered, BecameReady, Erased, Observation, Stored } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import { describeOutdated, isRead } from './registers.js'

export class Resurrection extends BaseChecker {
  readonly rule = 'resurrection'
  /** Per key: the newest tombstone that an owner has purged, and the newest config that this owner knew. */
  readonly #purged = new Map<string, { readonly version: string; readonly config: number }>()

  /** Per member and slot: the newest config for which the member said that it is ready. */
  readonly #ready = new Map<MemberId, Map<number, number>>()

  protected check(observation: Observation): void {
    if (observation.type === 'answered') this.#checkRead(observation)
    else if (observation.type === 'erased') this.#checkPurge(observation)
    else if (observation.type === 'stored') this.#checkStored(observation)
    else if (observation.type === 'ready') this.#checkReady(observation)
  }

  #checkRead(answered: Answered): void {
    const { at, operation: number, value } = answered
    const operation = this.state.operation(number)
    if (operation === undefined || value === undefined || !isRead(operation, answered)) return
    const culprit = this.state.outdates(operation, value, operation.acknowledged)
    if (culprit?.asked.kind !== 'delete') return
    this.report(at, `read ${number}`, describeOutdated(operation, value, 'this delete was acknowledged', culprit))
  }

  #checkPurge({ at, member, key }: Erased): void {
    const { disks, pictures } = this.state
    const dropped = disks.replaced
    const { slot } = this.state.register(key)
    const window = pictures.window(member, slot)
    if (dropped === undefined || !this.state.isAbsent(dropped)) return
    if (!window?.some(({ owners }) => owners.includes(member))) return
    const { version } = dropped
    if (version > (this.#purged.get(key)?.version ?? '')) {
      this.#purged.set(key, { version, config: pictures.begin(member, slot) })
    }
    for (const holder of disks.members()) {
      const entry = disks.get(holder, key)
      if (entry === undefined || this.state.isAbsent(entry) || entry.version > dropped.version) continue
      if (!window.some(({ owners }) => owners.includes(holder))) continue
      const text = `${member} has purged the tombstone ${dropped.version} of ${key}, but owner ${holder} still holds`
      this.report(at, `purge ${key} ${dropped.version}`, `${text} ${entry.value} as version ${entry.version}`)
    }
  }

  #checkStored({ at, member, key, version, value }: Stored): void {
    const { slot } = this.state.register(key)
    if (!this.#isPurged(key, { version, value }) || !this.#isOwner(member, slot, this.#purged.get(key)!.config)) return
    const text = `${member} stored ${key} = ${value} as version ${version}, although before`
    this.report(at, `stored ${key} ${version}`, `${text} the tombstone ${this.#purged.get(key)!.version} was purged`)
  }

  #checkReady({ at, member, slot, config }: BecameReady): void {
    const ready = this.#ready.get(member) ?? new Map<number, number>()
    this.#ready.set(member, ready)
    ready.set(slot, Math.max(config, ready.get(slot) ?? 0))
    for (const { key } of this.state.registersOf(slot)) {
      const entry = this.state.disks.get(member, key)
      if (entry === undefined || !this.#isPurged(key, entry) || config < this.#purged.get(key)!.config) continue
      const held = `${key} = ${entry.value} as version ${entry.version}`
      const text = `${member} is ready for config ${config} and holds ${held}`
      this.report(at, `ready ${key}`, `${text}, although the tombstone ${this.#purged.get(key)!.version} was purged`)
    }
  }

  /** Whether the entry is older than a tombstone that was purged. */
  #isPurged(key: string, entry: { readonly version: string; readonly value: string | undefined }): boolean {
    const purged = this.#purged.get(key)
    return purged !== undefined && !this.state.isAbsent(entry) && entry.version <= purged.version
  }

  /** Whether the member owns the slot in that config or a newer one, and is ready for it. */
  #isOwner(member: MemberId, slot: number, config: number): boolean {
    const newest = this.state.pictures.window(member, slot)?.at(-1)
    if (newest === undefined || newest.begin < config || !newest.owners.includes(member)) return false
    return (this.#ready.get(member)?.get(slot) ?? 0) >= newest.begin
  }
}
