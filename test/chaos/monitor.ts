// Looks at the ring through every daemon that should answer: is it whole, and are there members that will never answer
// again? Acts as the operator for those: has them removed, unless the ring evicts by itself.
// Must not take a member for gone while any daemon of the campaign has not told who it is.
import { setTimeout as sleep } from 'node:timers/promises'
import type { StatusReport } from '../../lib/client/reports.js'
import type { MemberId } from '../../lib/member.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { Host } from './host.js'

export interface Look {
  readonly isWhole: boolean
  /** Why it is not, in words. */
  readonly why: string
  /** Members of the newest view that belong to no data directory. */
  readonly ghosts: readonly MemberId[]
}

const POLL_MS = 500
const LOOK_MS_MAX = 5000
/** An operator does not act at once. */
const GHOST_MS_MIN = 4000

export class Monitor {
  readonly #hosts: ReadonlyMap<string, Host>
  readonly #removes: boolean
  readonly #ghostSince = new Map<MemberId, number>()
  #ghosts: readonly MemberId[] = []
  #isOver = false

  /** `removes`: members that are gone are removed by hand. */
  constructor(hosts: ReadonlyMap<string, Host>, removes: boolean) {
    this.#hosts = hosts
    this.#removes = removes
  }

  /** How many members were gone when it looked last. */
  get ghosts(): number {
    return this.#ghosts.length
  }

  /** Never rejects. */
  async look(): Promise<Look> {
    const present = [...this.#hosts.values()].filter(({ state }) => state !== 'free')
    const reports = await Promise.all(present.map((host) => statusOf(host)))
    const known = new Set(present.map(({ storeId }) => storeId))
    const newest = reports.reduce<StatusReport | undefined>((best, report) => {
      return report !== undefined && report.view >= (best?.view ?? 0) ? report : best
    }, undefined)
    const all = reports.every((report) => report !== undefined) && present.every(({ state }) => state === 'up')
    const ghosts = (newest?.members ?? []).filter(({ storeId }) => !known.has(storeId)).map(({ storeId }) => storeId)
    if (all) this.#ghosts = ghosts
    const why = wholeness(present, reports)
    return { isWhole: why === '', why, ghosts: all ? ghosts : [] }
  }

  /** Whether the ring has become whole within `timeoutMs`, and what was wrong last. */
  async untilWhole(timeoutMs: number): Promise<Look> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const look = await this.look()
      if (look.isWhole || performance.now() > deadline || this.#isOver) return look
      await sleep(POLL_MS)
    }
  }

  /** Looks again and again, and removes, until `end`. */
  async run(): Promise<void> {
    while (!this.#isOver) {
      const { ghosts } = await this.look()
      if (this.#removes) await this.#remove(ghosts)
      await sleep(2 * POLL_MS)
    }
  }

  end(): void {
    this.#isOver = true
  }

  async #remove(ghosts: readonly MemberId[]): Promise<void> {
    for (const ghost of this.#ghostSince.keys()) if (!ghosts.includes(ghost)) this.#ghostSince.delete(ghost)
    for (const ghost of ghosts) {
      const since = this.#ghostSince.get(ghost) ?? performance.now()
      this.#ghostSince.set(ghost, since)
      if (performance.now() - since < GHOST_MS_MIN) continue
      const asked = [...this.#hosts.values()].find(({ state }) => state === 'up')
      // Refused while it is not known to be down, or while others are: then it is asked for again.
      await asked?.remove(ghost).catch(() => {})
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
    if (!agree) return `${host.name} sees no agreement`
    if (slots.settled !== SLOTS || slots.moving > 0 || slots.atRisk > 0 || departing.length > 0) {
      return `${host.name} sees slots ${JSON.stringify(slots)}, ${departing.length} departing`
    }
  }
  return ''
}
