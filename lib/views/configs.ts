// The configs and windows of every slot. A table is immutable: each new view and each new base makes another table.
// Pure. Slots with the same history share one window object. So `===` shows whether a window changed, and slots can be
// grouped by the identity of their window.
// Source: rules 1 and 2 of lib/views/README.md.
import { assert } from '../errors.js'
import type { MemberId } from '../member.js'
import type { OwnerTable } from '../ring/owners.js'
import { SLOTS } from '../ring/slots.js'
import { quorum } from './chain.js'

/** The longest run of views that give a slot the same owners; `begin` is the number of its first view. */
export interface Config {
  readonly begin: number
  /** Sorted by id. */
  readonly owners: readonly MemberId[]
  /** Owners that must answer for this config. */
  readonly quorum: number
}

/** The configs that operations on a slot must honour, oldest (the base) first. Never empty. */
export type Window = readonly Config[]

export interface ConfigTable {
  /** The newest view that the table knows. */
  readonly view: number
  /** Per slot. */
  readonly windows: readonly Window[]
}

export function newestConfig(window: Window): Config {
  return window[window.length - 1]!
}

export function baseConfig(window: Window): Config {
  return window[0]!
}

/** Owners of a config whose data a pull merges: n - q + 1, since this many share an owner with every quorum. */
export function pullQuorum(config: Config): number {
  return config.owners.length - config.quorum + 1
}

/** The table after view `view`, whose owners are in `table`; `before` is undefined for view 1. O(slots). */
export function extendConfigs(before: ConfigTable | undefined, view: number, table: OwnerTable): ConfigTable {
  assert(view === (before?.view ?? 0) + 1, 'views extend the table one by one')
  const configs = table.sets.map((owners): Config => ({ begin: view, owners, quorum: quorum(owners.length) }))
  const memo = new Map<Window, Map<number, Window>>()
  const windows = Array.from({ length: SLOTS }, (_, slot) => {
    const set = table.ofSlot[slot]!
    const old = before?.windows[slot]
    if (old === undefined) return aloneWindow(configs[set]!)
    return memoized(memo, old, set, () => {
      const config = configs[set]!
      return sameOwners(newestConfig(old).owners, config.owners) ? old : [...old, config]
    })
  })
  return { view, windows }
}

/**
 * The table without the configs before each slot's base. A base that names no config of the slot's window is ignored:
 * it is older, so that there is nothing to drop, or newer than the known chain. `former` are the bases of the table so
 * far; slots with an equal base are skipped.
 */
export function rebaseConfigs(before: ConfigTable, bases: Uint32Array, former?: Uint32Array): ConfigTable {
  const memo = new Map<Window, Map<number, Window>>()
  let windows: Window[] | undefined
  for (let slot = 0; slot < SLOTS; slot++) {
    const base = bases[slot]!
    if (base === former?.[slot]) continue
    const old = before.windows[slot]!
    if (old.length === 1 || base <= baseConfig(old).begin) continue
    const rebased = memoized(memo, old, base, () => {
      const from = old.findIndex((config) => config.begin === base)
      if (from <= 0) return old
      return from === old.length - 1 ? aloneWindow(newestConfig(old)) : old.slice(from)
    })
    if (rebased === old) continue
    windows ??= before.windows.slice()
    windows[slot] = rebased
  }
  return windows === undefined ? before : { view: before.view, windows }
}

const ownersOfTables = new WeakMap<ConfigTable, ReadonlySet<MemberId>>()

/** All owners in any config of any window. Computed once for each table. */
export function windowOwners(table: ConfigTable): ReadonlySet<MemberId> {
  let owners = ownersOfTables.get(table)
  if (owners === undefined) {
    const found = new Set<MemberId>()
    for (const window of new Set(table.windows)) {
      for (const config of window) for (const owner of config.owners) found.add(owner)
    }
    owners = found
    ownersOfTables.set(table, owners)
  }
  return owners
}

export function sameOwners(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a === b || (a.length === b.length && a.every((id, index) => id === b[index]))
}

function memoized(memo: Map<Window, Map<number, Window>>, old: Window, key: number, make: () => Window): Window {
  const inner = memo.get(old) ?? new Map<number, Window>()
  memo.set(old, inner)
  const made = inner.get(key) ?? make()
  inner.set(key, made)
  return made
}

/**
 * Kept for longer than one table. Slots that settle one after the other must get the same window object; otherwise each
 * view would divide the groups of slots further.
 */
const aloneWindows = new WeakMap<Config, Window>()

/** The window that holds only this config: one object for each config. */
export function aloneWindow(config: Config): Window {
  const window = aloneWindows.get(config) ?? [config]
  aloneWindows.set(config, window)
  return window
}
