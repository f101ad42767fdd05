// Compares all owners of slots on the order of an operator (`ringd verify`). Changes nothing. Part of the node.
// Owns one comparison at a time, and its report. Every owner is asked for its sums after all writes that it had taken.
// Writes under way make sums differ for a moment, so a slot that differs is compared again before it is reported.
// Invariants: a bounded part of the slots is compared at a time, each question has a timeout, and no slot is called
// equal unless every owner of its only config told the same sum.

import {
  allChanged,
  groupsOf,
  type OwnerSum,
  SLOT_STATES,
  type SlotQuestion,
  type SlotState,
  stateOfSlot
} from '../anti-entropy/owner-agreement.js'
import type { SlotTallies } from '../anti-entropy/slot-tallies.js'
import type { SlotDifferenceReport, VerifyReport } from '../client/reports.js'
import { type Clock, sleep } from '../clock.js'
import { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { MemberId } from '../member.js'
import { SLOTS, type SlotRange } from '../ring/slots.js'
import { newestConfig } from '../views/configs.js'
import type { RingView } from '../views/ring-view.js'
import type { OwnerTallies } from './owner-tallies.js'

export interface VerificationDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly tallies: Pick<OwnerTallies, 'askAll'>
}

export interface VerifyOrder {
  readonly range: SlotRange
  /** Each slot is compared once: writes under way count as differences. */
  readonly once: boolean
}

/** Three owners tell 78 KiB of so many slots. */
const SLOTS_AT_ONCE = 1024
const TIMEOUT_MS = 10_000
/** How often slots that are not equal are compared again, and the pause before. */
const AGAIN_MAX = 3
const AGAIN_MS = 1000
/** Slots whose owners the report names. */
const SHOWN_MAX = 1000

/** The comparison under way, or the last one. */
interface Run {
  readonly range: SlotRange
  isRunning: boolean
  /** Slots that were compared for the first time. */
  compared: number
  /** Per slot the index of its state in SLOT_STATES, and how many slots of the range are in each state. */
  readonly states: Uint8Array
  readonly counts: Record<SlotState, number>
  /** Slots that differed or were not told of, and are equal now. */
  cleared: number
  /** The last answers of each slot that differs. */
  differing: Map<number, readonly OwnerSum[]>
  /** Slots that differ and are written all the time. */
  changing: Set<number>
  failures: Map<MemberId, { error: string; slots: number }>
}

export class Verification {
  readonly #deps: VerificationDeps
  #view: RingView | undefined
  #run = newRun({ first: 0, last: 0 })
  #isStopped = false

  constructor(deps: VerificationDeps) {
    this.#deps = deps
  }

  useView(view: RingView): void {
    this.#view = view
  }

  /**
   * Begins a comparison and reports at once; without an order it reports how far the last one has come. Throws
   * NOT_SERVING before there is a view, OVERLOADED while a comparison is under way.
   */
  report(order: VerifyOrder | undefined): VerifyReport {
    if (order !== undefined) this.#start(order)
    return reportOf(this.#run)
  }

  stop(): void {
    this.#isStopped = true
  }

  #start({ range, once }: VerifyOrder): void {
    if (this.#view === undefined) throw new RingdError('NOT_SERVING')
    if (this.#run.isRunning) throw new RingdError('OVERLOADED', 'a comparison is under way')
    const run = newRun(range)
    run.isRunning = true
    this.#run = run
    const end = (thrown?: unknown) => {
      run.isRunning = false
      if (thrown !== undefined) this.#deps.log.error({ err: thrown }, 'a comparison of owners ended before its time')
    }
    this.#compareAll(run, once ? 0 : AGAIN_MAX).then(() => end(), end)
  }

  async #compareAll(run: Run, again: number): Promise<void> {
    const { first, last } = run.range
    await this.#pass(
      run,
      Array.from({ length: last - first + 1 }, (_, at) => first + at)
    )
    for (let turn = 0; turn < again && !this.#isStopped; turn++) {
      const open = slotsToCompareAgain(run)
      if (open.length === 0) return
      await sleep(this.#deps.clock, AGAIN_MS)
      run.failures = new Map()
      await this.#pass(run, open)
    }
  }

  async #pass(run: Run, slots: readonly number[]): Promise<void> {
    for (let at = 0; at < slots.length && !this.#isStopped; at += SLOTS_AT_ONCE) {
      await this.#compare(run, slots.slice(at, at + SLOTS_AT_ONCE))
    }
  }

