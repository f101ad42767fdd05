// Checks the disks of stopped daemons, after the ring was whole and every key was read through every daemon. Pure,
// except `readCopies`, which opens a store.
//   - The value that was read last, or a newer one, is on a quorum of the owners of its slot: the read wrote it there.
//   - No daemon stores slots that others own.
// Not a violation: an owner lacks a write because it was away. Hints and repair bring such writes; they are counted.
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
  /** Hex; '' for an entry whose checksum is wrong. */
  readonly version: string
  /** Undefined: a tombstone. */
  readonly value: string | undefined
}

export interface Disk {
  readonly name: string
  readonly member: MemberId
  /** The entries by key. */
  readonly copies: ReadonlyMap<string, Copy>
}

export interface DisksResult {
  readonly broken: readonly string[]
  /** How many copies an owner lacks, or holds in an older version than another owner. */
  readonly lagging: number
  readonly copies: number
}

/** Every entry of the store. No other process may have it open. */
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

/** `lastRead`: the value that the last read of each key found. */
export function judgeCopies(
  disks: readonly Disk[],
  ranges: readonly RangeReport[],
  lastRead: ReadonlyMap<string, string | undefined>
): DisksResult {
  const broken: string[] = []
  let lagging = 0
  let copies = 0
  const ownersOf = (slot: number) => ranges.find(({ first, last }) => slot >= first && slot <= last)?.owners ?? []
  for (const [key, read] of lastRead) {
    const owners = ownersOf(slotOf(Buffer.from(key)))
    const held = owners.map((owner) => disks.find(({ member }) => member === owner)?.copies.get(key))
    const least = newest(held.filter((copy) => copy !== undefined && copy.version !== '' && copy.value === read))
    // If the read found nothing, an owner may hold nothing: its tombstone may have been purged.
    const holds = (copy: Copy | undefined) => (copy === undefined ? read === undefined : copy.version >= least)
    const holding = least === '' && read !== undefined ? [] : held.filter(holds)
    if (holding.length < quorum(owners.length)) {
      const copiesOf = owners.map((owner, index) => `${nameOf(disks, owner)} ${describe(held[index])}`)
      broken.push(`the last read of ${key} found ${read ?? 'nothing'}, but its owners hold: ${copiesOf.join('; ')}`)
    }
    const top = newest(held)
    copies += owners.length
    lagging += held.filter((copy) => (copy?.version ?? '') < top).length
  }
  for (const { name, member, copies: stored } of disks) {
    const foreign = [...stored].filter(([, { slot }]) => !ownersOf(slot).includes(member))
    if (foreign.length === 0) continue
    broken.push(`${name} stores ${foreign.length} entries of slots that others own, such as ${foreign[0]![0]}`)
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
