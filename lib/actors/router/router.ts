// The router actor: serves client operations. It asks the owners of the key's slot, also while the slot moves. Owns
// the operations under way, and keeps no data of the ring. What an operation does is in operation-runner.ts.
// Invariants: an operation is answered once; an operation that ends with an error has certainly had no effect, unless
// the error is UNKNOWN_OUTCOME.
// Source: rules 3 and 4, and A5 to A10, of lib/views/README.md.

import { type Clock, every, type Timer } from '../../clock.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import type { RingTime } from '../../entry/ring-time.js'
import { RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Metrics } from '../../metrics.js'
import type { Network } from '../../network/network.js'
import type { Knowledge as WireKnowledge } from '../../network/wire.js'
import type { Random } from '../../random.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import type { MetaWrite } from '../../storage/meta.js'
import type { RingView } from '../../views/ring-view.js'
import { HintsClient } from '../hints/hints-client.js'
import type { HintsMessage } from '../hints/hints-messages.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'
import { AnswerBytes } from './answer-bytes.js'
import { KeyTurns } from './key-turns.js'
import { KnowledgeRelay } from './knowledge-relay.js'
import { MissedWrites } from './missed-writes.js'
import { newOperation, type Operation, takesTurns } from './operation.js'
import { failureOf, timedOut } from './operation-outcome.js'
import { OperationRunner, RETRY_MS } from './operation-runner.js'
import { OwnerRequests, type OwnerRequestsDeps } from './owner-requests.js'
import { HEDGE_MS_MIN } from './peer-latency.js'
import type { RouterMessage } from './router-messages.js'
import { RouterMetrics } from './router-metrics.js'
import { ShortOwners } from './short-owners.js'
import { VersionMinter } from './version-minter.js'

export interface RouterDeps {
  readonly clock: Clock
  readonly random: Random
  readonly hlc: HybridClock
  /** Left out: the clock of this peer is always right. */
  readonly ringTime?: Pick<RingTime, 'verdict' | 'now'> | undefined
  /** Left out: the disk takes no time. */
  readonly diskSpeed?: { readonly syncMs: number } | undefined
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly hints: Ref<HintsMessage>
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** Passes knowledge of the ring that came with a refusal to membership. */
  readonly learned: (knowledge: WireKnowledge) => void
  /** Told how long each operation took, ms. */
  readonly felt?: ((tookMs: number) => void) | undefined
}

export interface RouterOptions {
  /** An operation that has no quorum after this fails (default 10 000). */
  readonly timeoutMs?: number
  /** Bytes; see lib/limits.ts. */
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
}

const TIMEOUT_MS = 10_000
const OPERATIONS_MAX = 20_000
const OPERATION_BYTES_MAX = 256 * MiB
/**
 * How often operations under way are checked for hedges, retries, pauses and deadlines; these have no finer timing.
 */
const SWEEP_MS = 10

/** Takes client operations, asks the owners of their slots, and answers when a quorum of every config has answered. */
export class Router implements Actor<RouterMessage> {
  readonly #deps: RouterDeps
  readonly #timeoutMs: number
  /** Under way, waiting for their turn, or joined into another one. */
  readonly #operations = new Set<Operation>()
  readonly #turns = new KeyTurns()
  readonly #minter: VersionMinter
  readonly #runner: OperationRunner
  readonly #metrics: RouterMetrics
  /** Runs only while operations are under way, so that an idle peer uses no CPU. */
  #sweepTimer: Timer | undefined
  #view: RingView | undefined
  /** Of the operations under way. */
  #bytes = 0
  readonly #answers = new AnswerBytes()
  readonly #shortOwners = new ShortOwners()
  #drained: Reply<undefined>[] = []

