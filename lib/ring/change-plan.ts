// What a change of the members would move, before anybody makes it. Pure: the same load and change give the same plan
// on every peer. The plan uses the owner rule (owners.ts) and the token rule (tokens.ts) of a real change.
// A joiner's tokens follow from its random id, which nobody knows yet. The plan draws them from an id that it makes of
// the ring: the real joiner gets other places that are as well balanced.

import { createHash } from 'node:crypto'
import { RingdError } from '../errors.js'
import { MEMBERS_MAX, WEIGHT_MAX } from '../limits.js'
import type { Member, MemberId } from '../member.js'
import { type OwnerTable, ownerTable } from './owners.js'
import { SLOTS, type SlotRange } from './slots.js'
import { chooseTokens, tokenCount } from './tokens.js'

export type RingChange =
  | { readonly kind: 'join'; readonly zone: string; readonly weight: number }
  /** leave: it hands over. remove: it is dead, so nothing comes from it. */
  | { readonly kind: 'leave' | 'remove'; readonly member: MemberId }

export interface LoadedMember extends Member {
  /** Down members hold no copies that count. */
  readonly isDown: boolean
  /** Slots that it owns and does not hold completely yet. */
  readonly unready: readonly SlotRange[]
}

/** A ring and what its slots hold. */
export interface RingLoad {
  readonly view: number
  readonly digest: string
  readonly replicas: number
  readonly members: readonly LoadedMember[]
  /** Slots that still move. */
  readonly moving: number
  /** Per slot: entries (tombstones included) and bytes of one copy; null: unknown. */
  readonly entries: readonly (number | null)[]
  readonly bytes: readonly (number | null)[]
  /** What one member receives in a second when it pulls; null: unknown. */
  readonly paceBytesPerS: number | null
}

/** Of slots: a slot counts once for each owner that is meant. */
export interface Amount {
  readonly slots: number
  readonly entries: number
  readonly bytes: number
}

export interface MemberPlan {
  /** 'new' for the joiner: its id is not known yet. */
  readonly storeId: MemberId | 'new'
  readonly zone: string
  readonly weight: number
  /** What it owns; null while it is no member. */
  readonly before: Amount | null
  readonly after: Amount | null
  /** Copies that it sends to new owners, and copies that it gets. */
  readonly sends: Amount
  readonly receives: Amount
}

export interface ZonePlan {
  readonly zone: string
  readonly membersBefore: number
  readonly membersAfter: number
  readonly before: Amount
  readonly after: Amount
}

/** The JSON of `ringd plan --json`. */
export interface ChangePlan {
  readonly change: RingChange['kind']
  /** The member that leaves or is removed; null for a join. */
  readonly member: MemberId | null
  readonly view: number
  readonly digest: string
  readonly replicas: number
  /** The number of tokens that the joiner would have, or that the member has. */
  readonly tokens: number
  /** Copies that must be made: (slot, new owner) pairs. */
  readonly moved: Amount
  /** Copies that nobody can make: no owner is left that holds the slot. Only by a removal. */
  readonly lost: Amount
  readonly members: readonly MemberPlan[]
  readonly zones: readonly ZonePlan[]
  /** Largest load in proportion to weight, over the mean; 1 is even. In slots, then in bytes. */
  readonly unevenness: {
    readonly slotsBefore: number
    readonly slotsAfter: number
    readonly bytesBefore: number
    readonly bytesAfter: number
  }
  /** Slots with fewer complete copies on members that are not down than `replicas`. */
  readonly short: { readonly before: number; readonly meanwhile: number; readonly after: number }
  /** Slots with two copies in one zone. */
  readonly sharedZone: { readonly before: number; readonly after: number }
  /** The command is refused without --force: fewer members would remain than an entry has copies. */
  readonly needsForce: boolean
  /** Slots of which no owner told what they hold: they count like the mean of the others. */
  readonly unknownSlots: number
  /** Slots that move already: the plan begins where these moves end. */
  readonly movingSlots: number
  /** Until everything is copied, at the pace that the peer has seen; null: unknown. */
  readonly etaS: number | null
}

/** The id that the plan gives to a joiner: the same on every peer that knows the ring. */
export function plannedId({ digest }: Pick<RingLoad, 'digest'>, zone: string, weight: number): MemberId {
  return createHash('sha256').update(`plan ${digest} ${weight} ${zone}`).digest('hex').slice(0, 32)
}

/**
 * The plan of one change. Throws BAD_REQUEST for a weight outside (0, 16] or a member that is not in the ring, and
 * TOO_FEW_MEMBERS when the only member would go. Costs two owner tables, and for a join `chooseTokens`: up to 1.4 s.
 */
export function planChange(load: RingLoad, change: RingChange): ChangePlan {
  const after = membersAfter(load, change)
  const slotLoads = new SlotLoads(load)
  const before = ownerTable(load.members, load.replicas)
  const sum = new PlanSum(load, change, slotLoads)
  const target = ownerTable(after, load.replicas)
  for (let slot = 0; slot < SLOTS; slot++) sum.add(slot, ownersIn(before, slot), ownersIn(target, slot))
  return sum.plan(after)
}

