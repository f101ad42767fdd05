// Judges what lies on the disks of daemons that have stopped, after the ring had healed and every key was read
// through every daemon. Pure, but for `readCopies`, which opens a store.
//   - What was read last, or something newer, is on a quorum of the owners of its slot: that read has seen to it.
//   - Nobody stores what others own.
// Not judged: the third copy of a write that came while its owner was away; that is for hints and repair, and is
// counted.
import { toHex } from '../../lib/bytes.js'
import type { RangeReport } from '../../lib/client/reports.js'
import { checkEnvelope, decodeEnvelope } from '../../lib/entry/envelope.js'
import { parseDataKey, slotScan } from '../../lib/entry/keys.js'
import { MiB } from '../../lib/limits.js'
import type { MemberId } from '../../lib/member.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { quorum } from '../../lib/views/chain.js'

export interface Copy {
  readonly slot: number
  /** Hex; '' of an entry whose checksum is wrong. */
  readonly version: string
  /** Undefined: a tombstone. */
  readonly value: string | undefined
}

export interface Disk {
  readonly name: string
  readonly member: MemberId
  /** By key. */
  readonly copies: ReadonlyMap<string, Copy>
}

export interface DisksVerdict {
  readonly broken: readonly string[]
  /** Copies that owners lack, or hold in an older version than another owner. */
  readonly lagging: number
  readonly copies: number
}

/** Every entry of the store, which nobody else has open. */
export async function readCopies(path: string): Promise<Map<string, Copy>> {
  const store = await openLevelStore(path, { createIfMissing: false })
  const copies = new Map<string, Copy>()
  const scan = store.scan(slotScan(0, SLOTS - 1))
  for (let found = await scan.next(MiB); found.length > 0; found = await scan.next(MiB)) {
    for (const [stored, envelope] of found) {
      const parsed = parseDataKey(stored)
      if (parsed === undefined) continue
      const { slot, key } = parsed
      copies.set(Buffer.from(key).toString(), { slot, ...contentOf(key, envelope) })
    }
  }
  await scan.close()
  await store.close()
  return copies
}

function contentOf(key: Uint8Array, envelope: Uint8Array): Pick<Copy, 'version' | 'value'> {
  if (!checkEnvelope(key, envelope)) return { version: '', value: undefined }
  const { version, tombstone, value } = decodeEnvelope(key, envelope)
  return { version: toHex(version), value: tombstone ? undefined : Buffer.from(value).toString() }
}

/** `lastRead`: by key, what the last read of it found. */
export function judgeCopies(
  disks: readonly Disk[],
  ranges: readonly RangeReport[],
  lastRead: ReadonlyMap<string, string | undefined>
): DisksVerdict {
  const broken: string[] = []
  let lagging = 0
  let copies = 0
  const ownersOf = (slot: number) => ranges.find(({ first, last }) => slot >= first && slot <= last)?.owners ?? []
  for (const [key, read] of lastRead) {
    const owners = ownersOf(slotOf(Buffer.from(key)))
    const held = owners.map((owner) => disks.find(({ member }) => member === owner)?.copies.get(key))
    const least = newest(held.filter((copy) => copy !== undefined && copy.version !== '' && copy.value === read))
    // Where nothing was read, nothing may lie: a tombstone is purged one day.
    const holds = (copy: Copy | undefined) => (copy === undefined ? read === undefined : copy.version >= least)
    const holding = least === '' && read !== undefined ? [] : held.filter(holds)
    if (holding.length < quorum(owners.length)) {
      const told = owners.map((owner, index) => `${nameOf(disks, owner)} ${describe(held[index])}`)
      broken.push(`${key} was read as ${read ?? 'nothing'}, but its owners hold: ${told.join('; ')}`)
    }
    const top = newest(held)
    copies += owners.length
    lagging += held.filter((copy) => (copy?.version ?? '') < top).length
  }
  for (const { name, member, copies: stored } of disks) {
    const foreign = [...stored].filter(([, { slot }]) => !ownersOf(slot).includes(member))
    if (foreign.length > 0) broken.push(`${name} stores ${foreign.length} entries that others own: ${foreign[0]![0]}`)
  }
  return { broken, lagging, copies }
}

function newest(copies: readonly (Copy | undefined)[]): string {
  return copies.reduce((best, copy) => ((copy?.version ?? '') > best ? copy!.version : best), '')
}

function describe(copy: Copy | undefined): string {
  if (copy === undefined) return 'nothing'
  if (copy.version === '') return 'a damaged entry'
  return `${copy.value ?? 'a tombstone'} in version ${copy.version}`
}

function nameOf(disks: readonly Disk[], owner: MemberId): string {
  return disks.find(({ member }) => member === owner)?.name ?? owner
}
