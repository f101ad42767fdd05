// Asks every daemon that should answer for its status: whether the ring is whole, and which members will never answer
// again. Acts as the operator: removes those members, unless the ring evicts by itself.
// Must not treat a member as dead before every daemon of the campaign has reported which member it is.
import { setTimeout as sleep } from 'node:timers/promises'
import type { StatusReport } from '../../lib/client/reports.js'
import type { MemberId } from '../../lib/member.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { Host } from './host.js'

export interface Look {
  readonly isWhole: boolean
  /** Why the ring is not whole; empty when it is. */
  readonly why: string
  /** Members of the newest view whose data directory no longer exists. */
  readonly deadMembers: readonly MemberId[]
}

const POLL_MS = 500
const LOOK_MS_MAX = 5000
/** The operator removes a dead member only after this time. */
const DEAD_MS_MIN = 4000

export class Monitor {
  readonly #hosts: ReadonlyMap<string, Host>
  readonly #removes: boolean
  readonly #deadSince = new Map<MemberId, number>()
  #deadMembers: readonly MemberId[] = []
  #isOver = false

  /** `removes`: whether the monitor removes dead members. */
  constructor(hosts: ReadonlyMap<string, Host>, removes: boolean) {
    this.#hosts = hosts
    this.#removes = removes
  }

  /** How many members were dead at the last look. */
  get deadMembers(): number {
    return this.#deadMembers.length
  }

  /** Reads the status of all daemons. Never rejects. */
  async look(): Promise<Look> {
    const present = [...this.#hosts.values()].filter(({ state }) => state !== 'free')
    const reports = await Promise.all(present.map((host) => statusOf(host)))
    const known = new Set(present.map(({ storeId }) => storeId))
    const newest = reports.reduce<StatusReport | undefined>((best, report) => {
      return report !== undefined && report.view >= (best?.view ?? 0) ? report : best
    }, undefined)
    const all = reports.every((report) => report !== undefined) && present.every(({ state }) => state === 'up')
    const deadMembers = (newest?.members ?? [])
      .filter(({ storeId }) => !known.has(storeId))
      .map(({ storeId }) => storeId)
    if (all) this.#deadMembers = deadMembers
    const why = wholeness(present, reports)
    return { isWhole: why === '', why, deadMembers: all ? deadMembers : [] }
  }

  /** Waits until the ring is whole, at most `timeoutMs`. Returns the last look. */
  async untilWhole(timeoutMs: number): Promise<Look> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const look = await this.look()
      if (look.isWhole || performance.now() > deadline || this.#isOver) return look
      await sleep(POLL_MS)
    }
  }

  /** Looks repeatedly, and removes dead members, until `end`. */
  async run(): Promise<void> {
    while (!this.#isOver) {
      const { deadMembers } = await this.look()
      if (this.#removes) await this.#remove(deadMembers)
      await sleep(2 * POLL_MS)
    }
  }

  end(): void {
    this.#isOver = true
  }

  async #remove(deadMembers: readonly MemberId[]): Promise<void> {
    for (const member of this.#deadSince.keys()) if (!deadMembers.includes(member)) this.#deadSince.delete(member)
    for (const member of deadMembers) {
      const since = this.#deadSince.get(member) ?? performance.now()
      this.#deadSince.set(member, since)
      if (performance.now() - since < DEAD_MS_MIN) continue
      const asked = [...this.#hosts.values()].find(({ state }) => state === 'up')
      // A daemon refuses while it does not know that the member is down, or while others are down. The next look asks
      // again.
      await asked?.remove(member).catch(() => {})
    }
  }
}

async function statusOf(host: Host): Promise<StatusReport | undefined> {
  if (!host.isRunning || host.isFrozen) return undefined
  const asking = host.status().catch(() => undefined)
  const report = await Promise.race([asking, sleep(LOOK_MS_MAX, undefined)])
  if (report !== undefined) await host.learnId()
  return report
}

function wholeness(hosts: readonly Host[], reports: readonly (StatusReport | undefined)[]): string {
  for (const [index, host] of hosts.entries()) {
    const report = reports[index]
    if (host.state !== 'up') return `${host.name} is ${host.state}`
    if (report === undefined) return `${host.name} does not answer`
    const { members, slots, agree, digest, departing } = report
    const states = members.map(({ state }) => state)
    if (digest !== reports[0]?.digest) return `${host.name} and ${hosts[0]?.name} know different views`
    if (members.length !== hosts.length) return `${host.name} sees ${members.length} members of ${hosts.length}`
    if (states.some((state) => state !== 'up')) return `${host.name} sees members ${states.join(', ')}`
    if (!agree) return `${host.name} sees members that do not agree on the view`
    if (slots.settled !== SLOTS || slots.moving > 0 || slots.atRisk > 0 || departing.length > 0) {
      return `${host.name} sees slots ${JSON.stringify(slots)}, ${departing.length} departing`
    }
  }
  return ''
}
