// Measures the cost of a ring of a given size: idle traffic, one join, ten joins at once, a member that stops
// answering, and the memory of a node. Times are virtual, except CPU time. Traffic is per member; for events it is the
// traffic beyond that of an idle ring.
import type { MemberId } from '../../../lib/member.js'
import { newestConfig } from '../../../lib/views/configs.js'
import type { RingView } from '../../../lib/views/ring-view.js'
import { type ScaleNode, ScaleRing } from './ring.js'
import { type Count, difference, type TrafficCounts, total } from './traffic.js'

/** Counts by kind of message. */
export type Kinds = Readonly<Record<string, Count>>

export interface IdleReport {
  readonly perMemberSecond: Count
  readonly kinds: Kinds
  /** CPU time for one virtual second of the whole ring, ms. */
  readonly cpuMsPerSecond: number
}

export interface JoinReport {
  readonly joiners: number
  readonly views: number
  /** From the start of the joiners until all members know the last view. */
  readonly agreedMs: number
  /** Until all members know that all slots are settled. */
  readonly settledMs: number
  /** Until all members know that all owners are ready. */
  readonly wholeMs: number
  readonly perMember: Count
  readonly kinds: Kinds
  readonly cpuMs: number
}

/** One member stops answering; its links stay open. */
export interface SilenceReport {
  /** Until the first other member marks it as down. */
  readonly firstMs: number
  /** Until all other members mark it as down. */
  readonly lastMs: number
  readonly perMember: Count
  readonly kinds: Kinds
}

export interface ScaleReport {
  readonly members: number
  readonly idle: IdleReport
  readonly one: JoinReport
  readonly ten: JoinReport
  readonly silence: SilenceReport
  /** Heap of the process, divided by the number of members. */
  readonly heapBytesPerMember: number
  /** Resident memory of the process, divided by the number of members. */
  readonly rssBytesPerMember: number
  /** User and system time of the whole measurement. */
  readonly cpuMs: number
}

const WARM_UP_MS = 2000
const IDLE_MS = 10_000
/** All times are multiples of this. */
const STEP_MS = 10
const LIMIT_MS = 120_000

export async function measureScale(
  members: number,
  seed: number,
  progress: (text: string) => void
): Promise<ScaleReport> {
  const started = cpuMs()
  const done = (what: string) =>
    progress(`${members} members: ${what}, ${Math.round((cpuMs() - started) / 1000)} s of CPU`)
  const ring = new ScaleRing(seed)
  await ring.found(members)
  done('founded')
  await ring.clock.advance(WARM_UP_MS)
  const idle = await measureIdle(ring)
  done('idle')
  const one = await measureJoin(ring, 1, idle)
  done('one joined')
  const ten = await measureJoin(ring, 10, idle)
  done('ten joined')
  const { heapUsed, rss } = memory()
  const silence = await measureSilence(ring, idle)
  done('one stopped answering')
  const heapBytesPerMember = heapUsed / members
  const rssBytesPerMember = rss / members
  return { members, idle, one, ten, silence, heapBytesPerMember, rssBytesPerMember, cpuMs: cpuMs() - started }
}

async function measureIdle(ring: ScaleRing): Promise<IdleReport> {
  const before = ring.hub.traffic.counts
  const started = cpuMs()
  await ring.clock.advance(IDLE_MS)
  const cpuMsPerSecond = ((cpuMs() - started) / IDLE_MS) * 1000
  const share = 1000 / (IDLE_MS * ring.nodes.length)
  const counts = difference(before, ring.hub.traffic.counts)
  return { perMemberSecond: scaled(total(counts), share), kinds: kindsOf(counts, share), cpuMsPerSecond }
}

