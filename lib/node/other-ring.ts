// Notices when another ring answers at the address of a member, or when members of another ring dial this peer: mostly
// a member that came back with an empty directory and founded a ring of its own. Owns the condition `other-ring`. Part
// of the node.
// A member is dialled under its peer id, so a peer with another id at its address is never heard. So the address of a
// member that is away is dialled now and then without the id: the hello tells the ring.
import { type Clock, every, type Timer } from '../clock.js'
import type { Conditions } from '../conditions.js'
import { toRingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import type { Network } from '../network/network.js'
import type { RingView } from '../views/ring-view.js'

export interface OtherRingDeps {
  readonly clock: Clock
  readonly conditions: Pick<Conditions, 'set' | 'clear'>
  readonly network: Pick<Network, 'dial' | 'link' | 'peerId'>
  readonly view: () => RingView | undefined
  readonly addressesOf: (member: MemberId) => readonly string[]
}

const TICK_MS = 1000
const DIAL_TIMEOUT_MS = 3000
/** A member that is away is dialled without its id after this, then with growing pauses. */
const FIRST_MS = 3000
const PAUSE_MS_MAX = 60_000
/** A dial of another ring counts for this long. */
const HEARD_MS = 120_000
/** Stands for the address to join by, beside the ids of members. */
const JOIN = ''

interface Away {
  pauseMs: number
  nextAt: number
}

export class OtherRing {
  readonly #deps: OtherRingDeps
  readonly #away = new Map<MemberId, Away>()
  /** Addresses at which another ring has answered, by the member that they belong to, or JOIN. */
  readonly #answered = new Map<MemberId, string>()
  #joinAddress = ''
  #heardAt = Number.NEGATIVE_INFINITY
  #isDialling = false
  #timer: Timer | undefined

  constructor(deps: OtherRingDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#timer = every(this.#deps.clock, TICK_MS, () => this.#tick())
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** The peer at an address to join by belongs to another ring. */
  atJoinAddress(address: string): void {
    this.#joinAddress = address
    this.#answered.set(JOIN, address)
    this.#away.set(JOIN, { pauseMs: PAUSE_MS_MAX, nextAt: this.#deps.clock.elapsed() + PAUSE_MS_MAX })
    this.#note()
  }

  /**
   * A peer of another ring was met, on a connection that either side has dialled. In a ring of one this is a condition:
   * larger rings are dialled by others that were told a wrong address.
   */
  refused(): void {
    this.#heardAt = this.#deps.clock.elapsed()
    this.#note()
  }

  #tick(): void {
    const view = this.#deps.view()
    if (view === undefined || !view.isMember) return
    this.#watch(view)
    this.#note()
    const now = this.#deps.clock.elapsed()
    if (this.#isDialling) return
    for (const [member, away] of this.#away) {
      if (now < away.nextAt) continue
      const address = member === JOIN ? this.#joinAddress : this.#deps.addressesOf(member)[0]?.split('/p2p/')[0]
      away.nextAt = now + away.pauseMs
      away.pauseMs = Math.min(PAUSE_MS_MAX, 2 * away.pauseMs)
      if (address === undefined || address === '') continue
      void this.#dial(member, address)
      return
    }
  }

  /** Follows which members are away. */
  #watch(view: RingView): void {
    const { network, clock } = this.#deps
    for (const [id, { peerId }] of view.members) {
      if (id === view.self || network.link(peerId) !== undefined) {
        this.#away.delete(id)
        this.#answered.delete(id)
      } else if (!this.#away.has(id)) this.#away.set(id, { pauseMs: FIRST_MS, nextAt: clock.elapsed() + FIRST_MS })
    }
    for (const tracked of [this.#away, this.#answered]) {
      for (const id of tracked.keys()) if (id !== JOIN && !view.members.has(id)) tracked.delete(id)
    }
  }

  async #dial(member: MemberId, address: string): Promise<void> {
    this.#isDialling = true
    try {
      await this.#deps.network.dial(address, DIAL_TIMEOUT_MS)
      this.#answered.delete(member)
    } catch (thrown) {
      if (toRingdError(thrown).code === 'WRONG_RING') this.#answered.set(member, address)
      else this.#answered.delete(member)
    } finally {
      this.#isDialling = false
    }
    this.#note()
  }

  #note(): void {
    const { conditions, clock, view } = this.#deps
    const [first] = this.#answered
    const isHeard = clock.elapsed() - this.#heardAt < HEARD_MS && view()?.members.size === 1
    if (first !== undefined) conditions.set('other-ring', answeredText(first))
    else if (isHeard) conditions.set('other-ring', HEARD)
    else conditions.clear('other-ring')
  }
}

const HEARD =
  'members of another ring dial this peer, which founded a ring of its own: to be a member of theirs, it needs an ' +
  'empty directory and --join'

function answeredText([member, address]: readonly [MemberId, string]): string {
  const whose = member === JOIN ? 'to join by' : `of member ${member.slice(0, 8)}`
  return (
    `the address ${whose}, ${address.slice(0, 64)}, answers for another ring: stop that peer, empty its directory, ` +
    'and start it with --join'
  )
}
