// One number for each slot, as bytes on disk: runs of equal numbers, as in Knowledge of wire.proto. Pure.
import type { Bytes } from '../bytes.js'
import { Knowledge as WireKnowledge } from '../network/wire.js'
import { fromRuns, toRuns } from '../ring/runs.js'

export function encodeSlotTable(values: Uint32Array): Bytes {
  return WireKnowledge.encode({ changes: [], bases: toRuns(values), records: [], joins: [], departures: [] })
}

/** Throws when the bytes are damaged. */
export function decodeSlotTable(bytes: Bytes): Uint32Array {
  return fromRuns(WireKnowledge.decode(bytes).bases)
}
