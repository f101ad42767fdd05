// The plan by which a member becomes ready: which slots it pulls, and from which members. Pure.
// Rule (i): merge the data of n - q + 1 owners of every earlier config in the window; the puller counts itself where it
// owns. Rule (ii): copy the data of one owner that is ready already; the only way when the window has one config.
// Source: rules 5 and 7 of lib/views/README.md.
import type { MemberId } from '../member.js'
import { type Config, type ConfigTable, newestConfig, pullQuorum, type Window } from './configs.js'
import { type Readiness, unreadySlots } from './readiness.js'

/** Slots with one window that are pulled together. */
export interface PullJob {
  /** The window when the job was made. The job ends when a slot of it gets another window. */
  readonly window: Window
  /** The newest config of the window: the job makes the member ready for it. */
  readonly config: Config
  readonly slots: readonly number[]
}

export interface PullPlan {
  /** copy: one source, which must be ready. merge: all sources, one after the other. */
  readonly kind: 'copy' | 'merge'
  readonly sources: readonly MemberId[]
  /** An earlier config keeps fewer owners than a pull must merge: acknowledged writes may be lost. */
  readonly isAtRisk: boolean
}

/** The member that plans, and the state of the others as it knows it. */
export interface Asker {
  readonly self: MemberId
  /** Members that can be asked, without `self`, the best first. */
  readonly preferred: readonly MemberId[]
  readonly readiness: Readiness
  /** Former members that were taken for dead. */
  readonly lost: ReadonlySet<MemberId>
}

/**
 * The jobs of `self`, each of at most `slotsMax` slots, in the order of their first slots: a store merges less of what
 * it has written when keys come almost in their order.
 */
export function pullJobs(table: ConfigTable, self: MemberId, ready: Uint32Array, slotsMax: number): PullJob[] {
  const groups = new Map<Window, number[]>()
  for (const slot of unreadySlots(table, self, ready)) {
    const window = table.windows[slot]!
    const slots = groups.get(window)
    if (slots === undefined) groups.set(window, [slot])
    else slots.push(slot)
  }
  const jobs: PullJob[] = []
  for (const [window, slots] of groups) {
    const config = newestConfig(window)
    for (let at = 0; at < slots.length; at += slotsMax)
      jobs.push({ window, config, slots: slots.slice(at, at + slotsMax) })
  }
  return jobs.sort((one, other) => one.slots[0]! - other.slots[0]!)
}

/** Whether all slots of the job still have the window for which it was made. */
export function isCurrent(job: PullJob, table: ConfigTable): boolean {
  return job.slots.every((slot) => table.windows[slot] === job.window)
}

/**
 * The sources to pull from now; undefined when too few of the needed members can be asked. An empty list of sources
 * means that this member's own data is enough. When a config has lost more owners than a pull can do without, all
 * owners that are left are merged.
 */
export function planPull(job: PullJob, asker: Asker): PullPlan | undefined {
  const { self, preferred, readiness, lost } = asker
  const isReady = (id: MemberId) => job.slots.every((slot) => readiness.get(id)?.[slot] === job.config.begin)
  const ready = preferred.find((id) => job.config.owners.includes(id) && isReady(id))
  if (ready !== undefined) return { kind: 'copy', sources: [ready], isAtRisk: false }
  const earlier = job.window.slice(0, -1)
  if (earlier.length === 0) return undefined
  const sources: MemberId[] = []
  let isAtRisk = false
  for (const config of earlier) {
    const holds = (id: MemberId) => config.owners.includes(id)
    const left = config.owners.filter((id) => id === self || !lost.has(id) || preferred.includes(id)).length
    isAtRisk ||= left < pullQuorum(config)
    let open = Math.min(left, pullQuorum(config)) - (holds(self) ? 1 : 0) - sources.filter(holds).length
    for (const id of preferred) {
      if (open <= 0) break
      if (!holds(id) || sources.includes(id)) continue
      sources.push(id)
      open -= 1
    }
    if (open > 0) return undefined
  }
  return { kind: 'merge', sources, isAtRisk }
}

/**
 * A smaller job, for when the whole one has no plan: the largest part of it for which one member is ready. Undefined
 * when no member that can be asked is ready for any slot of it.
 */
export function narrowed(job: PullJob, { preferred, readiness }: Asker): PullJob | undefined {
  let largest: readonly number[] = []
  for (const id of preferred) {
    if (!job.config.owners.includes(id)) continue
    const ready = readiness.get(id)
    const slots = job.slots.filter((slot) => ready?.[slot] === job.config.begin)
    if (slots.length > largest.length) largest = slots
  }
  return largest.length === 0 ? undefined : { ...job, slots: largest }
}
