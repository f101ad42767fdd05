// What this owner has held a short while ago: for each entry that entered under a key its version, its origin, and
// whether somebody may have seen it. Rounds ask for it, to learn whether a write that was refused has had an effect.
// Part of the replica. In memory only, and bounded: what is not remembered counts as unknown, or as seen.
//
//   had      an entry that was here, also one that was overwritten since
//   shown    a read, a round or a pull was told of it, or its router may have told of it. An entry that is here and not
//            remembered counts as shown
//   floor    a moment for each slot: of an operation whose first version is not after it, this owner does not know
//            whether it has held an entry of it
//
// The records lie in typed arrays, because each write makes one and each read looks for one: an object for each would
// cost more than the write rule. They form a ring: a new record takes the place of the oldest one. A hash of the key
// leads to the newest record of the key (`heads`, then `beside` for other keys with the same place), and each record to
// the one that it replaced (`older`). Links are the numbers of records; a number below the oldest one leads nowhere.
// Two keys with one hash share their records. That is harmless: a version belongs to one write of one key.
// Invariants: an entry has its record before a read can find it; along `older` versions descend; when a record with an
// origin above the floor is dropped, the floor rises to it.
// Source: rules A1 to A4 of lib/views/README.md.
import { compareBytes } from '../../bytes.js'
import {
  copyVersions,
  type Envelope,
  orderTo,
  originMsOf,
  originOf,
  versionMsOf,
  versionOf
} from '../../entry/envelope.js'
import { readU32, readU48 } from '../../entry/integers.js'
import { type StoredKey, slotOfDataKey } from '../../entry/keys.js'
import { asVersion, VERSION_BYTES, type Version, versionMs } from '../../entry/version.js'
import { TOLD_VERSIONS_MAX } from '../../limits.js'
import { SLOTS } from '../../ring/slots.js'
import type { Telling, ToldVersion } from './replica-messages.js'

/** The records that are kept at most: about 9 MiB. At 13 000 writes in a second that is as long as an operation. */
const RECORDS_MAX = 131_072
const RECORDS_FIRST = 256
/** Records of entries that lie further back than this are of no use: no operation lasts so long. */
const SPAN_MS = 60_000
/** Keys with the same place. More are made on purpose, and are forgotten. */
const BESIDE_MAX = 64
/** Records of one key that are looked at for one question. Beyond that: unknown. */
const STEPS_MAX = 4096

/** Where the hash of the key lies in a stored key (lib/entry/keys.ts). */
const HIGH_AT = 3
const LOW_AT = 7
const SHOWN = 1
const FORGOTTEN = 2

/** The number of a record, or NOWHERE. */
type Place = number
const NOWHERE: Place = -1

export class EntryMemory {
  /** A power of two, and the mask that makes a place of a number. */
  #capacity: number
  #mask = 0
  readonly #recordsMax: number
  #versions!: Uint8Array
  #origins!: Uint8Array
  #hashes!: Uint32Array
  #slots!: Uint16Array
  #flags!: Uint8Array
  #older!: Float64Array
  #beside!: Float64Array
  #heads!: Float64Array
  /** The numbers of the oldest record and of the next one. */
  #oldest = 0
  #next = 0
  /** The latest ms of all versions that have entered. */
  #newestMs = 0
  /** No entry that was stored before the start of this process lies after this moment. */
  readonly #startMs: number
  /** The floors of all slots: for what was stored before the start of this process, and for keys that were too many. */
  #storedMs: number
  #crowdedMs = 0
  /** Per slot: the floor; the number below which records do not count; the one below which they count as shown. */
  #floors: Float64Array | undefined
  #validFrom: Float64Array | undefined
  #shownBefore: Float64Array | undefined

  /** `floorMs`: no entry that this member has stored before lies after it. `recordsMax`: a power of two. */
  constructor(floorMs: number, recordsMax = RECORDS_MAX) {
    this.#startMs = floorMs
    this.#storedMs = floorMs
    this.#recordsMax = recordsMax
    this.#capacity = Math.min(RECORDS_FIRST, recordsMax)
    this.#allocate()
  }

