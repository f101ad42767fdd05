// Turns messages of repair rounds that other owners began into messages to the replica. Owns nothing; every length and
// place is checked.

import { decodeNodeSums, encodeNodes } from '../../anti-entropy/sum-tree.js'
import { encodePositions, POSITION_BYTES, type Position, readVersionList } from '../../anti-entropy/version-list.js'
import { FORMAT_LIMITS, readBlock } from '../../entry/block.js'
import { RingdError } from '../../errors.js'
import type { Body, Link, Respond } from '../../network/network.js'
import { SLOTS } from '../../ring/slots.js'
import type { RepairRequest, RepairScope } from '../replica/repair-messages.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'

/** The message to the replica. Throws BAD_REQUEST, BAD_MESSAGE, BAD_ENTRY. */
export function repairMessage(from: Link, body: Body, respond: Respond): ReplicaMessage {
  const { repairSums, repairVersions, repairEntries } = body
  const answer =
    <T>(bodyOf: (result: T) => Body) =>
    (result: T | RingdError) =>
      respond(result instanceof RingdError ? result : bodyOf(result))
  if (repairSums !== undefined) {
    const { level } = repairSums
    return {
      type: 'repair-compare',
      ...request(from, repairSums),
      level,
      sums: decodeNodeSums(level, repairSums.sums),
      reply: answer((nodes) => ({ repairDiffering: { nodes: encodeNodes(nodes) } }))
    }
  }
  if (repairVersions !== undefined) {
    return {
      type: 'repair-versions',
      ...request(from, repairVersions),
      listed: readVersionList(repairVersions.list, repairVersions.crc),
      start: checkPosition(repairVersions.from),
      end: checkPosition(repairVersions.to),
      reply: answer(({ block, crc, wanted, reached }) => ({
        repairFound: { block, crc, wanted: encodePositions(wanted), reached }
      }))
    }
  }
  if (repairEntries === undefined) throw new RingdError('BAD_REQUEST', 'not a repair')
  const { entries } = readBlock(repairEntries.block, repairEntries.crc, FORMAT_LIMITS)
  return {
    type: 'repair-entries',
    ...request(from, repairEntries),
    entries,
    reply: answer(() => ({ done: {} }))
  }
}

function request(from: Link, { view, first, last, digest }: RepairScope): RepairRequest {
  if (first > last || last >= SLOTS) throw new RingdError('BAD_REQUEST', 'a range is ascending slots')
  return { from, view, first, last, digest }
}

function checkPosition(position: Position | undefined): Position | undefined {
  if (position === undefined || position.length === POSITION_BYTES) return position
  throw new RingdError('BAD_MESSAGE', `a position has ${POSITION_BYTES} bytes`)
}
