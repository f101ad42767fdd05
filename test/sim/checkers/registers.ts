// What clients have asked of each key and what they were told, set against the versions that disks have held. Judges
// nothing, but tells whether an answer is outdated.
//
// A write or a quorum read that was answered establishes a version: quorums of all configs hold it from then on, so
// no quorum read that begins later may return an older one. Two orders say what is older:
//   by version   what is established is at or above a version that is known: of an acknowledged put the newest that
//                disks have held by then (a router mints again only when the version before can never be
//                acknowledged), of a read the oldest that its value could have had.
//   by time      a write that began after another one was acknowledged has met it in a quorum, so it is newer. This
//                holds whatever the clocks said, and where no version is known at all.
// A value that had expired by the clock of its router reads as nothing, and counts by its version all the same: who
// found nothing may have found any of those. Clocks that differ disagree about it for as long as they differ.
// Every choice is made so that what could be right passes: a write that failed or was never answered may take effect
// at any time or never; one at consistency `one` establishes nothing.
// Source: Lamport, "On interprocess communication", 1986; Gibbons and Korach, "Testing shared memories", 1997.
import { slotOf } from '../../../lib/ring/slots.js'
import type { Answered, Invoked } from '../run/observation.js'

export interface Operation {
  readonly asked: Invoked
  readonly register: Register
  /** Its place among all observations. */
  readonly order: number
  /** What was established when it began. */
  readonly acknowledged: Floor
  readonly read: Floor
  /** How many tombstones of the key disks had held. */
  readonly tombstones: number
  /** From this place on its effect is over and done: infinite for a write that may still take effect. */
  over: number
  /** Where it was answered, in whatever way: its router does nothing more for it. */
  ended: number
  /** The least and the most that its router's clock can have shown, once it was answered. */
  clock: readonly [number, number]
}

/** Below this no later answer may lie. */
export interface Floor {
  /** The newest established version; '' when none is known. */
  readonly version: string
  /** Whose version that is. */
  readonly by: Operation | undefined
  /** Where the youngest of the established writes began. */
  readonly order: number
  readonly youngest: Operation | undefined
}

/** A version that quorums are known to hold. */
export interface Established {
  readonly register: Register
  readonly version: string
  readonly isTombstone: boolean
  /** The config under which it was acknowledged is no newer. */
  readonly under: number
  readonly text: string
}

const GROUND: Floor = { version: '', by: undefined, order: -1, youngest: undefined }
const NONE: readonly string[] = []

/** One key. */
export class Register {
  readonly key: string
  readonly slot: number
  acknowledged = GROUND
  read = GROUND
  /** The newest established version. */
  newest: Established | undefined
  /** The newest established version by the config under which it was established. */
  readonly under = new Map<number, Established>()
  /** The newest tombstone that anybody has erased: from then on nothing at all says as much as that tombstone. */
  forgotten = ''
  readonly deletes: Operation[] = []
  /** Puts of values that expire. */
  readonly expiring: Operation[] = []
  /** Tombstones that disks have held, as they appeared. */
  readonly tombstones: string[] = []
  /** Versions that disks have held, ascending; of tombstones under undefined. */
  readonly #versions = new Map<string | undefined, string[]>()

  constructor(key: string) {
    this.key = key
    this.slot = slotOf(Buffer.from(key))
  }

  versionsOf(value: string | undefined): readonly string[] {
    return this.#versions.get(value) ?? NONE
  }

  hold(value: string | undefined, version: string): void {
    const versions = this.#versions.get(value)
    if (versions?.includes(version)) return
    if (value === undefined) this.tombstones.push(version)
    if (versions === undefined) this.#versions.set(value, [version])
    else {
      versions.push(version)
      versions.sort()
    }
  }

  establish(established: Established): void {
    const { version, under } = established
    if (version > (this.newest?.version ?? '')) this.newest = established
    if (version > (this.under.get(under)?.version ?? '')) this.under.set(under, established)
  }
}

export function raised(floor: Floor, version: string, operation: Operation, order: number, write: Operation): Floor {
  const isNewer = version > floor.version
  const isYounger = order > floor.order
  if (!isNewer && !isYounger) return floor
  return {
    version: isNewer ? version : floor.version,
    by: isNewer ? operation : floor.by,
    order: isYounger ? order : floor.order,
    youngest: isYounger ? write : floor.youngest
  }
}

/** Whether the answer stands for a quorum read: it establishes what it says, and may not be outdated. */
export function isRead({ asked }: Operation, { error, existed }: Answered): boolean {
  if (error !== undefined || asked.consistency === 'one') return false
  return asked.kind === 'get' || (asked.kind === 'delete' && existed === false)
}

/** Whether the answer acknowledges that something was written to quorums. */
export function isAcknowledgement({ asked }: Operation, { error, existed }: Answered): boolean {
  if (error !== undefined || asked.consistency === 'one') return false
  return asked.kind === 'put' || (asked.kind === 'delete' && existed === true)
}

/** That a read found what `culprit` forbids, which was `seen` before. */
export function describeOutdated(read: Operation, value: string | undefined, seen: string, culprit: Operation): string {
  const what = value === undefined ? 'found nothing' : `returned ${value}`
  return `${describe(read)} ${what}, but before it began ${seen}: ${describe(culprit)}`
}

export function describe({ asked }: Operation): string {
  const { kind, key, value, node, operation, at } = asked
  const what = kind === 'put' ? `put ${key} = ${value}` : `${kind} ${key}`
  return `${what} (operation ${operation} through ${node} at ${Math.round(at)} ms)`
}
