// One owner: what it stores of the keys of one slot, and its four answers. It knows no config and no network.
import type { Deviations } from './deviations.js'
import {
  covers,
  type Entry,
  isGroup,
  type KeySet,
  keysOf,
  NONE,
  singleWrite,
  type Version,
  type Write
} from './entries.js'

/** How a write came to an owner. The rules do not look at it; some deviations do. */
export type WriteWay = 'blind' | 'round' | 'writeBack' | 'push' | 'pull'

interface HadEntry {
  readonly version: Version
  readonly origin: Version
  shown: boolean
}

/** An attempt about which a router asks: the origin, and the keys that it wrote. */
export interface Attempt {
  readonly origin: Version
  readonly keys: KeySet
}

/** What an owner knows of one attempt. */
export interface AttemptMemory {
  /** The versions with this origin that it holds or had. */
  readonly versions: readonly Version[]
  /** Those of them that were shown, or that it holds. */
  readonly shown: readonly Version[]
  readonly unknown: boolean
}

export type WriteAnswer =
  | { readonly kind: 'ok' }
  | { readonly kind: 'newer'; readonly bar: Version; readonly had: boolean; readonly held: KeySet }
  | { readonly kind: 'promised'; readonly bar: Version }
  | { readonly kind: 'group'; readonly set: KeySet; readonly bar: Version }

export type PrepareAnswer =
  | {
      readonly kind: 'promise'
      readonly ballot: Version
      readonly entries: readonly (Entry | undefined)[]
      readonly memories: readonly AttemptMemory[]
      readonly bound: Version
    }
  | { readonly kind: 'nack'; readonly bar: Version; readonly set: KeySet }

export interface ReadAnswer {
  readonly kind: 'values'
  /** By key: the keys asked for, and the other keys of their open groups. */
  readonly entries: readonly (Entry | undefined)[]
  /** By key: the set of the open group that its entry belongs to, or 0. */
  readonly open: readonly KeySet[]
  readonly bound: Version
}

const OK: WriteAnswer = { kind: 'ok' }

export class Owner {
  // Durable.
  readonly entries: Entry[]
  readonly promises: Version[]
  /** By key: the set of the group to which the promise was given, or 0. It stands while the promise does. */
  readonly promisedSets: KeySet[]
  /** By key: the set of the open group of its entry, or 0. All its keys hold entries of one version. */
  readonly open: KeySet[]
  /** At it and below it nothing is written or promised any more: its tombstones are purged. */
  bound: Version = 0
  // Volatile.
  /** Like the bound, while a purge is being prepared. */
  seal: { readonly token: number; readonly bound: Version } | undefined
  readonly shown: boolean[]
  readonly had: HadEntry[][]
  readonly floors: Version[]
  /** By key: the set of a closed group whose closing a restart may undo. */
  readonly #closed: KeySet[]
  readonly #deviations: Deviations

  constructor(keys: number, deviations: Deviations) {
    this.#deviations = deviations
    this.entries = Array.from({ length: keys }, () => NONE)
    this.promises = this.entries.map(() => 0)
    this.promisedSets = this.entries.map(() => 0)
    this.open = this.entries.map(() => 0)
    this.shown = this.entries.map(() => true)
    this.had = this.entries.map(() => [])
    this.floors = this.entries.map(() => 0)
    this.#closed = this.entries.map(() => 0)
  }

