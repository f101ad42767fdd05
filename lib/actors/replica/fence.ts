// The fence: which messages this replica may serve under the views that it knows. Part of the replica.
// Owns the view by which the replica works, the slots that this member released, and the messages that wait for a newer
// view.
// Invariants: an operation of an older config than the newest known one of its slot is refused. An operation of a view
// that is not known here waits until it is known. Nothing is served of a released slot.
// Source: rules 4, 5 and 9 of lib/views/README.md.

import type { Clock, Timer } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { MemberId, PeerId } from '../../member.js'
import type { Link } from '../../network/network.js'
import { SLOTS, type SlotRange } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import { newestConfig, type Window } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'
import { HeldMessages } from './held-messages.js'

/** The fields that the fence needs of every message. */
export interface Fenced {
  /** The number of the newest view that the sender knows. */
  readonly view: number
  /** The member that knows this view; undefined for this peer's own actors. */
  readonly from: Link | undefined
  readonly reply: Reply<never>
}

export interface FenceDeps {
  readonly clock: Clock
  /** Lets membership learn the newer view that this peer knows. */
  readonly catchUp: (peerId: PeerId) => void
  /** A refusal that brings the views which the sender lacks. */
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
}

/** Records of the slots from before a restart. */
export interface SlotRecords {
  /** The config at which this member released the slot; 0: never. */
  readonly released: Uint32Array
  /** 1: this member has dropped entries of the slot since it was ready for it. */
  readonly incomplete: Uint32Array
}

/** How long a request of a newer view is held while this replica catches up; then it is refused with BEHIND. */
const BEHIND_TIMEOUT_MS = 2000
/** Decides whether a message may be served now, must be refused, or must wait for a newer view. */
export class Fence<M extends Fenced> {
  readonly #deps: FenceDeps
  readonly #serve: (message: M) => void
  readonly #sizeOf: (message: M) => number
  #released: Uint32Array
  /** 1: the slot is known to be complete (`isComplete`). */
  readonly #complete = new Uint8Array(SLOTS)
  /** 1: entries of the slot were dropped for a pull that may not have ended. */
  #incomplete: Uint32Array
  #view: RingView | undefined
  readonly #held = new HeldMessages<M>()
  #timer: Timer | undefined

  /** `serve` is called again for messages that were held. `sizeOf`: the bytes of entries and keys in a message. */
  constructor(
    deps: FenceDeps,
    { released, incomplete }: SlotRecords,
    serve: (message: M) => void,
    sizeOf: (message: M) => number = () => 0
  ) {
    this.#deps = deps
    this.#released = released
    this.#incomplete = incomplete
    this.#serve = serve
    this.#sizeOf = sizeOf
  }

  get view(): RingView | undefined {
    return this.#view
  }

  /** Per slot the config at which this member released it; 0: never. */
  get released(): Uint32Array {
    return this.#released
  }

