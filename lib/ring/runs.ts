// A table with one value for each slot, as runs of equal values: the short form for the wire and the disk. Pure.
// Invariant: runs ascend, do not overlap, lie within the slots and hold no zeros. A slot in no run has the value 0.

import { RingdError } from '../errors.js'
import { SLOTS, type SlotRange } from './slots.js'

/** One value, 1..2^32-1, for the slots `first`..`last`, both included. */
export interface Run extends SlotRange {
  readonly value: number
}

const VALUE_MAX = 0xffff_ffff

/** The fewest runs that give a table of SLOTS values. Zeros are left out. */
export function toRuns(values: Uint32Array): Run[] {
  const runs: Run[] = []
  forEachStretch(
    (slot) => values[slot]!,
    (first, last, value) => {
      if (value !== 0) runs.push({ first, last, value })
    }
  )
  return runs
}

/** The runs of the slots in these ranges, ascending and not overlapping. */
export function runsWithin(values: Uint32Array, ranges: readonly SlotRange[]): Run[] {
  const runs: Run[] = []
  for (const { first, last } of ranges) {
    for (let slot = first; slot <= last; slot++) {
      const value = values[slot]!
      const run = runs[runs.length - 1]
      if (value === 0) continue
      if (run !== undefined && run.value === value && run.last === slot - 1)
        runs[runs.length - 1] = { ...run, last: slot }
      else runs.push({ first: slot, last: slot, value })
    }
  }
  return runs
}

/**
 * The table of SLOTS values that the runs describe; slots in no run have 0. Neighbouring runs may have equal values.
 * Throws BAD_MESSAGE unless the runs keep the invariant above.
 */
export function fromRuns(runs: readonly Run[]): Uint32Array {
  checkRuns(runs)
  const values = new Uint32Array(SLOTS)
  for (const { first, last, value } of runs) values.fill(value, first, last + 1)
  return values
}

/** Throws BAD_MESSAGE unless the runs keep the invariant above. It makes no table. */
export function checkRuns(runs: readonly Run[]): void {
  let free = 0
  for (const { first, last, value } of runs) {
    const areIntegers = Number.isInteger(first) && Number.isInteger(last) && Number.isInteger(value)
    if (!areIntegers || first < free || last < first || last >= SLOTS || value < 1 || value > VALUE_MAX) {
      throw new RingdError(
        'BAD_MESSAGE',
        `bad run of slots: ${first}-${last} with value ${value}, expected from ${free}`
      )
    }
    free = last + 1
  }
}

/** Visits the longest stretches of slots with equal values, in ascending order. */
function forEachStretch<T>(valueAt: (slot: number) => T, visit: (first: number, last: number, value: T) => void): void {
  let first = 0
  let value = valueAt(0)
  for (let slot = 1; slot < SLOTS; slot++) {
    const next = valueAt(slot)
    if (next === value) continue
    visit(first, slot - 1, value)
    first = slot
    value = next
  }
  visit(first, SLOTS - 1, value)
}
