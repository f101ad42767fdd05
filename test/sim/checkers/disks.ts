// The contents of the disks of all members, as far as the run has reported it. Reports nothing.
import type { MemberId } from '../../../lib/member.js'
import type { Observation } from '../run/observation.js'

export interface Entry {
  readonly version: string
  /** undefined: a tombstone. */
  readonly value: string | undefined
}

const NOTHING: ReadonlyMap<string, Entry> = new Map()

export class Disks {
  /** The entry that the last `stored` or `erased` replaced. */
  replaced: Entry | undefined
  /** The contents of the disk before the last `image`. */
  former: ReadonlyMap<string, Entry> = NOTHING
  readonly #disks = new Map<MemberId, Map<string, Entry>>()
  readonly #lost = new Set<MemberId>()

  observe(observation: Observation): void {
    switch (observation.type) {
      case 'stored': {
        const { member, key, version, value } = observation
        const disk = this.#disk(member)
        this.replaced = disk.get(key)
        disk.set(key, { version, value })
        break
      }
      case 'erased': {
        const disk = this.#disk(observation.member)
        this.replaced = disk.get(observation.key)
        disk.delete(observation.key)
        break
      }
      case 'image':
        this.former = this.#disk(observation.member)
        this.#disks.set(observation.member, new Map(observation.entries))
        break
      case 'lost':
        this.#lost.add(observation.member)
    }
  }

  get(member: MemberId, key: string): Entry | undefined {
    return this.#disks.get(member)?.get(key)
  }

  entries(member: MemberId): ReadonlyMap<string, Entry> {
    return this.#disks.get(member) ?? NOTHING
  }

  isLost(member: MemberId): boolean {
    return this.#lost.has(member)
  }

  /** Members whose disks are not lost. */
  *members(): Iterable<MemberId> {
    for (const member of this.#disks.keys()) if (!this.#lost.has(member)) yield member
  }

  #disk(member: MemberId): Map<string, Entry> {
    let disk = this.#disks.get(member)
    if (disk === undefined) {
      disk = new Map()
      this.#disks.set(member, disk)
    }
    return disk
  }
}