  moveTo(view: RingView): void {
    this.#view = view
    for (const message of this.#held.take((held) => held.view <= view.number)) this.#serve(message)
  }

  /** Whether an operation on the slot may be served now. Otherwise it is refused or held here. */
  admits(message: M, slot: number): boolean {
    if (!this.knows(message)) return false
    if (newestConfig(this.#view!.configs.windows[slot]!).begin > message.view) {
      message.reply(this.#deps.refuse('STALE_VIEW', message.view))
      return false
    }
    if (!this.isReleased(slot)) return true
    message.reply(this.#deps.refuse('NOT_OWNER', message.view))
    return false
  }

  /** Whether the view of the message is known here; otherwise it is held, and membership catches up. */
  knows(message: M): boolean {
    if (this.#view === undefined) {
      message.reply(new RingdError('NOT_SERVING'))
      return false
    }
    if (message.view <= this.#view.number) return true
    const peer = message.from?.peerId
    const deadline = this.#deps.clock.elapsed() + BEHIND_TIMEOUT_MS
    // Each peer is asked for its views: another one may name views that do not exist, or have gone.
    const isFirst = !this.#held.holds(peer)
    if (!this.#held.add({ message, peer, bytes: this.#sizeOf(message), deadline })) {
      message.reply(new RingdError('OVERLOADED', 'too many requests wait for a newer view'))
      return false
    }
    if (peer !== undefined && isFirst) this.#deps.catchUp(peer)
    this.#timer ??= this.#deps.clock.after(BEHIND_TIMEOUT_MS, () => this.#refuseHeld())
    return false
  }

  /** Whether this member released the slot, and owns it in no later config of the window. */
  isReleased(slot: number): boolean {
    const at = this.#released[slot]!
    if (at === 0) return false
    const window = this.#view?.configs.windows[slot]
    return window === undefined || !window.some(({ begin, owners }) => begin > at && owners.includes(this.#view!.self))
  }

  /**
   * The refusal of a pull for `config` of these slots, when this member is no source for it: it released one of them
   * when `config` or a later one had settled. As an owner again it may lack every entry from before. Also the refusal
   * of a puller that does not own all of these slots in `config`.
   */
  refusesPull(
    config: number,
    ranges: readonly SlotRange[],
    theirView: number,
    puller: MemberId
  ): RingdError | undefined {
    let owned: Window | undefined
    for (const { first, last } of ranges) {
      for (let slot = first; slot <= last; slot++) {
        if (this.#released[slot]! >= config || this.isReleased(slot)) return this.#deps.refuse('NOT_OWNER', theirView)
        const window = this.#view!.configs.windows[slot]!
        if (window !== owned && !window.some(({ begin, owners }) => begin === config && owners.includes(puller))) {
          const hasMoved = newestConfig(window).begin > config
          return this.#deps.refuse(hasMoved ? 'STALE_VIEW' : 'NOT_OWNER', theirView)
        }
        owned = window
      }
    }
    return undefined
  }

  /** The refusal, when this member is no owner of the slot in `config`. */
  refusesOwner(config: number, slot: number, theirView: number): RingdError | undefined {
    const newest = newestConfig(this.#view!.configs.windows[slot]!)
    if (newest.begin === config && newest.owners.includes(this.#view!.self)) return undefined
    return this.#deps.refuse(newest.begin > config ? 'STALE_VIEW' : 'NOT_OWNER', theirView)
  }

  /** Whether the member owns the slot in the newest config. */
  isOwner(slot: number, member: MemberId): boolean {
    return newestConfig(this.#view!.configs.windows[slot]!).owners.includes(member)
  }

  /** Whether operations on the slot ask this member: it owns the slot in some config of the window. */
  isAsked(slot: number): boolean {
    const view = this.#view
    return view !== undefined && view.configs.windows[slot]!.some(({ owners }) => owners.includes(view.self))
  }

  /** Whether this member owns the slot in the only config of its window, and is ready for it. */
  isWhole(slot: number): boolean {
    const { configs, readiness, self } = this.#view!
    const window = configs.windows[slot]!
    return window.length === 1 && readiness.get(self)?.[slot] === window[0]!.begin
  }

  /**
   * Whether this member has held every entry of the slot at some time, and has dropped none since: it was ready for a
   * config in which it owns. A later move does not change that for older entries.
   */
  isComplete(slot: number): boolean {
    if (this.#complete[slot] === 1) return true
    const { configs, readiness, self } = this.#view!
    const ready = readiness.get(self)?.[slot]
    const window = configs.windows[slot]!
    const isNewest = newestConfig(window).begin === ready
    const mayCount = (begin: number) => isNewest || (this.#incomplete[slot] === 0 && begin > this.#released[slot]!)
    const isIt = window.some(({ begin, owners }) => begin === ready && owners.includes(self) && mayCount(begin))
    if (isIt) this.#complete[slot] = 1
    return isIt
  }

  /** Entries of the slot are dropped. Returns the table to write, so that the slot does not count after a restart. */
  forget(slot: number): Uint32Array {
    this.#complete[slot] = 0
    this.#incomplete = this.#incomplete.slice()
    this.#incomplete[slot] = 1
    return this.#incomplete
  }

  /**
   * Releases the slots: nothing of them is served from now on. False, and nothing done, unless `config` is the only one
   * in the window of every slot, and this member owns none of them.
   */
  release(config: number, slots: readonly number[]): boolean {
    const view = this.#view
    if (view === undefined) return false
    const isOver = slots.every((slot) => {
      const window = view.configs.windows[slot]!
      return window.length === 1 && window[0]!.begin === config && !window[0]!.owners.includes(view.self)
    })
    if (!isOver) return false
    const released = this.#released.slice()
    for (const slot of slots) {
      released[slot] = Math.max(released[slot]!, config)
      this.#complete[slot] = 0
    }
    this.#released = released
    return true
  }

  end(): void {
    this.#timer?.cancel()
    for (const message of this.#held.take(() => true)) message.reply(new RingdError('STOPPED'))
  }

  #refuseHeld(): void {
    const now = this.#deps.clock.elapsed()
    const late = this.#held.take((_, deadline) => deadline <= now)
    this.#timer = undefined
    const next = this.#held.firstDeadline
    if (next !== undefined) this.#timer = this.#deps.clock.after(next - now, () => this.#refuseHeld())
    for (const message of late) message.reply(new RingdError('BEHIND'))
  }
}
