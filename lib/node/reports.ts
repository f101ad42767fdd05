// Builds the reports of a node in the documented shapes of lib/client/reports.ts. Pure: it gets everything that is
// known as a value (node-reports.ts gathers it), and returns JSON.
import type { MemberHealth } from '../actors/detector.js'
import type { HintTotals } from '../actors/hints/hints.js'
import type { Totals } from '../actors/replica/replica-messages.js'
import { type Bytes, toText } from '../bytes.js'
import type {
  ConditionReport,
  Health,
  LimitReport,
  MemberReport,
  MoveReport,
  OwnerReport,
  RangeReport,
  RingReport,
  StatusReport,
  WhereReport
} from '../client/reports.js'
import type { MemberId } from '../member.js'
import { ringDigest } from '../ring/digest.js'
import { ownersOf } from '../ring/owners.js'
import { slotOf } from '../ring/slots.js'
import { sortMembers, sweepOwners } from '../ring/walk.js'
import { type Config, type ConfigTable, newestConfig, windowOwners } from '../views/configs.js'
import type { MoveLimit } from '../views/move-limit.js'
import { countSlots, type SlotCounts } from '../views/readiness.js'
import type { RingView } from '../views/ring-view.js'
import { type AdviceInput, adviceFor } from './advice.js'
import type { Recovery } from './recovery-trend.js'
import { isReached, reasonsNotReady, servingOf, stateOf, troubleOf, unreachableFrom } from './serving.js'

/** The input of the reports `status` and `where`. */
export interface ReportInput extends AdviceInput {
  readonly totals: Totals
  readonly addresses: (member: MemberId) => readonly string[]
  /** This member was told to leave. */
  readonly leaving: boolean
  /** Slots that are stored here and owned by others; null while that is not known. */
  readonly surplusSlots: number | null
  readonly hints: HintTotals
  readonly recovery: Recovery
  readonly moveLimit: MoveLimit | undefined
}

const UNTRUSTED: ConditionReport = {
  name: 'untrusted',
  says: 'it was started again and waits until a majority of the members has confirmed that its data is not an old copy'
}

const digests = new WeakMap<ReadonlyMap<MemberId, unknown>, string>()

/** The digest of the ring: computed once for each view. */
export function digestOfView(view: RingView): string {
  let digest = digests.get(view.members)
  if (digest === undefined) {
    digest = ringDigest([...view.members.values()], view.founding.replicas)
    digests.set(view.members, digest)
  }
  return digest
}

export function statusReport(input: ReportInput, move: MoveReport): StatusReport {
  const { view, health } = input
  const digest = digestOfView(view)
  const slots = countSlots(view.configs, servingOf(input))
  const unreachable = unreachableFrom(input)
  const owned = countOwned(view.configs)
  const members = Array.from(view.members.values(), (member): MemberReport => {
    const { storeId, peerId, zone, tokens } = member
    const totals = storeId === view.self ? input.totals : health.get(storeId)?.pong
    return {
      peerId,
      storeId,
      state: stateOf(storeId, input),
      reason: health.get(storeId)?.reason ?? '',
      zone,
      addresses: input.addresses(storeId),
      tokens: tokens.length,
      owns: owned.get(storeId) ?? 0,
      keys: totals?.entries ?? null,
      bytes: totals?.bytes ?? null,
      conditions: conditionsOf(storeId, input),
      unreachableFrom: unreachable.get(storeId) ?? []
    }
  })
  const agree = Array.from(health.values()).every((member) => member.liveness !== 'up' || agrees(member, view, digest))
  const { number, founding } = view
  const { leaving, surplusSlots: surplus } = input
  const notReady = reasonsNotReady(view, input.own, (id) => isReached(id, input))
  return {
    view: number,
    digest,
    agree,
    replicas: founding.replicas,
    health: healthOf(slots, members),
    ready: notReady.length === 0,
    notReady,
    advice: adviceFor(input),
    slots: { ...slots, ...input.recovery },
    move,
    leaving,
    surplus,
    hints: input.hints,
    moveLimitBytesPerS: limitReport(input.moveLimit).bytesPerS,
    members,
    departing: Array.from(windowOwners(view.configs))
      .filter((id) => !view.members.has(id))
      .map((id) => ownerReport(id, input))
  }
}

export function limitReport(limit: MoveLimit | undefined): LimitReport {
  if (limit === undefined) return { bytesPerS: null, setAtMs: null, setBy: null }
  const { bytesPerS, setAtMs, setBy } = limit
  return { bytesPerS: bytesPerS === 0 ? null : bytesPerS, setAtMs, setBy }
}

export function ringReport(view: RingView): RingReport {
  const { replicas } = view.founding
  const sorted = sortMembers([...view.members.values()])
  const ranges: RangeReport[] = []
  sweepOwners(sorted, replicas, ({ first, last, owners }) => {
    ranges.push({ first, last, owners: Array.from(owners, (index) => sorted[index]!.storeId) })
  })
  ranges.sort((a, b) => a.first - b.first)
  return { view: view.number, digest: digestOfView(view), replicas, ranges }
}

export function whereReport(input: ReportInput, key: Bytes): WhereReport {
  const { view } = input
  const slot = slotOf(key)
  const owners = ownersOf([...view.members.values()], slot, view.founding.replicas).map((id) => ownerReport(id, input))
  return { key: toText(key), slot, owners, window: view.configs.windows[slot]!.map((config) => config.owners) }
}

function ownerReport(storeId: MemberId, input: ReportInput): OwnerReport {
  const { view, addresses } = input
  const peerId = view.peerIds.get(storeId)!
  return { peerId, storeId, state: stateOf(storeId, input), addresses: addresses(storeId) }
}

function agrees({ pong }: MemberHealth, view: RingView, digest: string): boolean {
  return pong?.view === view.number && pong.ringDigest === digest
}

function healthOf(slots: SlotCounts, members: readonly MemberReport[]): Health {
  if (slots.atRisk > 0) return 'at-risk'
  if (slots.unwritable > 0) return 'read-only'
  if (members.some(isImpaired)) return 'degraded'
  return slots.moving > 0 ? 'moving' : 'healthy'
}

/** A store that is not trusted yet is no fault, and serves nothing all the same. */
function conditionsOf(id: MemberId, input: ReportInput): readonly ConditionReport[] {
  const { conditions, untrusted } = troubleOf(id, input)
  return untrusted ? [...conditions, UNTRUSTED] : conditions
}

function isImpaired({ state, conditions, unreachableFrom }: MemberReport): boolean {
  return state !== 'up' || conditions.length > 0 || unreachableFrom.length > 0
}

const ownedCounts = new WeakMap<ConfigTable, ReadonlyMap<MemberId, number>>()

/** How many slots each member owns in the newest view: counted once for each table. */
function countOwned(configs: ConfigTable): ReadonlyMap<MemberId, number> {
  const known = ownedCounts.get(configs)
  if (known !== undefined) return known
  const slots = new Map<Config, number>()
  for (const window of configs.windows) {
    const config = newestConfig(window)
    slots.set(config, (slots.get(config) ?? 0) + 1)
  }
  const owned = new Map<MemberId, number>()
  for (const [{ owners }, count] of slots) for (const owner of owners) owned.set(owner, (owned.get(owner) ?? 0) + count)
  ownedCounts.set(configs, owned)
  return owned
}
