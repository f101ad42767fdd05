// What every slot of the ring holds, gathered from its owners, for the report `load`. Part of the node.
// One owner tells of each slot. Which one follows from the view, so all peers ask the same owners and get the same
// numbers. Another owner is asked when it does not answer.

import type { SlotTallies } from '../anti-entropy/slot-tallies.js'
import type { LoadReport } from '../client/reports.js'
import { RingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import { rangesOf, SLOTS } from '../ring/slots.js'
import { type Config, newestConfig } from '../views/configs.js'
import { unreadySlots } from '../views/readiness.js'
import type { RingView } from '../views/ring-view.js'
import type { OwnerTallies, TallyQuestion } from './owner-tallies.js'
import { digestOfView } from './reports.js'
import { type MembersInput, stateOf } from './serving.js'

export interface SlotLoads {
  /** Per slot; null: no owner told. */
  readonly entries: readonly (number | null)[]
  readonly bytes: readonly (number | null)[]
  readonly failures: ReadonlyMap<MemberId, RingdError>
}

/** Of one round. A client waits 15 s for the report. */
const TIMEOUT_MS = 3000
/** Owners that are asked for a slot, one after the other. */
const ROUNDS_MAX = 3
/** Neighbouring slots are asked of one owner, so that questions are short. */
const STRETCH_SLOTS = 256

/** Asks the owners of the newest view. Never rejects, and takes nine seconds at most. */
export async function gatherSlotLoads(tallies: Pick<OwnerTallies, 'askAll'>, view: RingView): Promise<SlotLoads> {
  const entries = new Array<number | null>(SLOTS).fill(null)
  const bytes = new Array<number | null>(SLOTS).fill(null)
  const failures = new Map<MemberId, RingdError>()
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const questions = questionsOf(view, entries, failures)
    if (questions.length === 0) break
    const answers = await tallies.askAll(view, questions, TIMEOUT_MS)
    answers.forEach((answer, at) => {
      const { member } = questions[at]!
      if (answer instanceof RingdError) failures.set(member, answer)
      else note(answer, entries, bytes)
    })
  }
  return { entries, bytes, failures }
}

function note(tallies: SlotTallies, entries: (number | null)[], bytes: (number | null)[]): void {
  tallies.slots.forEach((slot, index) => {
    entries[slot] = tallies.entries(index)
    bytes[slot] = tallies.bytes(index)
  })
}

/** The slots that nobody has told of yet, by the owner that is to be asked. */
function questionsOf(
  view: RingView,
  known: readonly (number | null)[],
  failed: ReadonlyMap<MemberId, RingdError>
): TallyQuestion[] {
  const slotsOf = new Map<MemberId, number[]>()
  for (let slot = 0; slot < SLOTS; slot++) {
    if (known[slot] !== null) continue
    const member = tellerOf(view, slot, failed)
    if (member === undefined) continue
    const slots = slotsOf.get(member)
    if (slots === undefined) slotsOf.set(member, [slot])
    else slots.push(slot)
  }
  return Array.from(slotsOf, ([member, slots]) => ({ member, slots }))
}

/** The owner that tells of the slot: one that holds all of it, when there is one. */
function tellerOf(view: RingView, slot: number, failed: ReadonlyMap<MemberId, RingdError>): MemberId | undefined {
  const { owners, begin }: Config = newestConfig(view.configs.windows[slot]!)
  const start = Math.floor(slot / STRETCH_SLOTS)
  let second: MemberId | undefined
  for (let at = 0; at < owners.length; at++) {
    const owner = owners[(start + at) % owners.length]!
    if (failed.has(owner)) continue
    if (view.readiness.get(owner)?.[slot] === begin) return owner
    second ??= owner
  }
  return second
}

export function loadReport(input: MembersInput, loads: SlotLoads, pace: number | undefined): LoadReport {
  const { view } = input
  const { number, founding, members, configs, readiness } = view
  const none = new Uint32Array(SLOTS)
  return {
    view: number,
    digest: digestOfView(view),
    replicas: founding.replicas,
    members: Array.from(members.values(), (member) => ({
      ...member,
      state: stateOf(member.storeId, input),
      unready: rangesOf(unreadySlots(configs, member.storeId, readiness.get(member.storeId) ?? none))
    })),
    moving: configs.windows.filter((window) => window.length > 1).length,
    entries: loads.entries,
    bytes: loads.bytes,
    failures: Array.from(loads.failures, ([storeId, { code }]) => ({ storeId, error: code })),
    paceBytesPerS: pace === undefined ? null : Math.round(pace)
  }
}
