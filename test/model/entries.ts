// Entries, versions and sets of keys. Pure.

/** A version: ms * 1024 + counter * 16 + router. 0: no entry. Every version is made once. */
export type Version = number
/** A set of keys, one bit for each. */
export type KeySet = number

export interface Entry {
  readonly version: Version
  /** The version of the attempt whose effect this is. Another one than `version` after an adoption. */
  readonly origin: Version
  /** A text of operation names; null when the key is absent. */
  readonly value: string | null
}

export const NONE: Entry = { version: 0, origin: 0, value: null }

/** What one write request carries: one entry for each key of the set, all of one version. */
export interface Write {
  readonly version: Version
  readonly set: KeySet
  /** Several keys that are not known to be on a quorum: they travel and are applied together. */
  readonly open: boolean
  /** By key. Holes for keys that are not in the set. */
  readonly entries: readonly (Entry | undefined)[]
}

export const COUNTERS = 64
export const ROUTERS_MAX = 16
export const MS_STEP = COUNTERS * ROUTERS_MAX

export const msOf = (version: Version) => Math.floor(version / MS_STEP)

export function versionText(version: Version): string {
  if (version === 0) return '0'
  return `${msOf(version)}.${Math.floor(version / ROUTERS_MAX) % COUNTERS}.r${version % ROUTERS_MAX}`
}

const KEYS: readonly (readonly number[])[] = Array.from({ length: 16 }, (_, set) =>
  [0, 1, 2, 3].filter((key) => (set >> key) & 1)
)

/** The keys of a set, in order. Four keys are the most. */
export const keysOf = (set: KeySet): readonly number[] => KEYS[set]!
export const isGroup = (set: KeySet) => (set & (set - 1)) !== 0
export const covers = (set: KeySet, other: KeySet) => (other & ~set) === 0

export function singleWrite(key: number, entry: Entry): Write {
  const entries: Entry[] = []
  entries[key] = entry
  return { version: entry.version, set: 1 << key, open: false, entries }
}