function ownersIn(table: OwnerTable, slot: number): readonly MemberId[] {
  return table.sets[table.ofSlot[slot]!]!
}

function membersAfter(load: RingLoad, change: RingChange): readonly Member[] {
  const { members, replicas } = load
  if (change.kind !== 'join') {
    if (!members.some(({ storeId }) => storeId === change.member)) {
      throw new RingdError('BAD_REQUEST', `${change.member}: there is no such member; see ringd status`)
    }
    if (members.length === 1) throw new RingdError('TOO_FEW_MEMBERS', 'it is the only member: nobody could take over')
    return members.filter(({ storeId }) => storeId !== change.member)
  }
  const { zone, weight } = change
  if (!(weight > 0 && weight <= WEIGHT_MAX)) {
    throw new RingdError('BAD_REQUEST', `a weight is above 0 and at most ${WEIGHT_MAX}, not ${weight}`)
  }
  if (members.length >= MEMBERS_MAX) throw new RingdError('BAD_REQUEST', `a ring has at most ${MEMBERS_MAX} members`)
  const joiner = { storeId: plannedId(load, zone, weight), peerId: '', zone, weight }
  return [...members, { ...joiner, tokens: chooseTokens(members, joiner, replicas) }]
}

/** Entries and bytes of each slot, with the mean of the known slots in place of unknown ones. */
class SlotLoads {
  readonly entries: readonly number[]
  readonly bytes: readonly number[]
  readonly unknown: number

  constructor({ entries, bytes }: RingLoad) {
    this.unknown = entries.filter((count) => count === null).length
    this.entries = filled(entries)
    this.bytes = filled(bytes)
  }
}

function filled(loads: readonly (number | null)[]): readonly number[] {
  const known = loads.filter((load) => load !== null)
  const mean = known.length === 0 ? 0 : Math.round(known.reduce((sum, load) => sum + load, 0) / known.length)
  return loads.map((load) => load ?? mean)
}

type Sum = { -readonly [Field in keyof Amount]: number }

function nothing(): Sum {
  return { slots: 0, entries: 0, bytes: 0 }
}

interface Account {
  readonly before: Sum
  readonly after: Sum
  readonly sends: Sum
  readonly receives: Sum
}

/** Adds up the slots one by one. */
class PlanSum {
  readonly #load: RingLoad
  readonly #change: RingChange
  readonly #loads: SlotLoads
  readonly #leaver: MemberId | undefined
  readonly #zoneOf = new Map<MemberId, string>()
  readonly #accounts = new Map<MemberId, Account>()
  readonly #down = new Set<MemberId>()
  /** Per member, per slot, 1: it does not hold the slot completely. Members without such slots have no entry. */
  readonly #unready = new Map<MemberId, Uint8Array>()
  readonly #moved = nothing()
  readonly #lost = nothing()
  readonly #short = { before: 0, meanwhile: 0, after: 0 }
  readonly #sharedZone = { before: 0, after: 0 }

  constructor(load: RingLoad, change: RingChange, loads: SlotLoads) {
    this.#load = load
    this.#change = change
    this.#loads = loads
    this.#leaver = change.kind === 'join' ? undefined : change.member
    for (const { storeId, isDown, unready, zone } of load.members) {
      if (isDown) this.#down.add(storeId)
      this.#zoneOf.set(storeId, zone)
      if (unready.length === 0) continue
      const slots = new Uint8Array(SLOTS)
      for (const { first, last } of unready) slots.fill(1, first, last + 1)
      this.#unready.set(storeId, slots)
    }
    if (change.kind === 'join') this.#zoneOf.set(plannedId(load, change.zone, change.weight), change.zone)
  }

