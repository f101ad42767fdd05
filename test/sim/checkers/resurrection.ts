// Judges that deleted keys stay deleted.
//   - After a delete was acknowledged no quorum read returns what is older. (registers.ts says what older means.)
// An expired value counts like a tombstone.
//   - An owner purges a tombstone only when no owner that it knows of holds an older live entry. That nobody else's
//     older entry is read is judged by the reads: an owner that holds nothing says since when it knows.
//   - After that purge no owner takes in anything live that is older than the tombstone. One that has not heard that
//     the slot has moved is no owner any more: it may finish what it was sent before. A new one may take in what it
//     likes until it takes over from the others what they have purged: it must hold nothing of that when it is ready.
// A member that drops tombstones because it owns the slot no more is not purging: deletions.ts judges it.
import type { MemberId } from '../../../lib/member.js'
import type { Answered, BecameReady, Erased, Observation, Stored } from '../run/observation.js'
import { Judge } from './judge.js'
import { describeOutdated, isRead } from './registers.js'

export class Resurrection extends Judge {
  readonly rule = 'resurrection'
  /** Of each key the newest tombstone that an owner has purged, and the config in which it owned. */
  readonly #purged = new Map<string, { readonly version: string; readonly config: number }>()

  /** Per member and slot the newest config for which it said that it is ready. */
  readonly #ready = new Map<MemberId, Map<number, number>>()

  protected judge(observation: Observation): void {
    if (observation.type === 'answered') this.#judgeRead(observation)
    else if (observation.type === 'erased') this.#judgePurge(observation)
    else if (observation.type === 'stored') this.#judgeStored(observation)
    else if (observation.type === 'ready') this.#judgeReady(observation)
  }

  #judgeRead(answered: Answered): void {
    const { at, operation: number, value } = answered
    const operation = this.state.operation(number)
    if (operation === undefined || value === undefined || !isRead(operation, answered)) return
    const culprit = this.state.outdates(operation, value, operation.acknowledged)
    if (culprit?.asked.kind !== 'delete') return
    this.report(at, `read ${number}`, describeOutdated(operation, value, 'this was acknowledged', culprit))
  }

  #judgePurge({ at, member, key }: Erased): void {
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
      const text = `${member} has purged the tombstone ${dropped.version} of ${key}, but ${holder} still holds`
      this.report(at, `purge ${key} ${dropped.version}`, `${text} ${entry.value} as version ${entry.version}`)
    }
  }

  #judgeStored({ at, member, key, version, value }: Stored): void {
    const { slot } = this.state.register(key)
    if (!this.#isPurged(key, { version, value }) || !this.#isOwner(member, slot, this.#purged.get(key)!.config)) return
    const text = `${member} took in ${key} = ${value} as version ${version}, but before that`
    this.report(at, `stored ${key} ${version}`, `${text} the tombstone ${this.#purged.get(key)!.version} was purged`)
  }

  #judgeReady({ at, member, slot, config }: BecameReady): void {
    const ready = this.#ready.get(member) ?? new Map<number, number>()
    this.#ready.set(member, ready)
    ready.set(slot, Math.max(config, ready.get(slot) ?? 0))
    for (const { key } of this.state.registersOf(slot)) {
      const entry = this.state.disks.get(member, key)
      if (entry === undefined || !this.#isPurged(key, entry) || config < this.#purged.get(key)!.config) continue
      const text = `${member} is ready for config ${config} with ${key} = ${entry.value} as version ${entry.version}`
      this.report(at, `ready ${key}`, `${text}, but the tombstone ${this.#purged.get(key)!.version} was purged`)
    }
  }

  /** Older than a tombstone that was purged. */
  #isPurged(key: string, entry: { readonly version: string; readonly value: string | undefined }): boolean {
    const purged = this.#purged.get(key)
    return purged !== undefined && !this.state.isAbsent(entry) && entry.version <= purged.version
  }

  /** It owns the slot in that config or a newer one, and is ready for it. */
  #isOwner(member: MemberId, slot: number, config: number): boolean {
    const newest = this.state.pictures.window(member, slot)?.at(-1)
    if (newest === undefined || newest.begin < config || !newest.owners.includes(member)) return false
    return (this.#ready.get(member)?.get(slot) ?? 0) >= newest.begin
  }
}