  constructor(deps: RouterDeps, options: RouterOptions) {
    const { clock, hlc, ringTime, diskSpeed, log, metrics, network, replica, hints, persist, random } = deps
    this.#deps = deps
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    const onRaised = () => this.#awaitedVersions()
    this.#minter = new VersionMinter({ hlc, ringTime, diskSpeed, log, persist, onRaised })
    this.#metrics = new RouterMetrics(metrics, deps.felt)
    const isWanted: OwnerRequestsDeps['isWanted'] = (...args) => this.#runner.isWanted(...args)
    const answered: OwnerRequestsDeps['answered'] = (...args) => this.#runner.answered(...args)
    const owners = new OwnerRequests({ clock, network, replica, isWanted, answered }, this.#timeoutMs)
    const parts = {
      owners,
      minter: this.#minter,
      answers: this.#answers,
      shortOwners: this.#shortOwners,
      knowledgeRelay: new KnowledgeRelay(clock, deps.learned),
      missedWrites: new MissedWrites(new HintsClient({ metrics, hints })),
      metrics: this.#metrics,
      ended: (operation: Operation, result: unknown) => this.#end(operation, result),
      failed: (operation: Operation, error: RingdError) => this.#fail(operation, error)
    }
    const { maxValueBytes } = options
    const runnerOptions = { timeoutMs: this.#timeoutMs, maxValueBytes }
    this.#runner = new OperationRunner({ clock, hlc, ringTime, random, ...parts }, runnerOptions)
  }

  receive(batch: readonly RouterMessage[]): void {
    for (const message of batch) this.#handle(message)
  }

  /** Ends all operations under way with STOPPED. */
  ended(): void {
    this.#sweepTimer?.cancel()
    this.#view = undefined
    for (const operation of this.#operations) {
      // The one that does its work knows whether that may be stored, and ends it.
      if (operation.state !== 'joined') this.#fail(operation, new RingdError('STOPPED'))
    }
  }

  #handle(message: RouterMessage): void {
    switch (message.type) {
      case 'operation':
        return this.#handleOperation(message.operation)
      case 'entry':
      case 'settle':
        return this.#handleOperation(newOperation(message.type, message))
      case 'view':
        return this.#handleView(message.view)
      case 'room':
        return this.#shortOwners.tell(message.member, message.isShort)
      case 'drain':
        return this.#handleDrain(message.reply)
      default:
        message satisfies never
    }
  }

  #handleDrain(reply: Reply<undefined>): void {
    if (this.#operations.size === 0) reply(undefined)
    else this.#drained.push(reply)
  }

  #handleView(view: RingView): void {
    this.#view = view
    this.#runner.useView(view)
    for (const operation of this.#operations) this.#runner.viewChanged(operation)
  }

  #handleOperation(operation: Operation): void {
    const { bytes } = operation
    const refusal = operation.kind === 'entry' ? undefined : this.#minter.refusal
    if (this.#view === undefined) {
      operation.reply(new RingdError('NOT_SERVING'))
    } else if (refusal !== undefined) {
      operation.reply(refusal)
    } else if (this.#operations.size >= OPERATIONS_MAX || this.#bytes + bytes > OPERATION_BYTES_MAX) {
      operation.reply(new RingdError('OVERLOADED'))
    } else {
      const turn = takesTurns(operation) ? this.#turns.enter(operation) : 'begins'
      if (turn === 'full') return operation.reply(new RingdError('OVERLOADED', 'too many operations wait for this key'))
      operation.startedAt = this.#deps.clock.elapsed()
      this.#add(operation)
      if (turn === 'waits') operation.state = 'queued'
      else this.#runner.beginPhase(operation)
    }
  }

  #add(operation: Operation): void {
    this.#operations.add(operation)
    this.#sweepTimer ??= every(this.#deps.clock, SWEEP_MS, () => this.#sweep())
    this.#bytes += operation.bytes
  }

  #awaitedVersions(): void {
    for (const operation of this.#operations)
      if (operation.state === 'awaitsVersion') this.#runner.beginPhase(operation)
  }

  /** any -> ended, with an error: UNKNOWN_OUTCOME when some owner may have stored its entry */
  #fail(operation: Operation, error: RingdError): void {
    this.#end(operation, failureOf(operation, error))
  }

  /** any -> ended; nothing when it has ended already */
  #end(operation: Operation, result: unknown): void {
    if (!this.#operations.delete(operation)) return
    const { kind, members, startedAt } = operation
    operation.state = 'ended'
    operation.phase = undefined
    this.#bytes -= operation.bytes
    this.#answers.forget(operation)
    if (members === undefined) {
      this.#metrics.ended(kind, this.#deps.clock.elapsed() - startedAt, result)
      operation.reply(result)
    } else {
      const isFailed = result instanceof RingdError
      members.forEach((member, at) => {
        this.#end(member, isFailed ? result : (result as readonly unknown[])[at])
      })
    }
    if (takesTurns(operation)) this.#beginNext(operation)
    if (this.#operations.size === 0) for (const reply of this.#drained.splice(0)) reply(undefined)
  }

  /** The key is free for the next of the operations that wait for it. */
  #beginNext(operation: Operation): void {
    const next = this.#turns.left(operation)
    // While this peer stops, each of them is ended.
    if (next === undefined || this.#view === undefined) return
    const { members } = next
    if (members !== undefined) {
      for (const member of members) member.state = 'joined'
      this.#metrics.joined.add(members.length)
      this.#add(next)
    }
    this.#runner.beginPhase(next)
  }

  // ---- retries, hedges and deadlines ----

  #sweep(): void {
    if (this.#operations.size === 0) this.#sweepTimer = void this.#sweepTimer?.cancel()
    const now = this.#deps.clock.elapsed()
    for (const operation of this.#operations) {
      const { state, step, startedAt } = operation
      const tookMs = now - startedAt
      if (state === 'joined') continue
      if (tookMs >= this.#timeoutMs) this.#fail(operation, timedOut(operation))
      // Too young for any retry or hedge.
      else if (state === 'pauses' || tookMs >= (step === 'reading' ? HEDGE_MS_MIN : RETRY_MS)) {
        this.#runner.tick(operation, now)
      }
    }
  }
}