  read(set: KeySet): ReadAnswer {
    const entries: (Entry | undefined)[] = []
    let all = set
    for (const key of keysOf(set)) all |= this.open[key]!
    for (const key of keysOf(all)) {
      entries[key] = this.entries[key]
      if (!this.#deviations.has('readsNotShown')) this.shown[key] = true
    }
    return { kind: 'values', entries, open: [...this.open], bound: this.bound }
  }

  prepare(ballot: Version, set: KeySet, attempts: readonly Attempt[]): PrepareAnswer {
    let locks = 0
    let bar = this.#limit()
    let isFree = ballot > bar
    for (const key of keysOf(set)) {
      if (!this.#deviations.has('prepareMissesOpen')) locks |= this.open[key]!
      if (!this.#deviations.has('prepareMissesPromise')) locks |= this.#promisedSet(key)
      const version = this.entries[key]!.version
      const promise = this.promises[key]!
      bar = Math.max(bar, version, promise)
      if (ballot <= version || ballot < promise) isFree = false
    }
    if (!isFree || !covers(set, locks)) return { kind: 'nack', bar, set: locks }
    const entries: Entry[] = []
    for (const key of keysOf(set)) {
      this.promises[key] = ballot
      this.promisedSets[key] = isGroup(set) ? set : 0
      entries[key] = this.entries[key]!
    }
    if (this.#deviations.has('readKeysNotLocked'))
      this.entries.forEach((entry, key) => {
        entries[key] = entry
      })
    const memories = attempts.map((attempt) => this.#memory(attempt))
    for (const key of keysOf(set)) this.shown[key] = true
    return { kind: 'promise', ballot, entries, memories, bound: this.bound }
  }

  write(write: Write, way: WriteWay): WriteAnswer {
    const answer = this.#write(write, way)
    // Somebody may tell of a write-back and of an adopted entry.
    for (const key of keysOf(write.set)) {
      const entry = write.entries[key]!
      if (way !== 'writeBack' && entry.origin === entry.version) continue
      if (this.entries[key]!.version === write.version) this.shown[key] = true
      for (const had of this.had[key]!) if (had.version === write.version) had.shown = true
    }
    return answer
  }

  #write(write: Write, way: WriteWay): WriteAnswer {
    const keys = keysOf(write.set)
    const older = keys.filter((key) => this.entries[key]!.version < write.version)
    const newer = keys.filter((key) => this.entries[key]!.version > write.version)
    const isPartial = this.#deviations.has('partialApply') || (way === 'pull' && this.#deviations.has('pullPartial'))
    if (newer.length > 0 && !isPartial) return this.#newer(write, keys)
    if (older.length === 0) {
      if (!write.open && newer.length === 0) this.close(write.version)
      return OK
    }
    let locks = 0
    const limit = this.#limit()
    let bar = limit
    for (const key of older) {
      if (this.#respectsOpen(way)) locks |= this.open[key]!
      if (this.#respectsPromisedSet(way) && this.promises[key] !== write.version) locks |= this.#promisedSet(key)
      if (!this.#ignoresPromise(way)) bar = Math.max(bar, this.promises[key]!)
    }
    if (write.version < bar || write.version === limit) return { kind: 'promised', bar }
    if (!covers(write.set, locks)) return { kind: 'group', set: locks, bar }
    const isOpen = write.open && older.length === keys.length
    for (const key of older) this.#put(key, write.entries[key]!, isOpen ? write.set : 0)
    return OK
  }

  #newer(write: Write, keys: readonly number[]): WriteAnswer {
    let bar = 0
    let held = 0
    let had = false
    for (const key of keys) {
      const { version } = this.entries[key]!
      bar = Math.max(bar, version)
      if (version === write.version) held |= 1 << key
      if (this.had[key]!.some((one) => one.version === write.version)) had = true
    }
    return { kind: 'newer', bar, had: had || held !== 0, held }
  }

  #put(key: number, entry: Entry, open: KeySet): void {
    const { version, origin } = this.entries[key]!
    if (version > 0) this.had[key]!.push({ version, origin, shown: this.shown[key]! })
    // By the rules the other keys of an open group are replaced with this one. Without them it is torn apart here.
    for (const one of keysOf(this.open[key]!)) if (this.entries[one]!.version === version) this.open[one] = 0
    this.entries[key] = entry
    this.shown[key] = false
    this.open[key] = open
    this.#closed[key] = 0
    if (this.promises[key]! <= entry.version) {
      this.promises[key] = 0
      this.promisedSets[key] = 0
    }
  }

  /** The set of the group to which a promise was given that still stands. */
  #promisedSet(key: number): KeySet {
    return this.promises[key]! > this.entries[key]!.version ? this.promisedSets[key]! : 0
  }

  #respectsOpen(way: WriteWay): boolean {
    if (way === 'blind') return !this.#deviations.has('blindPassesOpen')
    if (way === 'round') return !this.#deviations.has('acceptPassesLock') && !this.#deviations.has('prepareMissesOpen')
    return !this.#deviations.has('pushPassesLock')
  }

  #respectsPromisedSet(way: WriteWay): boolean {
    if (way === 'blind') return !this.#deviations.has('blindPassesPromise')
    if (way === 'round')
      return !this.#deviations.has('acceptPassesLock') && !this.#deviations.has('prepareMissesPromise')
    return !this.#deviations.has('pushPassesLock')
  }

  #ignoresPromise(way: WriteWay): boolean {
    if (way === 'blind') return this.#deviations.has('blindUnderPromise')
    return way === 'push' && this.#deviations.has('pushIgnoresPromise')
  }

  /** The group of this version is known to be on a quorum. */
  close(version: Version): void {
    this.entries.forEach((entry, key) => {
      if (entry.version !== version || this.open[key] === 0) return
      this.#closed[key] = this.open[key]!
      this.open[key] = 0
    })
  }

  #memory({ origin, keys }: Attempt): AttemptMemory {
    const versions: Version[] = []
    const shown: Version[] = []
    let unknown = false
    const asked = this.#deviations.has('deadByOneKey') ? keysOf(keys).slice(0, 1) : keysOf(keys)
    for (const key of asked) {
      if (origin < this.floors[key]! && !this.#deviations.has('hadForgotten')) unknown = true
      const held = this.entries[key]!
      if (held.origin === origin) {
        versions.push(held.version)
        shown.push(held.version)
      }
      for (const had of this.had[key]!) {
        if (had.origin !== origin) continue
        versions.push(had.version)
        if (had.shown) shown.push(had.version)
      }
    }
    return { versions, shown, unknown }
  }

  /** The write that carries this key elsewhere: of an open group, all its keys. */
  copyOf(key: number, alone: boolean): Write {
    const set = this.open[key]!
    if (set === 0 || alone) return singleWrite(key, this.entries[key]!)
    return { version: this.entries[key]!.version, set, open: true, entries: [...this.entries] }
  }

  /** Whatever was had and shown is in memory only. A closing that no later write has followed may be lost. */
  restart(losesClosings: boolean): void {
    this.seal = undefined
    this.#forget()
    this.entries.forEach((entry, key) => {
      const set = this.#closed[key]!
      const isWhole = keysOf(set).every(
        (one) => this.entries[one]!.version === entry.version && this.#closed[one] === set
      )
      if (losesClosings && set !== 0 && isWhole) for (const one of keysOf(set)) this.open[one] = set
      if (this.#deviations.has('openNotDurable')) this.open.fill(0)
      if (this.#deviations.has('lockNotDurable')) this.promisedSets[key] = 0
      if (this.#deviations.has('promiseNotDurable')) this.promises[key] = 0
    })
    this.#closed.fill(0)
  }

  #limit(): Version {
    return Math.max(this.bound, this.seal?.bound ?? 0)
  }

  /** Prepares a purge. Returns the versions of the entries up to the bound, or undefined when a group stands there. */
  prepareSeal(token: number, bound: Version): string | undefined {
    const isStanding = this.entries.some(({ version }, key) => {
      if (this.open[key] !== 0 && version <= bound) return true
      return this.#promisedSet(key) !== 0 && this.promises[key]! <= bound
    })
    if (isStanding && !this.#deviations.has('purgeOpen')) return undefined
    this.seal = { token, bound }
    return this.entries.map(({ version }) => (version <= bound ? version : 0)).join()
  }

  /** All owners hold the same at the bound and below it. Tombstones go. */
  commitPurge(): void {
    const { bound } = this.seal!
    this.seal = undefined
    this.bound = Math.max(this.bound, bound)
    this.entries.forEach(({ version, value }, key) => {
      this.floors[key] = Math.max(this.floors[key]!, bound)
      if (value === null && version <= bound) {
        this.entries[key] = NONE
        this.open[key] = 0
      }
      if (this.promises[key]! > bound) return
      if (this.promisedSets[key] !== 0 && !this.#deviations.has('purgeOpen')) return
      this.promises[key] = 0
      this.promisedSets[key] = 0
    })
  }

  /**
   * Takes over the purge bound of a source that holds these entries: what is at the bound or below it, and differs, was
   * never on a quorum or was purged there.
   */
  followBound(bound: Version, entries: readonly (Entry | undefined)[]): void {
    if (bound <= this.bound) return
    this.bound = bound
    this.entries.forEach(({ version }, key) => {
      const entry = entries[key] ?? NONE
      if (version > bound || version === entry.version) return
      for (const one of keysOf(this.open[key]!)) this.open[one] = 0
      this.entries[key] = entry
    })
  }

  becomeReady(): void {
    if (!this.#deviations.has('hadBeforeReady')) this.#forget()
  }

  #forget(): void {
    this.entries.forEach((entry, key) => {
      this.had[key] = []
      this.floors[key] = Math.max(entry.version, this.bound)
      this.shown[key] = true
    })
  }

  /** The keys that a round must take to settle what stands on this key: a promise or an open group. 0: nothing does. */
  standing(key: number): KeySet {
    const isPromised = this.promises[key]! > this.entries[key]!.version
    const set = this.open[key]! | this.#promisedSet(key)
    return set !== 0 || isPromised ? set | (1 << key) : 0
  }
}