  /**
   * The entry `after` is being written in place of `before`. `isShown`: somebody may tell of it as soon as it is
   * written. Call it before the write can be read.
   */
  entered(storedKey: StoredKey, before: Envelope | undefined, after: Envelope, isShown: boolean): void {
    this.#newestMs = Math.max(this.#newestMs, versionMsOf(after))
    let head = this.#find(storedKey)
    // Only healing puts an older entry in place of a newer one; or two keys have one hash.
    if (
      head !== NOWHERE &&
      (this.#order(head, after) >= 0 || (before !== undefined && this.#order(head, before) > 0))
    ) {
      this.#forgetFrom(head)
      head = NOWHERE
    }
    const isRemembered = before === undefined || (head !== NOWHERE && this.#order(head, before) === 0)
    if (!isRemembered && originMsOf(before) > this.#floorOf(slotOfDataKey(storedKey))) {
      head = this.#add(storedKey, head, before, true)
    }
    this.#add(storedKey, head, after, isShown)
  }

  /** The entries came by a pull into slots that hold nothing else. They count as shown without records. */
  pulled(envelope: Envelope): void {
    this.#newestMs = Math.max(this.#newestMs, versionMsOf(envelope))
  }

  /** Somebody is about to be told of the entry. */
  show(storedKey: StoredKey, envelope: Envelope): void {
    if (this.#next === this.#oldest) return
    const place = this.#recordOf(this.#find(storedKey), envelope)
    if (place !== NOWHERE) this.#flags[place & this.#mask]! |= SHOWN
  }

  /** A puller is about to be told of everything that the slots hold. */
  showSlots(first: number, last: number): void {
    this.#shownBefore ??= new Float64Array(SLOTS)
    this.#shownBefore.fill(this.#next, first, last + 1)
  }

  /** Whether the entry has been here, and a newer one is. */
  hasHad(storedKey: StoredKey, envelope: Envelope): boolean {
    return this.#recordOf(this.#find(storedKey), envelope) !== NOWHERE
  }

  /**
   * What this owner holds and has held of the operation whose first version is `origin`. `held`: the entry that is
   * here. `boundMs`: everything before this moment is unknown for another reason.
   */
  tell(storedKey: StoredKey, origin: Version, held: Envelope | undefined, boundMs: number): Telling {
    const versions: ToldVersion[] = []
    const slot = slotOfDataKey(storedKey)
    if (held !== undefined && compareBytes(originOf(held), origin) === 0) {
      versions.push({ version: copyOf(versionOf(held)), isShown: true })
    }
    let isUnknown = versionMs(origin) <= this.#floorOf(slot) || versionMs(origin) < boundMs
    let steps = 0
    for (let place = this.#find(storedKey); place !== NOWHERE; place = this.#olderThan(place)) {
      const at = place & this.#mask
      // Versions descend, and none of an operation is below its origin.
      if (compareAt(this.#versions, at, origin) < 0) break
      if (++steps > STEPS_MAX || versions.length >= TOLD_VERSIONS_MAX) {
        isUnknown = true
        break
      }
      if (compareAt(this.#origins, at, origin) !== 0) continue
      if (held !== undefined && this.#order(place, held) === 0) continue
      versions.push({ version: this.#versionAt(at), isShown: this.#isShown(place) })
    }
    return { versions, isUnknown }
  }

  /** This member has become ready for a config of the slots: what it had before says nothing in that config. */
  forgetSlots(slots: Iterable<number>): void {
    this.#validFrom ??= new Float64Array(SLOTS)
    for (const slot of slots) {
      this.#raise(slot, this.#newestMs)
      this.#validFrom[slot] = this.#next
    }
  }

  /** It is not known what was here under the key: a batch failed, or an entry is damaged or was taken away. */
  forget(storedKey: StoredKey): void {
    // What is damaged may be anything that was ever stored.
    this.#raise(slotOfDataKey(storedKey), Math.max(this.#newestMs, this.#startMs))
    const head = this.#find(storedKey)
    if (head !== NOWHERE) this.#forgetFrom(head)
  }

  /** The store has been counted: no entry that was stored before the start of the process lies after this moment. */
  counted(floorMs: number): void {
    this.#storedMs = Math.min(this.#storedMs, floorMs)
  }

  // ---- records ----

  #floorOf(slot: number): number {
    return Math.max(this.#storedMs, this.#crowdedMs, this.#floors?.[slot] ?? 0, this.#newestMs - SPAN_MS)
  }

  #raise(slot: number, ms: number): void {
    this.#floors ??= new Float64Array(SLOTS)
    if (ms > this.#floors[slot]!) this.#floors[slot] = ms
  }

  /** The newest record of the key. */
  #find(storedKey: StoredKey): Place {
    const low = readU32(storedKey, LOW_AT)
    const high = readU32(storedKey, HIGH_AT)
    const slot = slotOfDataKey(storedKey)
    let place = this.#heads[this.#bucketOf(low, high)]!
    while (place >= this.#oldest) {
      const at = place & this.#mask
      if (this.#hashes[2 * at] === low && this.#hashes[2 * at + 1] === high) {
        return this.#isValid(place, slot) ? place : NOWHERE
      }
      place = this.#beside[at]!
    }
    return NOWHERE
  }

  #isValid(place: Place, slot: number): boolean {
    return place >= this.#oldest && place >= (this.#validFrom?.[slot] ?? 0)
  }

  #olderThan(place: Place): Place {
    const at = place & this.#mask
    const older = this.#older[at]!
    return this.#isValid(older, this.#slots[at]!) ? older : NOWHERE
  }

  /** The record of exactly this entry, from `head` on. */
  #recordOf(head: Place, envelope: Envelope): Place {
    let steps = 0
    for (let place = head; place !== NOWHERE && steps < STEPS_MAX; place = this.#olderThan(place), steps++) {
      const order = this.#order(place, envelope)
      if (order === 0) return place
      if (order < 0) return NOWHERE
    }
    return NOWHERE
  }

  #isShown(place: Place): boolean {
    const at = place & this.#mask
    return (this.#flags[at]! & SHOWN) !== 0 || place < (this.#shownBefore?.[this.#slots[at]!] ?? 0)
  }

  #add(storedKey: StoredKey, older: Place, envelope: Envelope, isShown: boolean): Place {
    if (this.#next - this.#oldest === this.#capacity) this.#makeRoom()
    const place = this.#next++
    const at = place & this.#mask
    const low = readU32(storedKey, LOW_AT)
    const high = readU32(storedKey, HIGH_AT)
    copyVersions(envelope, this.#versions, this.#origins, at * VERSION_BYTES)
    this.#hashes[2 * at] = low
    this.#hashes[2 * at + 1] = high
    this.#slots[at] = slotOfDataKey(storedKey)
    this.#flags[at] = isShown ? SHOWN : 0
    this.#older[at] = older
    this.#link(place)
    return place
  }

  /** Takes the newest record of the key out of the list of its place. */
  #unlink(bucket: number, low: number, high: number): void {
    let before = NOWHERE
    let steps = 0
    for (let place = this.#heads[bucket]!; place >= this.#oldest; place = this.#beside[place & this.#mask]!) {
      const at = place & this.#mask
      if (this.#hashes[2 * at] === low && this.#hashes[2 * at + 1] === high) {
        if (before === NOWHERE) this.#heads[bucket] = this.#beside[at]!
        else this.#beside[before & this.#mask] = this.#beside[at]!
        return
      }
      before = place
      if (++steps >= BESIDE_MAX) {
        this.#crowdedMs = this.#newestMs
        this.#heads[bucket] = NOWHERE
        return
      }
    }
  }

  /** The records of a key do not count any more. */
  #forgetFrom(head: Place): void {
    const at = head & this.#mask
    const low = this.#hashes[2 * at]!
    const high = this.#hashes[2 * at + 1]!
    this.#raise(this.#slots[at]!, this.#newestMs)
    this.#unlink(this.#bucketOf(low, high), low, high)
    for (let place = head; place >= this.#oldest; place = this.#older[place & this.#mask]!) {
      this.#flags[place & this.#mask] = FORGOTTEN
    }
  }

  /** Grows, or drops the oldest record. */
  #makeRoom(): void {
    const at = this.#oldest & this.#mask
    const isOfUse = readU48(this.#versions, at * VERSION_BYTES) > this.#newestMs - SPAN_MS
    if (isOfUse && this.#capacity < this.#recordsMax) return this.#grow()
    this.#raise(this.#slots[at]!, readU48(this.#origins, at * VERSION_BYTES))
    this.#oldest += 1
  }

  #grow(): void {
    const capacity = this.#capacity
    const [versions, origins, hashes] = [this.#versions, this.#origins, this.#hashes]
    const [slots, flags, older] = [this.#slots, this.#flags, this.#older]
    this.#capacity = Math.min(2 * capacity, this.#recordsMax)
    this.#allocate()
    for (let place = this.#oldest; place < this.#next; place++) {
      const from = place & (capacity - 1)
      const at = place & this.#mask
      const bytes = from * VERSION_BYTES
      this.#versions.set(versions.subarray(bytes, bytes + VERSION_BYTES), at * VERSION_BYTES)
      this.#origins.set(origins.subarray(bytes, bytes + VERSION_BYTES), at * VERSION_BYTES)
      this.#hashes[2 * at] = hashes[2 * from]!
      this.#hashes[2 * at + 1] = hashes[2 * from + 1]!
      this.#slots[at] = slots[from]!
      this.#flags[at] = flags[from]!
      this.#older[at] = older[from]!
      if (flags[from] !== FORGOTTEN) this.#link(place)
    }
  }

  /** Makes the record the newest one of its key. */
  #link(place: Place): void {
    const at = place & this.#mask
    const low = this.#hashes[2 * at]!
    const high = this.#hashes[2 * at + 1]!
    const bucket = this.#bucketOf(low, high)
    this.#unlink(bucket, low, high)
    this.#beside[at] = this.#heads[bucket]!
    this.#heads[bucket] = place
  }

  #allocate(): void {
    const records = this.#capacity
    this.#mask = records - 1
    this.#versions = new Uint8Array(records * VERSION_BYTES)
    this.#origins = new Uint8Array(records * VERSION_BYTES)
    this.#hashes = new Uint32Array(records * 2)
    this.#slots = new Uint16Array(records)
    this.#flags = new Uint8Array(records)
    this.#older = new Float64Array(records).fill(NOWHERE)
    this.#beside = new Float64Array(records).fill(NOWHERE)
    this.#heads = new Float64Array(records).fill(NOWHERE)
  }

  #bucketOf(low: number, high: number): number {
    return ((Math.imul(low, 0x9e3779b1) ^ high) >>> 0) & this.#mask
  }

  /** Orders the record and the entry by version. */
  #order(place: Place, envelope: Envelope): number {
    return -orderTo(envelope, this.#versions, (place & this.#mask) * VERSION_BYTES)
  }

  #versionAt(at: number): Version {
    return asVersion(this.#versions.slice(at * VERSION_BYTES, (at + 1) * VERSION_BYTES))
  }
}

/** Orders the version of the record `at` and another one. */
function compareAt(versions: Uint8Array, at: number, version: Version): number {
  for (let index = 0; index < VERSION_BYTES; index++) {
    const difference = versions[at * VERSION_BYTES + index]! - version[index]!
    if (difference !== 0) return difference
  }
  return 0
}

function copyOf(version: Version): Version {
  return asVersion(new Uint8Array(version))
}
