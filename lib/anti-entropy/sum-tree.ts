// A tree over the slots that finds where two stores differ. A node stands for a stretch of neighbouring slots. Its sum
// is the sum of its slots that both stores share. Pure.
//
//   sums = for each node, ascending:  node u16 | sum 20 B, as in slot-sums.ts            (big-endian)
//   nodes = for each node, ascending: node u16
//
// Invariant: equal sets of entries have equal sums in every node. So a descent into the nodes whose sums differ finds
// exactly the slots that differ.
// Source: Merkle 1987, with sums instead of hashes.
import type { Bytes } from '../bytes.js'
import { readU16, writeU16, writeU32 } from '../entry/integers.js'
import { RingdError } from '../errors.js'
import { SLOTS } from '../ring/slots.js'
import { SLOT_SUM_BYTES, SLOT_SUM_WORDS, type SlotSums } from './slot-sums.js'

/** The slots in a node of each level. A node has 16 children; on the last level but one it has 4. */
const WIDTHS = [SLOTS, SLOTS / 16, SLOTS / 256, SLOTS / 4096, 1] as const

/** The level on which each node is one slot. */
export const LEAF_LEVEL = WIDTHS.length - 1

const NODE_BYTES = 2
const NODE_SUM_BYTES = NODE_BYTES + SLOT_SUM_BYTES

export interface NodeSum {
  readonly node: number
  readonly sum: Bytes
}

/** The nodes of the level that hold these slots. Both lists ascend. */
export function nodesOf(level: number, slots: readonly number[]): number[] {
  const width = WIDTHS[level]!
  const nodes: number[] = []
  for (const slot of slots) {
    const node = Math.floor(slot / width)
    if (nodes[nodes.length - 1] !== node) nodes.push(node)
  }
  return nodes
}

/** The slots that lie in these nodes of the level. All lists ascend. O(slots). */
export function slotsUnder(level: number, nodes: readonly number[], slots: readonly number[]): number[] {
  const width = WIDTHS[level]!
  let at = 0
  return slots.filter((slot) => {
    const node = Math.floor(slot / width)
    while (at < nodes.length && nodes[at]! < node) at += 1
    return nodes[at] === node
  })
}

/** The sums of these nodes, counting only these slots, encoded. Both lists ascend. O(slots). */
export function encodeNodeSums(
  sums: SlotSums,
  level: number,
  nodes: readonly number[],
  slots: readonly number[]
): Bytes {
  const width = WIDTHS[level]!
  const bytes = new Uint8Array(nodes.length * NODE_SUM_BYTES)
  const total = new Uint32Array(SLOT_SUM_WORDS)
  let next = 0
  nodes.forEach((node, index) => {
    total.fill(0)
    while (next < slots.length && slots[next]! < node * width) next += 1
    while (next < slots.length && slots[next]! < (node + 1) * width) sums.addTo(total, slots[next++]!)
    const at = index * NODE_SUM_BYTES
    writeU16(bytes, at, node)
    for (let word = 0; word < SLOT_SUM_WORDS; word++) writeU32(bytes, at + NODE_BYTES + word * 4, total[word]!)
  })
  return bytes
}

/** The inverse of `encodeNodeSums`. Throws BAD_MESSAGE for other bytes. The sums are views into `bytes`. */
export function decodeNodeSums(level: number, bytes: Bytes): NodeSum[] {
  checkLevel(level)
  if (bytes.length % NODE_SUM_BYTES !== 0)
    throw new RingdError('BAD_MESSAGE', `node sums of ${bytes.length} bytes end within a sum`)
  return Array.from({ length: bytes.length / NODE_SUM_BYTES }, (_, index) => {
    const at = index * NODE_SUM_BYTES
    const node = readU16(bytes, at)
    checkNode(level, node, index === 0 ? -1 : readU16(bytes, at - NODE_SUM_BYTES))
    return { node, sum: bytes.subarray(at + NODE_BYTES, at + NODE_SUM_BYTES) }
  })
}

/** `nodes` ascends. */
export function encodeNodes(nodes: readonly number[]): Bytes {
  const bytes = new Uint8Array(nodes.length * NODE_BYTES)
  nodes.forEach((node, index) => void writeU16(bytes, index * NODE_BYTES, node))
  return bytes
}

/** The inverse of `encodeNodes`. Throws BAD_MESSAGE unless the nodes ascend and belong to the level. */
export function decodeNodes(level: number, bytes: Bytes): number[] {
  checkLevel(level)
  if (bytes.length % NODE_BYTES !== 0)
    throw new RingdError('BAD_MESSAGE', `nodes of ${bytes.length} bytes end within a node`)
  return Array.from({ length: bytes.length / NODE_BYTES }, (_, index) => {
    const node = readU16(bytes, index * NODE_BYTES)
    checkNode(level, node, index === 0 ? -1 : readU16(bytes, (index - 1) * NODE_BYTES))
    return node
  })
}

function checkLevel(level: number): void {
  if (level > LEAF_LEVEL) throw new RingdError('BAD_MESSAGE', `the sum tree has levels 0..${LEAF_LEVEL}, not ${level}`)
}

function checkNode(level: number, node: number, before: number): void {
  if (node <= before || node >= SLOTS / WIDTHS[level]!)
    throw new RingdError('BAD_MESSAGE', `node ${node} does not ascend, or is not on level ${level}`)
}
