// The readiness of members, and which configs are settled by it: a config is settled when a quorum of its owners is
// ready. Pure. The readiness of a member is one number per slot: the newest config for which it is ready (0: none).
// Readiness for older configs may be forgotten, because no older config matters once the newest one is settled.
// Source: rules 6 and 8 of lib/views/README.md.
import type { MemberId } from '../member.js'
import { SLOTS } from '../ring/slots.js'
import type { Config, ConfigTable } from './configs.js'
import { baseConfig, newestConfig } from './configs.js'

/** Per member, per slot: the config for which it is ready. */
export type Readiness = ReadonlyMap<MemberId, Uint32Array>

export function readyOwners(config: Config, slot: number, readiness: Readiness): number {
  let ready = 0
  for (const owner of config.owners) if (readiness.get(owner)?.[slot] === config.begin) ready += 1
  return ready
}

/**
 * The bases after counting the ready owners: for each slot the newest settled config of its window. The same object
 * when no base moved. With `touched`, only the slots marked there are counted: those whose readiness or window changed.
 */
export function settle(
  table: ConfigTable,
  bases: Uint32Array,
  readiness: Readiness,
  touched?: Uint8Array
): Uint32Array {
  let moved: Uint32Array | undefined
  for (let slot = 0; slot < SLOTS; slot++) {
    if (touched?.[slot] === 0) continue
    const window = table.windows[slot]!
    for (let at = window.length - 1; at > 0; at--) {
      const config = window[at]!
      if (config.begin <= bases[slot]!) break
      if (readyOwners(config, slot, readiness) < config.quorum) continue
      moved ??= bases.slice()
      moved[slot] = config.begin
      break
    }
  }
  return moved ?? bases
}

/** Marks the slots in which two tables differ. */
export function markChanges(before: Uint32Array, after: Uint32Array, touched: Uint8Array): void {
  if (before === after) return
  for (let slot = 0; slot < SLOTS; slot++) if (before[slot] !== after[slot]) touched[slot] = 1
}

/**
 * The higher base of each slot; a base is always settled. The same object as `mine` when `theirs` is nowhere higher.
 */
export function mergeBases(mine: Uint32Array, theirs: Uint32Array): Uint32Array {
  let merged: Uint32Array | undefined
  for (let slot = 0; slot < SLOTS; slot++) {
    if (theirs[slot]! <= mine[slot]!) continue
    merged ??= mine.slice()
    merged[slot] = theirs[slot]!
  }
  return merged ?? mine
}

/** Which owners serve now. An owner that takes writes also answers reads. */
export interface Serving {
  readonly reads: (id: MemberId) => boolean
  readonly writes: (id: MemberId) => boolean
}

/**
 * Counts slots: settled (one config), moving (several), at risk (too few owners of a config answer reads for a quorum),
 * unwritable (too few take writes).
 */
export function countSlots(table: ConfigTable, { reads, writes }: Serving): SlotCounts {
  const counts = { settled: 0, moving: 0, atRisk: 0, unwritable: 0 }
  const lacksReaders = lackOfQuorum(reads)
  const lacksWriters = lackOfQuorum(writes)
  for (const window of table.windows) {
    if (window.length === 1) counts.settled += 1
    else counts.moving += 1
    if (window.some(lacksReaders)) counts.atRisk += 1
    if (window.some(lacksWriters)) counts.unwritable += 1
  }
  return counts
}

/** Whether fewer owners of a config serve than its quorum; computed once for each config. */
function lackOfQuorum(serves: (id: MemberId) => boolean): (config: Config) => boolean {
  const memo = new Map<Config, boolean>()
  return (config) => {
    let lacks = memo.get(config)
    if (lacks === undefined) {
      lacks = config.owners.filter(serves).length < config.quorum
      memo.set(config, lacks)
    }
    return lacks
  }
}

export interface SlotCounts {
  readonly settled: number
  readonly moving: number
  readonly atRisk: number
  readonly unwritable: number
}

/** The slots in whose newest config `self` is an owner that is not ready for it yet. */
export function unreadySlots(table: ConfigTable, self: MemberId, ready: Uint32Array): number[] {
  const slots: number[] = []
  let last: Config | undefined
  let owns = false
  for (let slot = 0; slot < SLOTS; slot++) {
    const config = newestConfig(table.windows[slot]!)
    if (ready[slot] === config.begin) continue
    if (config !== last) owns = config.owners.includes(self)
    last = config
    if (owns) slots.push(slot)
  }
  return slots
}

const longest = new WeakMap<ConfigTable, number>()

/** The number of configs in the longest window: 1 when every slot is settled. Computed once for each table. */
export function longestWindow(table: ConfigTable): number {
  let length = longest.get(table)
  if (length === undefined) {
    length = 0
    for (const window of table.windows) if (window.length > length) length = window.length
    longest.set(table, length)
  }
  return length
}

/** The base of each slot in the table. */
export function basesOf(table: ConfigTable): Uint32Array {
  return Uint32Array.from(table.windows, (window) => baseConfig(window).begin)
}
