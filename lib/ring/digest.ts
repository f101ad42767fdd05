// A short name for a ring. Peers and operators compare it to see whether two peers agree. Pure.

import { createHash } from 'node:crypto'
import type { Member } from '../member.js'
import { sortMembers } from './walk.js'

const DIGEST_HEX_DIGITS = 16

/**
 * 16 hex digits (sha256, cut to 64 bits). The same members and replicas give the same digits, in any order of the
 * members. Another id, peer, token, zone, weight or number of replicas gives other digits. O(tokens).
 */
export function ringDigest(members: readonly Member[], replicas: number): string {
  const rows = sortMembers(members).map((member) => [
    member.storeId,
    member.peerId,
    member.zone,
    member.weight,
    [...member.tokens].sort((a, b) => a - b)
  ])
  // JSON quotes every text, so two different rings never give the same text.
  const text = JSON.stringify([replicas, rows])
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_HEX_DIGITS)
}