  async #compare(run: Run, slots: readonly number[]): Promise<void> {
    const view = this.#view!
    const questions = slots.map((slot) => questionOf(view, slot))
    const slotsOf = new Map<MemberId, number[]>()
    questions.forEach(({ asked }, at) => {
      for (const member of asked) {
        const owned = slotsOf.get(member)
        if (owned === undefined) slotsOf.set(member, [slots[at]!])
        else owned.push(slots[at]!)
      }
    })
    const toAsk = Array.from(slotsOf, ([member, owned]) => ({ member, slots: owned }))
    const results = await this.#deps.tallies.askAll(view, toAsk, TIMEOUT_MS)
    const answers = new Map<number, OwnerSum[]>()
    results.forEach((result, at) => {
      const { member, slots: owned } = toAsk[at]!
      if (result instanceof RingdError) noteFailure(run, member, result, owned.length)
      else noteAnswers(answers, member, result)
    })
    slots.forEach((slot, at) => {
      const told = answers.get(slot) ?? []
      noteState(run, slot, stateOfSlot(questions[at]!, told), told)
    })
  }
}

function newRun(range: SlotRange): Run {
  return {
    range,
    isRunning: false,
    compared: 0,
    states: new Uint8Array(SLOTS),
    counts: { open: range.last - range.first + 1, equal: 0, moving: 0, unanswered: 0, differs: 0 },
    cleared: 0,
    differing: new Map(),
    changing: new Set(),
    failures: new Map()
  }
}

/** The owners that are known to hold the whole slot are compared. */
function questionOf({ configs, readiness }: RingView, slot: number): SlotQuestion {
  const window = configs.windows[slot]!
  const { owners, begin } = newestConfig(window)
  const asked = owners.filter((owner) => readiness.get(owner)?.[slot] === begin)
  return { asked, isMoving: window.length > 1 || asked.length < owners.length }
}

function noteFailure({ failures }: Run, member: MemberId, { code }: RingdError, slots: number): void {
  failures.set(member, { error: code, slots: (failures.get(member)?.slots ?? 0) + slots })
}

function noteAnswers(answers: Map<number, OwnerSum[]>, storeId: MemberId, tallies: SlotTallies): void {
  tallies.slots.forEach((slot, index) => {
    const told = { storeId, entries: tallies.entries(index), sum: tallies.sum(index) }
    const others = answers.get(slot)
    if (others === undefined) answers.set(slot, [told])
    else others.push(told)
  })
}

function noteState(run: Run, slot: number, state: SlotState, told: readonly OwnerSum[]): void {
  const before = SLOT_STATES[run.states[slot]!]!
  if (before === 'open') run.compared += 1
  else if (state === 'equal') run.cleared += 1
  run.counts[before] -= 1
  run.counts[state] += 1
  run.states[slot] = SLOT_STATES.indexOf(state)
  const former = run.differing.get(slot)
  run.differing.delete(slot)
  run.changing.delete(slot)
  if (state !== 'differs') return
  run.differing.set(slot, told)
  if (former !== undefined && allChanged(former, told)) run.changing.add(slot)
}

function slotsToCompareAgain({ range, states }: Run): number[] {
  const equal = SLOT_STATES.indexOf('equal')
  const slots: number[] = []
  for (let slot = range.first; slot <= range.last; slot++) if (states[slot] !== equal) slots.push(slot)
  return slots
}

function reportOf(run: Run): VerifyReport {
  const { range, isRunning, compared, counts, cleared, changing, failures } = run
  const differing = [...run.differing.keys()].sort((one, other) => one - other)
  return {
    running: isRunning,
    first: range.first,
    last: range.last,
    slots: range.last - range.first + 1,
    compared,
    equal: counts.equal,
    cleared,
    differing: differing.length - changing.size,
    changing: changing.size,
    unanswered: counts.unanswered,
    moving: counts.moving,
    differences: differing.slice(0, SHOWN_MAX).map(
      (slot): SlotDifferenceReport => ({
        slot,
        changing: changing.has(slot),
        owners: groupsOf(run.differing.get(slot) ?? [])
      })
    ),
    failures: Array.from(failures, ([storeId, { error, slots }]) => ({ storeId, error, slots }))
  }
}
