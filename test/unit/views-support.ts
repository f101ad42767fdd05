// Rings, chains and states for the tests of lib/views: small, with many changes, drawn by fast-check or from a seed.
import fc from 'fast-check'
import type { Member, MemberId } from '../../lib/member.js'
import { ownerTable } from '../../lib/ring/owners.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { applyChange, type View, type ViewChange } from '../../lib/views/chain.js'
import { type ConfigTable, extendConfigs } from '../../lib/views/configs.js'

export const RING_ID = 'f'.repeat(32)

/** Member number `number`. Ids are ordered as their numbers are. */
export function id(number: number): MemberId {
  return number.toString(16).padStart(32, '0')
}

export function member(number: number, tokens: readonly number[] = [(number * 4099) % 16384]): Member {
  return { storeId: id(number), peerId: `peer-${number}`, tokens, zone: '', weight: 1 }
}

export function founding(replicas: number): { readonly ringId: string; readonly replicas: number } {
  return { ringId: RING_ID, replicas }
}

/** The views made by `changes`, from view 1 on. */
export function viewsOf(changes: readonly ViewChange[]): View[] {
  const views: View[] = []
  for (const change of changes) views.push(applyChange(views.at(-1), change))
  return views
}

export function ownersOfView(view: View): ReturnType<typeof ownerTable> {
  return ownerTable([...view.members.values()], view.founding.replicas)
}

/** The config table after every view of the chain, with no window cut. */
export function tablesOf(changes: readonly ViewChange[]): ConfigTable[] {
  const tables: ConfigTable[] = []
  for (const view of viewsOf(changes)) tables.push(extendConfigs(tables.at(-1), view.number, ownersOfView(view)))
  return tables
}

export interface ChainShape {
  readonly viewsMin?: number
  readonly viewsMax?: number
}

/**
 * Valid chains of few members with few tokens: several joins and removals per view, down to one member and up again.
 */
export function anyChain({ viewsMin = 1, viewsMax = 6 }: ChainShape = {}): fc.Arbitrary<ViewChange[]> {
  const token = fc.integer({ min: 0, max: 16383 })
  const tokens = fc.uniqueArray(token, { minLength: 1, maxLength: 3 }).map((list) => list.sort((a, b) => a - b))
  const step = fc.record({
    joins: fc.array(tokens, { minLength: 0, maxLength: 3 }),
    removals: fc.array(fc.nat(7), { maxLength: 2 })
  })
  const steps = fc.array(step, { minLength: viewsMin, maxLength: viewsMax })
  return fc.tuple(fc.integer({ min: 1, max: 4 }), steps).map(([replicas, list]) => chainOf(replicas, list))
}

interface Step {
  readonly joins: readonly (readonly number[])[]
  /** Each removes one of the present members: its index, modulo their number. */
  readonly removals: readonly number[]
}

function chainOf(replicas: number, steps: readonly Step[]): ViewChange[] {
  const changes: ViewChange[] = []
  let members: MemberId[] = []
  let next = 1
  for (const { joins, removals } of steps) {
    const wanted = joins.length > 0 ? joins : removals.length > 0 && members.length > 1 ? [] : [[next % 16384]]
    const added = wanted.map((tokens) => member(next++, tokens))
    const removed = new Set<MemberId>()
    for (const at of removals) if (members.length - removed.size > 1) removed.add(members[at % members.length]!)
    members = [...members.filter((one) => !removed.has(one)), ...added.map(({ storeId }) => storeId)]
    const change = { number: changes.length + 1, joins: added, removals: [...removed] }
    changes.push(changes.length === 0 ? { ...change, founding: founding(replicas) } : change)
  }
  return changes
}

/** The slots around every token, and the first and last slot. */
export function cornerSlots(changes: readonly ViewChange[]): number[] {
  const slots = new Set([0, 16383])
  for (const { joins } of changes) {
    for (const { tokens } of joins) for (const token of tokens) slots.add(token).add((token + 1) % 16384)
  }
  return [...slots]
}

/** Readiness of each member: a few stretches of slots, each ready for some view of the chain or for none. */
export function anyReadiness(changes: readonly ViewChange[]): fc.Arbitrary<Map<MemberId, Uint32Array>> {
  const members = changes.flatMap(({ joins }) => joins.map(({ storeId }) => storeId))
  const config = fc.integer({ min: 0, max: changes.length })
  const stretches = fc.array(config, { minLength: 1, maxLength: 4 })
  return fc
    .array(stretches, { minLength: members.length, maxLength: members.length })
    .map((lists) => new Map(lists.map((list, at) => [members[at]!, spread(list)])))
}

/** A table of the values, each over an equal share of the slots. */
export function spread(values: readonly number[]): Uint32Array {
  return Uint32Array.from({ length: SLOTS }, (_, slot) => values[Math.floor((slot * values.length) / SLOTS)]!)
}

/** Like fc.assert, but prints how to repeat a failure instead of tables of 16384 slots. Does not shrink. */
export function holds<T>(property: fc.IProperty<T>, numRuns: number): void {
  const { failed, seed, counterexamplePath, errorInstance } = fc.check(property, { numRuns, endOnFailure: true })
  if (!failed) return
  const reason = errorInstance instanceof Error ? errorInstance.message : String(errorInstance)
  throw new Error(`fails with { seed: ${seed}, path: '${counterexamplePath}' }: ${reason.slice(0, 2000)}`)
}
