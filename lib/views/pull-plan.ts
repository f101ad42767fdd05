// What a member must pull to become ready, and from whom. Pure.
// Rule (i): of every earlier config in the window, snapshots of n - q + 1 owners, itself counted where it owns.
// Rule (ii): one snapshot of a member that is ready for the config already; the only way when the window has one
// config. Rule 5 of the README here.
import type { MemberId } from '../member.js'
import { type Config, type ConfigTable, newestConfig, pullQuorum, type Window } from './configs.js'
import { type Readiness, unreadySlots } from './readiness.js'

/** Slots of one history that are pulled together. */
export interface PullJob {
  /** Fixed when the job was made: a job whose slots have another window now is worth nothing. */
  readonly window: Window
  /** The newest config of the window: what this makes the member ready for. */
  readonly config: Config
  readonly slots: readonly number[]
}

export interface PullPlan {
  /** copy: one source that must be ready. merge: every one of them, one after the other. */
  readonly kind: 'copy' | 'merge'
  readonly sources: readonly MemberId[]
  /** So many owners of an earlier config are lost that what is left of it may lack acknowledged writes. */
  readonly isAtRisk: boolean
}

/** Who plans, and what it knows. */
export interface Asker {
  readonly self: MemberId
  /** Members that can be asked, best first, without `self`. */
  readonly preferred: readonly MemberId[]
  readonly readiness: Readiness
  /** Former members that were taken for dead. */
  readonly lost: ReadonlySet<MemberId>
}

/** The jobs of `self`, each of at most `slotsMax` slots, in slot order. */
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
  return jobs
}

/** Whether the job is still what its slots need. */
export function isCurrent(job: PullJob, table: ConfigTable): boolean {
  return job.slots.every((slot) => table.windows[slot] === job.window)
}

/**
 * Whom to pull from now; undefined when too few of those needed can be asked. `preferred` lists who can be asked,
 * best first, without `self`. No sources: this member's own data is enough. Of a config that has lost more owners than
 * a pull can do without, all that are left are merged.
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
 * The part of the job that one member is ready for: the largest, when no plan can be made for the whole. Undefined when
 * nobody that can be asked is ready for any of it.
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
