// The fence: decides which messages the replica may serve under the views that this member knows. Owns the replica's
// current view, the slots that this member has released, and the messages that wait for a newer view.
// Invariants: an operation is refused when a newer config of its slot is known here. A message of a view that is not
// known here waits until it is known. Nothing is served of a released slot.
// Source: rules 4, 5 and 9 of lib/views/README.md.

import type { Clock, Timer } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { PeerId } from '../../member.js'
import { SLOTS, type SlotRange } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import { newestConfig } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'

/** What the fence needs of a message. */
export interface Fenced {
  /** The newest view that the sender knows. */
  readonly view: number
  /** The sender, which can tell what it knows; undefined for this peer's own actors. */
  readonly from: PeerId | undefined
  readonly reply: Reply<never>
}

export interface FenceDeps {
  readonly clock: Clock
  /** Lets membership learn a newer view from the peer that knows it. */
  readonly catchUp: (peerId: PeerId) => void
  /** A refusal that carries what this peer knows of the ring, for a sender that is behind. */
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
}

/** What this member had on disk about each slot when it started. */
export interface SlotRecords {
  /** The config at which this member released the slot; 0: never. */
  readonly released: Uint32Array
  /** 1: this member dropped entries of the slot for a pull that may not have ended. */
  readonly incomplete: Uint32Array
}

/** How long a message of a newer view is held while this member learns that view; then the answer is BEHIND. */
const BEHIND_TIMEOUT_MS = 2000
/** Messages that may be held at once. Beyond it they are refused. */
const HELD_MAX = 10_000

export class Fence<M extends Fenced> {
  readonly #deps: FenceDeps
  readonly #serve: (message: M) => void
  #released: Uint32Array
  /** 1: `isComplete` has found the slot complete. It stays so until entries are dropped or the slot is released. */
  readonly #complete = new Uint8Array(SLOTS)
  /** As in SlotRecords. */
  #incomplete: Uint32Array
  #view: RingView | undefined
  #held: { readonly message: M; readonly deadline: number }[] = []
  #timer: Timer | undefined

  /** `serve` is called for each held message once its view is known. */
  constructor(deps: FenceDeps, { released, incomplete }: SlotRecords, serve: (message: M) => void) {
    this.#deps = deps
    this.#released = released
    this.#incomplete = incomplete
    this.#serve = serve
  }

  get view(): RingView | undefined {
    return this.#view
  }

  /** Per slot: the config at which this member released it; 0: never. */
  get released(): Uint32Array {
    return this.#released
  }

  moveTo(view: RingView): void {
    this.#view = view
    const held = this.#held
    this.#held = []
    for (const waiting of held) {
      if (waiting.message.view > view.number) this.#held.push(waiting)
      else this.#serve(waiting.message)
    }
  }

  /** Whether an operation on the slot may be served now. If not, it has been refused or is held. */
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

  /** Whether the view of the message is known here. If not, the message is held while membership learns the view. */
  knows(message: M): boolean {
    if (this.#view === undefined) {
      message.reply(new RingdError('NOT_SERVING'))
      return false
    }
    if (message.view <= this.#view.number) return true
    if (this.#held.length >= HELD_MAX) {
      message.reply(new RingdError('OVERLOADED', 'too many requests wait for a newer view'))
      return false
    }
    if (message.from !== undefined && this.#held.length === 0) this.#deps.catchUp(message.from)
    this.#held.push({ message, deadline: this.#deps.clock.elapsed() + BEHIND_TIMEOUT_MS })
    this.#timer ??= this.#deps.clock.after(BEHIND_TIMEOUT_MS, () => this.#refuseHeld())
    return false
  }

  /** This member released the slot, and owns it in no later config of the window. */
  isReleased(slot: number): boolean {
    const at = this.#released[slot]!
    if (at === 0) return false
    const window = this.#view?.configs.windows[slot]
    return window === undefined || !window.some(({ begin, owners }) => begin > at && owners.includes(this.#view!.self))
  }

  /**
   * The refusal of a pull for `config`, or undefined. This member cannot be a source when it released one of the slots
   * at `config` or at a later one: even when it owns the slot again, it may lack all entries from before the release.
   */
  refusesPull(config: number, ranges: readonly SlotRange[], theirView: number): RingdError | undefined {
    for (const { first, last } of ranges) {
      for (let slot = first; slot <= last; slot++) {
        if (this.#released[slot]! >= config || this.isReleased(slot)) return this.#deps.refuse('NOT_OWNER', theirView)
      }
    }
    return undefined
  }

  /** The refusal when `config` is not the newest config of the slot, or this member is no owner in it; or undefined. */
  refusesOwner(config: number, slot: number, theirView: number): RingdError | undefined {
    const newest = newestConfig(this.#view!.configs.windows[slot]!)
    if (newest.begin === config && newest.owners.includes(this.#view!.self)) return undefined
    return this.#deps.refuse(newest.begin > config ? 'STALE_VIEW' : 'NOT_OWNER', theirView)
  }

  /** The slot has one config in its window, and this member is ready for it. */
  isWhole(slot: number): boolean {
    const { configs, readiness, self } = this.#view!
    const window = configs.windows[slot]!
    return window.length === 1 && readiness.get(self)?.[slot] === window[0]!.begin
  }

  /**
   * This member is or was ready for a config in which it owns the slot, and has dropped nothing of the slot since. So
   * it lacks no entry that is older than that, even while the slot moves again.
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

  /**
   * Entries of the slot are about to be dropped, so it is not complete any more. Returns the table that must be on
   * disk first: without it the slot would count as complete after a restart.
   */
  forget(slot: number): Uint32Array {
    this.#complete[slot] = 0
    this.#incomplete = this.#incomplete.slice()
    this.#incomplete[slot] = 1
    return this.#incomplete
  }

  /**
   * Releases the slots in memory: nothing of them is served from now on. False, and nothing done, unless `config` is
   * the only config in the window of every slot, and this member owns none of them.
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
    for (const { message } of this.#held.splice(0)) message.reply(new RingdError('STOPPED'))
  }

  #refuseHeld(): void {
    const now = this.#deps.clock.elapsed()
    const late = this.#held.filter(({ deadline }) => deadline <= now)
    this.#held = this.#held.filter(({ deadline }) => deadline > now)
    this.#timer = undefined
    const next = this.#held[0]
    if (next !== undefined) this.#timer = this.#deps.clock.after(next.deadline - now, () => this.#refuseHeld())
    for (const { message } of late) message.reply(new RingdError('BEHIND'))
  }
}