  add(slot: number, before: readonly MemberId[], after: readonly MemberId[]): void {
    const isDead = this.#change.kind === 'remove'
    const holders = isDead ? before.filter((id) => id !== this.#leaver) : before
    for (const id of before) this.#count(this.#account(id).before, slot)
    for (const id of after) this.#count(this.#account(id).after, slot)
    for (const id of after) if (!before.includes(id)) this.#copy(slot, id, holders)
    const { replicas } = this.#load
    const copies = (ids: readonly MemberId[]) => ids.filter((id) => this.#isCopy(id, slot)).length
    if (copies(before) < replicas) this.#short.before += 1
    if (copies(holders) < replicas) this.#short.meanwhile += 1
    if (after.filter((id) => !this.#down.has(id)).length < replicas) this.#short.after += 1
    if (this.#shareZone(before)) this.#sharedZone.before += 1
    if (this.#shareZone(after)) this.#sharedZone.after += 1
  }

  /** One new copy. It comes from the holder that has sent the least so far: pulls spread over sources like this. */
  #copy(slot: number, to: MemberId, holders: readonly MemberId[]): void {
    if (holders.length === 0) return this.#count(this.#lost, slot)
    const up = holders.filter((id) => !this.#down.has(id))
    const sources = up.length > 0 ? up : holders
    const sent = (id: MemberId) => this.#account(id).sends
    const order = (one: Sum, other: Sum) => one.bytes - other.bytes || one.slots - other.slots
    const source = sources.reduce((best, id) => (order(sent(id), sent(best)) < 0 ? id : best))
    this.#count(sent(source), slot)
    this.#count(this.#account(to).receives, slot)
    this.#count(this.#moved, slot)
  }

  #isCopy(id: MemberId, slot: number): boolean {
    return !this.#down.has(id) && this.#unready.get(id)?.[slot] !== 1
  }

  #shareZone(ids: readonly MemberId[]): boolean {
    return new Set(ids.map((id) => this.#zoneOf.get(id))).size < ids.length
  }

  #count(sum: Sum, slot: number): void {
    sum.slots += 1
    sum.entries += this.#loads.entries[slot]!
    sum.bytes += this.#loads.bytes[slot]!
  }

  #account(id: MemberId): Account {
    let account = this.#accounts.get(id)
    if (account === undefined) {
      account = { before: nothing(), after: nothing(), sends: nothing(), receives: nothing() }
      this.#accounts.set(id, account)
    }
    return account
  }

  plan(after: readonly Member[]): ChangePlan {
    const { view, digest, replicas, members, moving: movingSlots, paceBytesPerS } = this.#load
    const { kind } = this.#change
    const changed = kind === 'join' ? after.at(-1)! : members.find(({ storeId }) => storeId === this.#leaver)!
    const plans = this.#memberPlans(members, after)
    const slowest = Math.max(...plans.map(({ receives }) => receives.bytes))
    const uneven = (when: 'before' | 'after', what: 'slots' | 'bytes') => unevenness(plans, when, what)
    return {
      change: kind,
      member: this.#leaver ?? null,
      view,
      digest,
      replicas,
      tokens: kind === 'join' ? tokenCount(changed.weight) : changed.tokens.length,
      moved: this.#moved,
      lost: this.#lost,
      members: plans,
      zones: zonePlans(plans),
      unevenness: {
        slotsBefore: uneven('before', 'slots'),
        slotsAfter: uneven('after', 'slots'),
        bytesBefore: uneven('before', 'bytes'),
        bytesAfter: uneven('after', 'bytes')
      },
      short: this.#short,
      sharedZone: this.#sharedZone,
      needsForce: kind !== 'join' && after.length < replicas,
      unknownSlots: this.#loads.unknown,
      movingSlots,
      etaS: paceBytesPerS === null || paceBytesPerS <= 0 ? null : Math.ceil(slowest / paceBytesPerS)
    }
  }

  #memberPlans(before: readonly Member[], after: readonly Member[]): MemberPlan[] {
    const wasMember = new Set(before.map(({ storeId }) => storeId))
    const stays = new Set(after.map(({ storeId }) => storeId))
    const all = [...before, ...after.filter(({ storeId }) => !wasMember.has(storeId))]
    const plans = all.map(({ storeId, zone, weight }): MemberPlan => {
      const account = this.#account(storeId)
      const isNew = !wasMember.has(storeId)
      return {
        storeId: isNew ? 'new' : storeId,
        zone,
        weight,
        before: isNew ? null : account.before,
        after: stays.has(storeId) ? account.after : null,
        sends: account.sends,
        receives: account.receives
      }
    })
    return plans.sort((a, b) => (a.storeId < b.storeId ? -1 : 1))
  }
}

/** The largest load in proportion to weight, over the mean of all; 1 when there is no load. */
function unevenness(plans: readonly MemberPlan[], when: 'before' | 'after', what: 'slots' | 'bytes'): number {
  const loads = plans.flatMap((plan) => {
    const amount = plan[when]
    return amount === null ? [] : [{ load: amount[what], weight: plan.weight }]
  })
  const total = loads.reduce((sum, { load }) => sum + load, 0)
  const weight = loads.reduce((sum, one) => sum + one.weight, 0)
  if (total === 0) return 1
  return Math.max(...loads.map((one) => one.load / one.weight)) / (total / weight)
}

function zonePlans(plans: readonly MemberPlan[]): ZonePlan[] {
  const zones = [...new Set(plans.map(({ zone }) => zone))].sort()
  return zones.map((zone) => {
    const inZone = plans.filter((plan) => plan.zone === zone)
    const amounts = (when: 'before' | 'after') => inZone.flatMap((plan) => plan[when] ?? [])
    return {
      zone,
      membersBefore: amounts('before').length,
      membersAfter: amounts('after').length,
      before: total(amounts('before')),
      after: total(amounts('after'))
    }
  })
}

function total(amounts: readonly Amount[]): Amount {
  const sum = nothing()
  for (const { slots, entries, bytes } of amounts) {
    sum.slots += slots
    sum.entries += entries
    sum.bytes += bytes
  }
  return sum
}
