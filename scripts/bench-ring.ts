// Benchmark `ring`: balance, moved slots and computing time of the ring rules, for rings of growing size.
// It needs no peers.

import { createHash } from 'node:crypto'
import type { Clock } from '../lib/clock.js'
import type { Member } from '../lib/member.js'
import { balance, movedSlots } from '../lib/ring/balance.js'
import { ownerTable } from '../lib/ring/owners.js'
import { SLOTS } from '../lib/ring/slots.js'
import { chooseTokens } from '../lib/ring/tokens.js'
import { systemClock } from '../lib/system-clock.js'

const SIZES = [3, 4, 5, 8, 16, 32, 64]
const REPLICAS = 3
const TABLE_ROUNDS = 5

/** Prints a Markdown table with one row for each size. Takes about 15 s. */
export async function benchRing(print: (line: string) => void): Promise<void> {
  print('| members | max/mean | slots moved by the last join | fewest possible | hash mod n | choose, ms | table, ms |')
  print('|--:|--:|--:|--:|--:|--:|--:|')
  let members: Member[] = []
  for (let size = 1; size <= SIZES.at(-1)!; size++) {
    const joiner = newcomer(size)
    const started = systemClock.elapsed()
    const tokens = chooseTokens(members, joiner, REPLICAS)
    const chooseMs = systemClock.elapsed() - started
    const grown = [...members, { ...joiner, tokens }]
    if (SIZES.includes(size)) print(row(members, grown, chooseMs, systemClock))
    members = grown
  }
}

function row(before: readonly Member[], after: readonly Member[], chooseMs: number, clock: Clock): string {
  const cells = [
    after.length,
    balance(after, REPLICAS).maxToMean.toFixed(3),
    movedSlots(before, after, REPLICAS).gained,
    Math.round((Math.min(REPLICAS, after.length) * SLOTS) / after.length),
    movedByModulo(before.length, after.length),
    chooseMs.toFixed(0),
    tableMs(after, clock).toFixed(1)
  ]
  return `| ${cells.join(' | ')} |`
}

/** The shortest of a few rounds, because other processes disturb the longer ones. */
function tableMs(members: readonly Member[], clock: Clock): number {
  let quickest = Number.POSITIVE_INFINITY
  for (let round = 0; round < TABLE_ROUNDS; round++) {
    const started = clock.elapsed()
    ownerTable(members, REPLICAS)
    quickest = Math.min(quickest, clock.elapsed() - started)
  }
  return quickest
}

/**
 * For comparison, a rule without tokens: slot s belongs to the members s mod n, s+1 mod n and s+2 mod n. The number of
 * (slot, owner) pairs that are new when n grows.
 */
function movedByModulo(before: number, after: number): number {
  let gained = 0
  for (let slot = 0; slot < SLOTS; slot++) {
    const had = moduloOwners(slot, before)
    for (const owner of moduloOwners(slot, after)) if (!had.has(owner)) gained++
  }
  return gained
}

function moduloOwners(slot: number, members: number): Set<number> {
  return new Set(Array.from({ length: Math.min(REPLICAS, members) }, (_, copy) => (slot + copy) % members))
}

function newcomer(number: number): Omit<Member, 'tokens'> {
  const storeId = createHash('sha256').update(`bench/${number}`).digest('hex').slice(0, 32)
  return { storeId, peerId: `peer-${number}`, zone: '', weight: 1 }
}
