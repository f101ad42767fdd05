// For each key: what clients asked, what they were answered, and which versions disks have held. Tells whether an
// answer is outdated; reports nothing.
//
// An answered write or quorum read establishes a version: from then on quorums of all configs hold it, so a quorum read
// that begins later must not return an older one. Two orders define "older":
//   by version   The established version is at or above a known one. For an acknowledged write this is a version that
//                its router minted (`writtenAs`): rounds of other routers write a value again under newer versions,
//                which may be on one disk only. For a read it is the oldest version that the value can have had.
//   by time      A write that began after another write was acknowledged has met that write in a quorum, so it is
//                newer. This holds whatever the clocks showed, and also where no version is known.
// A value that had expired by the clock of its router reads as absent and still counts by its version: a read that
// found nothing may have found any such value. Nodes whose clocks differ disagree about it for as long as they differ.
// Every doubtful case passes: a write that failed or was never answered may take effect at any time or never; an
// operation at consistency `one` establishes nothing.
// Source: Lamport, "On interprocess communication", 1986; Gibbons and Korach, "Testing shared memories", 1997.
import { slotOf } from '../../../lib/ring/slots.js'
import type { Answered, Invoked } from '../run/observation.js'

export interface Operation {
  readonly asked: Invoked
  readonly register: Register
  /** The number of its `invoked` among all observations. */
  readonly order: number
  /** The floor that acknowledged writes had established when it began. */
  readonly acknowledged: Floor
  /** The floor that quorum reads had established when it began. */
  readonly read: Floor
  /** How many tombstones of the key disks had held when it began. */
  readonly tombstones: number
  /** From this observation on it takes no more effect; infinite for a write that may still take effect. */
  over: number
  /** The observation that answered it, with success or an error: its router does nothing more for it. */
  ended: number
  /** The smallest and the largest time that the clock of its router showed; exact once it is answered. */
  clock: readonly [number, number]
}

/** The lower bound of later answers. */
export interface Floor {
  /** The newest established version; '' when none is known. */
  readonly version: string
  /** The operation that established `version`. */
  readonly by: Operation | undefined
  /** The observation in which the youngest of the established writes began. */
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
  /** For each config: the newest version that was established under it. */
  readonly under = new Map<number, Established>()
  /** The newest tombstone that a member has purged. From then on an absent entry means the same as that tombstone. */
  forgotten = ''
  /** Whether an update was asked of the key. Then its values follow from each other, and no value names its write. */
  isUpdated = false
  readonly deletes: Operation[] = []
  /** Puts of values that expire. */
  readonly expiring: Operation[] = []
  /** Versions of tombstones that disks have held, in the order of their appearance. */
  readonly tombstones: string[] = []
  /** Per value: the versions under which disks have held it, ascending. Tombstones are under undefined. */
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

/** Whether the answer is that of a quorum read: it establishes what it returned, and must not be outdated. */
export function isRead({ asked }: Operation, { error, existed }: Answered): boolean {
  if (error !== undefined || asked.consistency === 'one') return false
  return asked.kind === 'get' || (asked.kind === 'delete' && existed === false)
}

/** Whether the answer acknowledges a write to quorums. */
export function isAcknowledgement({ asked }: Operation, { error, existed }: Answered): boolean {
  if (error !== undefined || asked.consistency === 'one') return false
  return asked.kind === 'put' || (asked.kind === 'delete' && existed === true)
}

/** The text of a violation: `read` found what `culprit` forbids. `seen` says how `culprit` became known. */
export function describeOutdated(read: Operation, value: string | undefined, seen: string, culprit: Operation): string {
  const what = value === undefined ? 'found nothing' : `returned ${value}`
  return `${describe(read)} ${what}, but before it began ${seen}: ${describe(culprit)}`
}

export function describe({ asked }: Operation): string {
  const { kind, key, value, node, operation, at } = asked
  const what = kind === 'put' ? `put ${key} = ${value}` : `${kind} ${key}`
  return `${what} (operation ${operation} through ${node} at ${Math.round(at)} ms)`
}
