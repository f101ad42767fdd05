// The fence: which messages this replica may serve under what it knows of the ring. Part of the storage actor.
// Owns the picture of the ring as storage works by it, the slots that this member gave up, and the messages that wait
// for a newer view.
// Invariants: an operation of an older config than the newest known one of its slot is refused; one of a view that is
// not known here waits until it is; nothing is served of a slot that was given up.
// Source: rules 4, 5 and 9 of lib/views/README.md.

import type { Clock, Timer } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { PeerId } from '../../member.js'
import { SLOTS, type SlotRange } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import { newestConfig } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'

/** What every message that passes the fence says of itself. */
export interface Fenced {
  /** The newest view of whoever sent it, and who can tell more of that; undefined for this peer's own actors. */
  readonly view: number
  readonly from: PeerId | undefined
  readonly reply: Reply<never>
}

export interface FenceDeps {
  readonly clock: Clock
  /** Has membership learn the newer view that this peer knows. */
  readonly catchUp: (peerId: PeerId) => void
  /** A refusal that teaches whoever is behind. */
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
}

/** Facts of a former life, per slot. */
export interface SlotRecords {
  /** The config at which this member gave the slot up; 0: never. */
  readonly released: Uint32Array
  /** 1: it has forgotten something of it since it was ready for it. */
  readonly incomplete: Uint32Array
}

/** What a replica answers with the fence in its way waits so long for the newer view. */
const BEHIND_TIMEOUT_MS = 2000
const HELD_MAX = 10_000

export class Fence<M extends Fenced> {
  readonly #deps: FenceDeps
  readonly #serve: (message: M) => void
  #released: Uint32Array
  /** Known to be complete, since it was asked. */
  readonly #complete = new Uint8Array(SLOTS)
  /** 1: something of the slot was forgotten for a pull that may not have ended. */
  #incomplete: Uint32Array
  #view: RingView | undefined
  #held: { readonly message: M; readonly deadline: number }[] = []
  #timer: Timer | undefined

  /** `serve` is called again for what was held. */
  constructor(deps: FenceDeps, { released, incomplete }: SlotRecords, serve: (message: M) => void) {
    this.#deps = deps
    this.#released = released
    this.#incomplete = incomplete
    this.#serve = serve
  }

  get view(): RingView | undefined {
    return this.#view
  }

  /** Per slot the config at which this member gave it up; 0: never. */
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

  /** Whether an operation on the slot may be served now; else it is answered, or held. */
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
    if (this.#held.length >= HELD_MAX) {
      message.reply(new RingdError('OVERLOADED', 'too many requests wait for a newer view'))
      return false
    }
    if (message.from !== undefined && this.#held.length === 0) this.#deps.catchUp(message.from)
    this.#held.push({ message, deadline: this.#deps.clock.elapsed() + BEHIND_TIMEOUT_MS })
    this.#timer ??= this.#deps.clock.after(BEHIND_TIMEOUT_MS, () => this.#refuseHeld())
    return false
  }

  /** This member gave the slot up, and owns it in no later config of the window. */
  isReleased(slot: number): boolean {
    const at = this.#released[slot]!
    if (at === 0) return false
    const window = this.#view?.configs.windows[slot]
    return window === undefined || !window.some(({ begin, owners }) => begin > at && owners.includes(this.#view!.self))
  }

  /**
   * Why this member is no source for a pull for `config` of these slots, if so: it gave one up when `config` or a later
   * one had settled. As an owner again it may hold nothing of what came before.
   */
  refusesPull(config: number, ranges: readonly SlotRange[], theirView: number): RingdError | undefined {
    for (const { first, last } of ranges) {
      for (let slot = first; slot <= last; slot++) {
        if (this.#released[slot]! >= config || this.isReleased(slot)) return this.#deps.refuse('NOT_OWNER', theirView)
      }
    }
    return undefined
  }

  /** Why this member is no owner of the slot in `config`, if so. */
  refusesOwner(config: number, slot: number, theirView: number): RingdError | undefined {
    const newest = newestConfig(this.#view!.configs.windows[slot]!)
    if (newest.begin === config && newest.owners.includes(this.#view!.self)) return undefined
    return this.#deps.refuse(newest.begin > config ? 'STALE_VIEW' : 'NOT_OWNER', theirView)
  }

  /** This member owns the slot in the only config that operations honour, and is ready for it. */
  isWhole(slot: number): boolean {
    const { configs, readiness, self } = this.#view!
    const window = configs.windows[slot]!
    return window.length === 1 && readiness.get(self)?.[slot] === window[0]!.begin
  }

  /**
   * This member has held all that is to have of the slot, and has given nothing of it up since: it was ready for a
   * config in which it owns. What moves later does not change that for what is older.
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

  /** Something of the slot is forgotten. Returns what is to be on disk, so that it does not count after a restart. */
  forget(slot: number): Uint32Array {
    this.#complete[slot] = 0
    this.#incomplete = this.#incomplete.slice()
    this.#incomplete[slot] = 1
    return this.#incomplete
  }

  /**
   * Gives the slots up: nothing of them is served from now on. False, and nothing done, unless `config` is the only one
   * that operations honour, in every slot, and this member owns none of them.
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
