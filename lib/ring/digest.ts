// The ring's short name: peers and people compare it to see whether two peers agree. Pure.

import { createHash } from 'node:crypto'
import type { Member } from '../member.js'
import { sortMembers } from './walk.js'

const DIGEST_HEX_DIGITS = 16

/**
 * 16 hex digits that are the same for the same members and replicas, in whatever order the members come, and differ
 * when any id, peer, token, zone, weight or the number of replicas differs (sha256, cut to 64 bits). O(tokens).
 */
export function ringDigest(members: readonly Member[], replicas: number): string {
  const rows = sortMembers(members).map((member) => [
    member.storeId,
    member.peerId,
    member.zone,
    member.weight,
    [...member.tokens].sort((a, b) => a - b)
  ])
  // JSON quotes every text, so no two rings spell the same.
  const spelled = JSON.stringify([replicas, rows])
  return createHash('sha256').update(spelled).digest('hex').slice(0, DIGEST_HEX_DIGITS)
}
