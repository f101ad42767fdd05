// The detector actor: pings every other member each second on the links that are there, and tells who is up.
// Owns what each member said last. Accuses nobody before anyone: others ask it.
import type { Actor, Ref, Reply } from '../actor/actor.js'
import type { Clock } from '../clock.js'
import { judge, type Liveness } from '../detector/liveness.js'
import { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { MemberId } from '../member.js'
import type { Gauge, Metrics } from '../metrics.js'
import type { Network } from '../network/network.js'
import type { Pong } from '../network/wire.js'
import type { RingView } from '../views/ring-view.js'

export type DetectorMessage =
  | { readonly type: 'view'; readonly view: RingView }
  | { readonly type: 'tick' }
  | { readonly type: 'pong'; readonly member: MemberId; readonly pong: Pong }
  | { readonly type: 'health'; readonly reply: Reply<Health> }

/** What is known of each other member of the newest view. */
export type Health = ReadonlyMap<MemberId, MemberHealth>

export interface MemberHealth {
  readonly liveness: Liveness
  /** What it said last; undefined when it has never answered here. */
  readonly pong: Pong | undefined
}

export interface DetectorDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly self: Ref<DetectorMessage>
}

/** How often the owner sends `tick`. */
export const DETECTOR_TICK_MS = 1000
const PING_TIMEOUT_MS = 3000

interface Watched {
  heardAt: number
  liveness: Liveness
  pong: Pong | undefined
}

export class Detector implements Actor<DetectorMessage> {
  readonly #deps: DetectorDeps
  readonly #watched = new Map<MemberId, Watched>()
  readonly #down: Gauge
  #view: RingView | undefined

  constructor(deps: DetectorDeps) {
    this.#deps = deps
    this.#down = deps.metrics.gauge('ringd_detector_down_members', 'members that this peer takes for down')
  }

  receive(batch: readonly DetectorMessage[]): void {
    for (const message of batch) {
      if (message.type === 'view') this.#handleView(message.view)
      else if (message.type === 'tick') this.#handleTick()
      else if (message.type === 'pong') this.#handlePong(message.member, message.pong)
      else this.#handleHealth(message.reply)
    }
  }

  #handleView(view: RingView): void {
    this.#view = view
    for (const id of this.#watched.keys()) if (!view.members.has(id)) this.#watched.delete(id)
    const heardAt = this.#deps.clock.elapsed()
    for (const id of view.members.keys()) {
      if (id !== view.self && !this.#watched.has(id))
        this.#watched.set(id, { heardAt, liveness: 'suspect', pong: undefined })
    }
  }

  #handleTick(): void {
    const { network, self } = this.#deps
    const view = this.#view
    if (view === undefined) return
    this.#judgeAll()
    for (const member of this.#watched.keys()) {
      const peerId = view.peerIds.get(member)!
      if (!this.#isLinked(member)) continue
      network.request(peerId, 'control', { ping: { view: view.number } }, PING_TIMEOUT_MS, (answer) => {
        if (answer instanceof RingdError || answer.pong === undefined) return
        self.signal({ type: 'pong', member, pong: answer.pong })
      })
    }
  }

  #handlePong(member: MemberId, pong: Pong): void {
    const watched = this.#watched.get(member)
    if (watched === undefined) return
    watched.heardAt = this.#deps.clock.elapsed()
    watched.pong = pong
    this.#judgeAll()
  }

  #handleHealth(reply: Reply<Health>): void {
    this.#judgeAll()
    reply(new Map(Array.from(this.#watched, ([id, { liveness, pong }]) => [id, { liveness, pong }])))
  }

  #judgeAll(): void {
    const now = this.#deps.clock.elapsed()
    let down = 0
    for (const [member, watched] of this.#watched) {
      const { heardAt, liveness } = watched
      watched.liveness = judge({ isLinked: this.#isLinked(member), heardAt }, now)
      if (watched.liveness === 'down') down += 1
      if (watched.liveness === liveness) continue
      this.#deps.log.info(
        { member, from: liveness, to: watched.liveness, silentMs: Math.round(now - heardAt) },
        'member state'
      )
    }
    this.#down.set(down)
  }

  #isLinked(member: MemberId): boolean {
    const peerId = this.#view?.peerIds.get(member)
    return peerId !== undefined && this.#deps.network.link(peerId)?.storeId === member
  }
}
