// Sends the requests of operations: to the replica of this peer by message, to other owners over the network.
// Part of the router, which decides whom to ask and counts what comes back.

import type { Clock } from '../../clock.js'
import type { Version } from '../../entry/version.js'
import type { MemberId } from '../../member.js'
import { isMemberLinked } from '../../network/member-link.js'
import type { Body, Network } from '../../network/network.js'
import type { Ref } from '../../runtime/actor.js'
import type { RingView } from '../../views/ring-view.js'
import { SMALL_ENVELOPE_MAX, streamOf } from '../large-requests.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'
import { confirmedBelowOf, envelopeToSend, type Operation, type OwnerReply } from './operation.js'
import { prepareAnswer, readAnswer, writeAnswer } from './peer-answers.js'
import { cheapestFirst, HEDGE_MS_MAX, PeerLatency } from './peer-latency.js'
import type { QuorumPhase, Target } from './quorum-phase.js'

export interface OwnerRequestsDeps {
  readonly clock: Clock
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  /** Whether a large read that had to wait for the replica is still to be made. */
  readonly isWanted: (operation: Operation, phase: QuorumPhase) => boolean
  /** Called once for each request that was sent, with the answer or the error in its place. */
  readonly answered: (operation: Operation, phase: QuorumPhase, target: Target, result: OwnerReply) => void
}

/** Sends one request of an operation to one owner, and knows which owners answer quickly. */
export class OwnerRequests {
  readonly #deps: OwnerRequestsDeps
  /** A request without an answer ends with TIMEOUT after this. */
  readonly #timeoutMs: number
  readonly #latency = new PeerLatency()
  #view: RingView | undefined

  constructor({ clock, network, replica, isWanted, answered }: OwnerRequestsDeps, timeoutMs: number) {
    this.#deps = { clock, network, replica, isWanted, answered }
    this.#timeoutMs = timeoutMs
  }

  /** The view in which owners are found from now on. */
  useView(view: RingView): void {
    this.#view = view
  }

  /** Sends the request of the operation's step. False when it cannot be sent: no link, or the replica is overloaded. */
  send(operation: Operation, phase: QuorumPhase, target: Target): boolean {
    if (target.member === this.#view!.self) return this.#askReplica(operation, phase, target)
    return this.#askMember(operation, phase, target)
  }

  /** Whether a request can be sent to the owner. */
  isReachable({ member }: Pick<Target, 'member'>): boolean {
    return member === this.#view!.self || this.#isLinked(member)
  }

  /** The owners by the time in which each is expected to answer. */
  quickestFirst(targets: readonly Target[]): readonly Target[] {
    return targets.length === 1 ? targets : cheapestFirst(targets, this.#costOf)
  }

  /**
   * After how many ms without an answer a read asks another owner as well. A large value takes longer than the usual
   * time, and to ask for one copy more would slow the others down.
   */
  hedgeAfterMs({ answerMax = Number.POSITIVE_INFINITY }: Operation, member: MemberId): number {
    return answerMax > SMALL_ENVELOPE_MAX ? HEDGE_MS_MAX : this.#latency.hedgeAfterMs(member)
  }

  #askReplica(operation: Operation, phase: QuorumPhase, target: Target): boolean {
    const { key, step, answerMax: bytesMax } = operation
    const { view } = phase
    const { replica } = this.#deps
    const from = undefined
    const reply = (result: OwnerReply) => this.#deps.answered(operation, phase, target, result)
    if (step === 'reading') {
      const isSmall = bytesMax !== undefined && bytesMax <= SMALL_ENVELOPE_MAX
      const isWanted = isSmall ? undefined : () => this.#deps.isWanted(operation, phase)
      return replica.tell({ type: 'read', view, from, key, bytesMax, reply, isWanted })
    }
    if (step === 'preparing') {
      const { ballot } = operation
      const origins = originsOf(operation)
      return replica.tell({ type: 'prepare', view, from, key, ballot: ballot!, origins, bytesMax, reply })
    }
    const envelope = envelopeToSend(operation)
    const repair = step === 'repairing'
    const confirmedBelow = confirmedBelowOf(operation)
    return replica.tell({ type: 'write', view, from, key, envelope, repair, confirmedBelow, reply })
  }

  #askMember(operation: Operation, phase: QuorumPhase, target: Target): boolean {
    const { member } = target
    if (!this.#isLinked(member)) return false
    const { step, answerMax, attempts } = operation
    const body = bodyOf(operation, phase.view)
    const stream = streamOf(body)
    // The usual time is that of small requests.
    const isTimed = stream === 'operations'
    if (isTimed) this.#latency.asked(member)
    const peerId = this.#view!.peerIds.get(member)!
    const origins = attempts.length
    this.#deps.network.request(peerId, stream, body, this.#timeoutMs, (answer) => {
      if (isTimed) this.#latency.answered(target.member, this.#deps.clock.elapsed() - target.askedAt)
      const result =
        step === 'reading'
          ? readAnswer(answer, answerMax)
          : step === 'preparing'
            ? prepareAnswer(answer, origins, answerMax)
            : writeAnswer(answer)
      this.#deps.answered(operation, phase, target, result)
    })
    return true
  }

  /** Expected time to ask the owner, ms; nothing for this member itself. One closure for all reads. */
  readonly #costOf = ({ member }: Target): number => {
    if (member === this.#view!.self) return 0
    return this.#isLinked(member) ? this.#latency.cost(member) : Number.POSITIVE_INFINITY
  }

  /** Whether the peer of the member is linked and still holds the data directory of that member. */
  #isLinked(member: MemberId): boolean {
    return isMemberLinked(this.#deps.network, this.#view!.peerIds, member)
  }
}

function bodyOf(operation: Operation, view: number): Body {
  const { key, step, answerMax: bytesMax } = operation
  if (step === 'reading') return { read: { view, key, bytesMax } }
  if (step === 'preparing') {
    return { prepareKey: { view, key, ballot: operation.ballot!, origins: originsOf(operation), bytesMax } }
  }
  const confirmedBelow = confirmedBelowOf(operation)
  return { write: { view, key, envelope: envelopeToSend(operation), repair: step === 'repairing', confirmedBelow } }
}

function originsOf({ attempts }: Operation): Version[] {
  return attempts.map(({ origin }) => origin)
}
