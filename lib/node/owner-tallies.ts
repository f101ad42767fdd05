// Asks owners what they hold of some slots: this peer's own replica, or another member. Part of the node.
// Owns the bound of questions under way, which all that ask share.

import { askReplica } from '../actors/replica/replica-client.js'
import type { ReplicaMessage } from '../actors/replica/replica-messages.js'
import { SlotTallies } from '../anti-entropy/slot-tallies.js'
import type { Bytes } from '../bytes.js'
import type { Clock } from '../clock.js'
import { RingdError, toRingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import { requestMember } from '../network/member-link.js'
import { InformedRefusal, type Network } from '../network/network.js'
import type { Knowledge as WireKnowledge } from '../network/wire.js'
import { rangesOf } from '../ring/slots.js'
import type { Ref } from '../runtime/actor.js'
import type { RingView } from '../views/ring-view.js'

export interface OwnerTalliesDeps {
  readonly clock: Clock
  readonly network: Pick<Network, 'link' | 'request'>
  readonly replica: Ref<ReplicaMessage>
  /** Passes on to membership what a refusal told about the ring. */
  readonly learned: (knowledge: WireKnowledge) => void
}

/** One question to one owner. */
export interface TallyQuestion {
  readonly member: MemberId
  /** Ascending. It owns all of them in the newest config. */
  readonly slots: readonly number[]
}

/** Answers of one question have at most 416 KiB, so this many have a few MiB. */
const ASKED_AT_ONCE = 8

export class OwnerTallies {
  readonly #deps: OwnerTalliesDeps
  #underWay = 0
  readonly #waiting: (() => void)[] = []

  constructor(deps: OwnerTalliesDeps) {
    this.#deps = deps
  }

  /**
   * The answers, in the order of the questions; an error in place of one that failed: UNREACHABLE, TIMEOUT, STALE_VIEW,
   * NOT_OWNER, NOT_SERVING, OVERLOADED, BAD_REQUEST of a member of an older version, BAD_MESSAGE. Never rejects. All of
   * them together take `timeoutMs` at most, and at most eight questions are under way.
   */
  askAll(
    view: RingView,
    questions: readonly TallyQuestion[],
    timeoutMs: number
  ): Promise<readonly (SlotTallies | RingdError)[]> {
    const { clock } = this.#deps
    const deadline = clock.elapsed() + timeoutMs
    const ask = (question: TallyQuestion) => {
      const left = Math.ceil(deadline - clock.elapsed())
      if (left <= 0) throw new RingdError('TIMEOUT', 'other questions took all the time')
      return this.#ask(view, question, left)
    }
    return Promise.all(questions.map((question) => this.#inTurn(() => ask(question))))
  }

  /** `ask` may throw. */
  async #inTurn(ask: () => Promise<SlotTallies>): Promise<SlotTallies | RingdError> {
    if (this.#underWay >= ASKED_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#underWay += 1
    try {
      return await ask()
    } catch (thrown) {
      if (thrown instanceof InformedRefusal) this.#deps.learned(thrown.knowledge)
      return toRingdError(thrown)
    } finally {
      // The place goes to the one that waits longest.
      const next = this.#waiting.shift()
      if (next === undefined) this.#underWay -= 1
      else next()
    }
  }

  async #ask(view: RingView, { member, slots }: TallyQuestion, timeoutMs: number): Promise<SlotTallies> {
    if (member === view.self) {
      const own = { type: 'tally' as const, view: view.number, from: undefined, slots }
      return new SlotTallies(slots, await askReplica<Bytes>(this.#deps, (reply) => ({ ...own, reply }), timeoutMs))
    }
    const peerId = view.peerIds.get(member)
    if (peerId === undefined) throw new RingdError('UNREACHABLE', 'the member has no known peer')
    const body = { tally: { view: view.number, ranges: rangesOf(slots) } }
    const { tallied } = await requestMember(this.#deps.network, { peerId, member, stream: 'bulk', body, timeoutMs })
    if (tallied === undefined) throw new RingdError('BAD_MESSAGE', 'not an answer to a question for tallies')
    return new SlotTallies(slots, tallied.tallies)
  }
}