async function measureJoin(ring: ScaleRing, joiners: number, idle: IdleReport): Promise<JoinReport> {
  const { clock, hub, nodes } = ring
  const before = hub.traffic.counts
  const number = nodes[0]!.node.view!.number
  const started = cpuMs()
  const from = clock.elapsed()
  await ring.join(joiners)
  const agreedMs = await untilAll(ring, from, nodes, isMemberOf(nodes.length))
  const settledMs = await untilAll(ring, from, nodes, ({ node }) => isSettled(node.view!))
  const wholeMs = await untilAll(ring, from, nodes, wholeness(nodes[0]!.node.view!))
  const beyond = beyondIdle(difference(before, hub.traffic.counts), idle, wholeMs, nodes.length)
  const views = nodes[0]!.node.view!.number - number
  const spent = cpuMs() - started
  return {
    joiners,
    views,
    agreedMs,
    settledMs,
    wholeMs,
    perMember: total(beyond),
    kinds: kindsOf(beyond, 1),
    cpuMs: spent
  }
}

async function measureSilence(ring: ScaleRing, idle: IdleReport): Promise<SilenceReport> {
  const { clock, hub } = ring
  const before = hub.traffic.counts
  const from = clock.elapsed()
  const others = ring.silence()
  let first: number | undefined
  const lastMs = await untilAll(ring, from, others, () => {
    if (others.some(({ down }) => down.members > 0)) first ??= clock.elapsed() - from
    return others.every(({ down }) => down.members > 0)
  })
  const beyond = beyondIdle(difference(before, hub.traffic.counts), idle, lastMs, others.length)
  return { firstMs: first ?? lastMs, lastMs, perMember: total(beyond), kinds: kindsOf(beyond, 1) }
}

/** Runs the clock until each node has reached a state that it does not leave again. Returns virtual ms since `from`. */
async function untilAll(
  { clock }: ScaleRing,
  from: number,
  nodes: readonly ScaleNode[],
  isReached: (node: ScaleNode) => boolean
): Promise<number> {
  let reached = 0
  for (;;) {
    while (reached < nodes.length && isReached(nodes[reached]!)) reached++
    if (reached === nodes.length) return clock.elapsed() - from
    if (clock.elapsed() - from > LIMIT_MS) {
      throw new Error(`only ${reached} of ${nodes.length} nodes are so far after ${LIMIT_MS} virtual ms`)
    }
    await clock.advance(STEP_MS)
  }
}

function isMemberOf(members: number): (node: ScaleNode) => boolean {
  return ({ node: { view } }) => view !== undefined && view.members.size === members && view.isMember
}

function isSettled({ configs }: RingView): boolean {
  return configs.windows.every((window) => window.length === 1)
}

/** A test whether a node knows that all owners are ready for the newest configs. `like` has these configs. */
function wholeness(like: RingView): (node: ScaleNode) => boolean {
  const owned = new Map<MemberId, Array<readonly [slot: number, begin: number]>>()
  like.configs.windows.forEach((window, slot) => {
    const { owners, begin } = newestConfig(window)
    for (const owner of owners) {
      const slots = owned.get(owner)
      if (slots === undefined) owned.set(owner, [[slot, begin]])
      else slots.push([slot, begin])
    }
  })
  const parts = [...owned]
  return ({ node }) => {
    const { readiness } = node.view!
    return parts.every(([owner, slots]) => {
      const ready = readiness.get(owner)
      return slots.every(([slot, begin]) => ready?.[slot] === begin)
    })
  }
}

/** The traffic of each of `members` in `ms`, minus the idle traffic of that time. */
function beyondIdle(counts: TrafficCounts, idle: IdleReport, ms: number, members: number): TrafficCounts {
  return new Map(
    Array.from(counts, ([kind, count]) => {
      const each = scaled(count, 1 / members)
      const usual = scaled(idle.kinds[kind] ?? { messages: 0, bytes: 0 }, ms / 1000)
      return [kind, { messages: each.messages - usual.messages, bytes: each.bytes - usual.bytes }]
    })
  )
}

function kindsOf(counts: TrafficCounts, share: number): Kinds {
  return Object.fromEntries(Array.from(counts, ([kind, count]) => [kind, scaled(count, share)]))
}

function scaled({ messages, bytes }: Count, share: number): Count {
  return { messages: messages * share, bytes: bytes * share }
}

/** Collects garbage first when node was started with --expose-gc. */
function memory(): NodeJS.MemoryUsage {
  globalThis.gc?.()
  return process.memoryUsage()
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
