// What a ring of a given size costs: idle traffic, a join, ten joins at once, the memory of a node. Measures only.
// Times are virtual, but for wall time; traffic of a join is counted beyond what the ring says when it is idle.
import { systemClock } from '../../lib/system-clock.js'
import { newestConfig } from '../../lib/views/configs.js'
import type { RingView } from '../../lib/views/ring-view.js'
import { ScaleRing } from './scale-ring.js'
import { type Count, difference, type TrafficCounts, total } from './scale-traffic.js'

/** What one member sends in a second, or in all. */
export type Kinds = Readonly<Record<string, Count>>

export interface IdleReport {
  readonly perMemberSecond: Count
  readonly kinds: Kinds
  /** Wall ms that a virtual second of the whole ring takes. */
  readonly wallMsPerSecond: number
}

export interface JoinReport {
  readonly joiners: number
  readonly views: number
  /** Virtual ms from the start of the joiners until all know the last view; see all slots settled; see all owners ready. */
  readonly agreedMs: number
  readonly settledMs: number
  readonly wholeMs: number
  /** Beyond idle traffic. */
  readonly perMember: Count
  readonly kinds: Kinds
  readonly wallMs: number
}

export interface ScaleReport {
  readonly members: number
  readonly foundWallMs: number
  readonly idle: IdleReport
  readonly one: JoinReport
  readonly ten: JoinReport
  /** Of the process, divided by the members. */
  readonly heapBytesPerMember: number
  readonly rssBytesPerMember: number
  readonly wallMs: number
}

const IDLE_MS = 10_000
const STEP_MS = 10
const JOIN_LIMIT_MS = 120_000

export async function measureScale(
  members: number,
  seed: number,
  progress: (text: string) => void
): Promise<ScaleReport> {
  const started = systemClock.elapsed()
  const ring = new ScaleRing(seed)
  await ring.found(members)
  const foundWallMs = systemClock.elapsed() - started
  progress(`${members} members: founded`)
  await ring.clock.advance(2000)
  const idle = await measureIdle(ring)
  progress(`${members} members: idle measured`)
  const one = await measureJoin(ring, 1, idle)
  progress(`${members} members: one joined`)
  const ten = await measureJoin(ring, 10, idle)
  progress(`${members} members: ten joined`)
  const { heapUsed, rss } = memory()
  return {
    members,
    foundWallMs,
    idle,
    one,
    ten,
    heapBytesPerMember: heapUsed / members,
    rssBytesPerMember: rss / members,
    wallMs: systemClock.elapsed() - started
  }
}

async function measureIdle(ring: ScaleRing): Promise<IdleReport> {
  const before = ring.hub.traffic.counts
  const started = systemClock.elapsed()
  await ring.clock.advance(IDLE_MS)
  const wallMs = systemClock.elapsed() - started
  const seconds = IDLE_MS / 1000
  const counts = difference(before, ring.hub.traffic.counts)
  const share = 1 / (seconds * ring.nodes.length)
  return {
    perMemberSecond: scaled(total(counts), share),
    kinds: kindsOf(counts, share),
    wallMsPerSecond: wallMs / seconds
  }
}

async function measureJoin(ring: ScaleRing, joiners: number, idle: IdleReport): Promise<JoinReport> {
  const { clock, hub, nodes } = ring
  const before = hub.traffic.counts
  const number = nodes[0]!.node.view!.number
  const started = systemClock.elapsed()
  const from = clock.elapsed()
  await ring.join(joiners)
  const reach = async (holds: (view: RingView) => boolean) => {
    let at = 0
    const isReached = () => {
      while (at < nodes.length && isOf(nodes[at]!.node.view, nodes.length) && holds(nodes[at]!.node.view!)) at++
      return at === nodes.length
    }
    while (!isReached()) {
      if (clock.elapsed() - from > JOIN_LIMIT_MS)
        throw new Error(`${at} of ${nodes.length} nodes after ${JOIN_LIMIT_MS} ms`)
      await clock.advance(STEP_MS)
    }
    return clock.elapsed() - from
  }
  const agreedMs = await reach(() => true)
  const settledMs = await reach(isSettled)
  const wholeMs = await reach(isWhole)
  const counts = difference(before, hub.traffic.counts)
  const seconds = wholeMs / 1000
  const beyond = new Map(
    Array.from(counts, ([kind, { messages, bytes }]) => {
      const usual = idle.kinds[kind] ?? { messages: 0, bytes: 0 }
      const member = { messages: messages / nodes.length, bytes: bytes / nodes.length }
      return [
        kind,
        { messages: member.messages - usual.messages * seconds, bytes: member.bytes - usual.bytes * seconds }
      ]
    })
  )
  const views = nodes[0]!.node.view!.number - number
  const wallMs = systemClock.elapsed() - started
  return { joiners, views, agreedMs, settledMs, wholeMs, perMember: total(beyond), kinds: kindsOf(beyond, 1), wallMs }
}

function isOf(view: RingView | undefined, members: number): boolean {
  return view !== undefined && view.members.size === members && view.isMember
}

function isSettled({ configs }: RingView): boolean {
  return configs.windows.every((window) => window.length === 1)
}

function isWhole({ configs, readiness }: RingView): boolean {
  return configs.windows.every((window, slot) => {
    const config = newestConfig(window)
    return config.owners.every((owner) => readiness.get(owner)?.[slot] === config.begin)
  })
}

function kindsOf(counts: TrafficCounts, share: number): Kinds {
  return Object.fromEntries(Array.from(counts, ([kind, count]) => [kind, scaled(count, share)]))
}

function scaled({ messages, bytes }: Count, share: number): Count {
  return { messages: messages * share, bytes: bytes * share }
}

/** After a collection, when node was started with --expose-gc. */
function memory(): NodeJS.MemoryUsage {
  globalThis.gc?.()
  return process.memoryUsage()
}
