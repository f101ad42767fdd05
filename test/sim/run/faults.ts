// Performs the steps of a plan: every kind of fault, and the end of faults that last. A step that has nothing to do,
// such as the kill of a node that is down, does nothing and is not counted.
import type { MemberId } from '../../../lib/member.js'
import type { Random } from '../../../lib/random.js'
import { quorum } from '../../../lib/views/chain.js'
import type { RingView } from '../../../lib/views/ring-view.js'
import type { MemoryHub } from '../seams/memory-network.js'
import { batchOf } from '../seams/sim-disk.js'
import type { VirtualClock } from '../seams/virtual-clock.js'
import type { Step, StepKind } from './plan.js'
import type { SimHost } from './sim-host.js'

/** The parts of a run that steps change. */
export interface RunContext {
  readonly clock: VirtualClock
  readonly hub: MemoryHub
  readonly random: Random
  readonly hosts: ReadonlyMap<string, SimHost>
  /** Ends the life of the host's node; clients that wait for its answers get none. */
  readonly crash: (host: SimHost, isPowerCut: boolean) => void
  /** Members whose removal was requested. They count as lost, although their disks may come back. */
  readonly removed: Set<MemberId>
  /** Disks that hold an old copy which their nodes have not detected yet. */
  readonly oldCopies: Map<SimHost, OldCopy>
  /** All faults have ended: steps that were to follow later do nothing. */
  isCalm: boolean
}

/** An old copy of a disk. */
export interface OldCopy {
  readonly member: MemberId
  /** The number of its last batch. */
  readonly batch: number
}

/** A slot with this number of owners survives the loss of one. */
const SAFE_OWNERS = 3
/** Two nodes still accept each other's versions when one clock is ahead by this and the other one behind by it. */
const SKEW_MS_MAX = 2400
/** Peers notice the end of connections with a machine that lost power after this, or when it is back. */
const KEEP_ALIVE_MS = 15_000

type StepOf<K extends StepKind> = Extract<Step, { kind: K }>
type Performers = { readonly [K in StepKind]: (context: RunContext, step: StepOf<K>) => boolean }

const PERFORMERS: Performers = {
  start: (context, { nodes }) => each(context, nodes, (host) => start(host)),

  leave: (context, { node, isForced }) =>
    each(context, [node], ({ node: running }) => {
      if (!running?.node.view?.isMember) return false
      running.node.leave({ force: isForced }).catch(() => {})
      return true
    }),

  remove: (context, { node, via, afterMs, forMs }) =>
    each(context, [node], (host) => {
      const { member } = host.disk
      if (member === undefined || !host.isUp) return false
      context.crash(host, false)
      later(context, afterMs, () => void (host.isUp || askToRemove(context, member, via)))
      return later(context, forMs, () => start(host))
    }),

  'remove-lost': (context, { via }) => removeLost(context, via),

  cut: (context, { from, to, forMs }) => {
    if (from === to) return false
    context.hub.cut(from, to)
    return later(context, forMs, () => context.hub.mend(from, to))
  },

  partition: (context, { some, forMs }) => {
    const ways: [string, string][] = []
    for (const one of some) {
      for (const other of context.hosts.keys()) if (!some.includes(other)) ways.push([one, other], [other, one])
    }
    for (const [from, to] of ways) context.hub.cut(from, to)
    return ways.length > 0 && later(context, forMs, () => ways.forEach(([from, to]) => void context.hub.mend(from, to)))
  },

  reset: ({ hub }, { one, other }) => {
    hub.reset(one, other)
    return true
  },

  tear: ({ hub }, { one, other }) => {
    hub.tear(one, other)
    return true
  },

  'half-open': (context, { holder, gone: loser, forMs }) => {
    context.hub.halfOpen(holder, loser)
    return later(context, forMs, () => context.hub.expose(loser))
  },

  slow: (context, { node, extraMs, forMs }) => {
    context.hub.slow(node, extraMs)
    return later(context, forMs, () => context.hub.slow(node, 0))
  },

  'slow-reader': (context, { node, gapMs, forMs }) => {
    context.hub.slowReader(node, gapMs)
    return later(context, forMs, () => context.hub.slowReader(node, 0))
  },

  deafen: (context, { node, forMs }) => {
    context.hub.deafen(node)
    return later(context, forMs, () => context.hub.undeafen(node))
  },

  'lose-rumors': (context, { from, to, share, forMs }) => {
    context.hub.loseRumors(from, to, share)
    return later(context, forMs, () => context.hub.loseRumors(from, to, 0))
  },

  pause: (context, { node, forMs }) => {
    const clock = context.hosts.get(node)?.clock
    if (clock === undefined || clock.isPaused) return false
    context.hub.pause(node)
    clock.pause()
    return later(context, forMs, () => {
      if (context.hosts.get(node)!.clock !== clock) return
      context.hub.resume(node)
      clock.resume()
    })
  },

  stop: (context, { node, forMs }) =>
    each(context, [node], (host) => {
      if (host.node === undefined || host.clock?.isPaused) return false
      host.stop(() => {
        context.crash(host, false)
        if (context.isCalm) start(host)
      })
      return later(context, forMs, () => start(host))
    }),

  kill: (context, { node, forMs }) => crash(context, [node], false, forMs),

  'power-cut': (context, { nodes, forMs }) => crash(context, nodes, true, forMs),

  'disk-lag': (context, { node, lagMs, forMs }) =>
    each(context, [node], ({ disk }) => {
      disk.lagMs = lagMs
      return later(context, forMs, () => {
        disk.lagMs = 0
      })
    }),

  'disk-error': (context, { node, isWritten }) =>
    each(context, [node], ({ disk }) => {
      disk.failNext = { code: 'STORE_FAILED', isWritten }
      return true
    }),

  'disk-full': (context, { node, forMs }) =>
    each(context, [node], ({ disk }) => {
      disk.isFull = true
      return later(context, forMs, () => {
        disk.isFull = false
      })
    }),

  flip: (context, { node }) => each(context, [node], (host) => mayLose(context, host) && host.disk.flip()),

  'roll-back': (context, { node, ageMs, forMs }) =>
    each(context, [node], (host) => {
      if (host.disk.member === undefined) return false
      const { member } = host.disk
      const copy = host.disk.copy()
      return later(context, ageMs, () => {
        if (host.disk.member !== member || !mayLose(context, host)) return
        if (!canDetect(context, member, batchOf(copy))) return
        if (host.isUp) context.crash(host, true)
        host.disk.restore(copy)
        context.oldCopies.set(host, { member, batch: batchOf(copy) })
        later(context, forMs, () => void start(host))
      })
    }),

  wipe: (context, { node, forMs }) =>
    each(context, [node], (host) => {
      if (host.disk.member === undefined || !mayLose(context, host)) return false
      if (host.isUp) context.crash(host, true)
      host.disk.wipe()
      return later(context, forMs, () => start(host))
    }),

  'clock-jump': (context, { node, byMs }) =>
    each(context, [node], ({ clock }) => {
      if (clock === undefined) return false
      const isWild = Math.abs(byMs) > SKEW_MS_MAX
      clock.skewMs = isWild ? byMs : Math.max(-SKEW_MS_MAX, Math.min(SKEW_MS_MAX, clock.skewMs + byMs))
      return true
    }),

  'clock-drift': (context, { node, msPerSecond, forMs }) =>
    each(context, [node], ({ clock }) => {
      if (clock === undefined) return false
      clock.drift(msPerSecond / 1000)
      return later(context, forMs, () => clock.drift(0))
    })
}

/**
 * Wipes the disks with old copies that can no longer be detected, because the members that had heard of later batches
 * have ended: they keep that in memory only. Call it whenever a node has ended.
 */
export function wipeOldCopies(context: RunContext): void {
  for (const [host, { member, batch }] of context.oldCopies) {
    if (host.disk.member === member && canDetect(context, member, batch)) continue
    context.oldCopies.delete(host)
    if (host.disk.member !== member) continue
    const wasUp = host.isUp
    if (wasUp) context.crash(host, true)
    host.disk.wipe()
    if (wasUp) start(host)
  }
}

/** Performs the step now. Returns false when there was nothing to do. */
export function perform<K extends StepKind>(context: RunContext, step: StepOf<K>): boolean {
  return PERFORMERS[step.kind as K](context, step)
}

/** Ends every fault: all nodes run, reach each other, have the right time and can write. */
export function healAll(context: RunContext): void {
  context.isCalm = true
  context.hub.calm()
  for (const host of context.hosts.values()) {
    host.correctClock()
    host.clock?.resume()
    host.disk.lagMs = 0
    host.disk.isFull = false
    host.disk.failNext = undefined
    if (host.hasStarted) start(host)
  }
}

/** Requests the removal of one member whose disk is lost. The run knows this; the nodes do not. */
export function removeLost(context: RunContext, via: number): boolean {
  const living = livingMembers(context)
  for (const { members } of servingViews(context)) {
    for (const member of members.keys()) if (!living.has(member)) return askToRemove(context, member, via)
  }
  return false
}

/**
 * Removes one member at a time, and only while no slot moves. A removed member counts as lost, and a slot survives the
 * loss of only one owner.
 */
function askToRemove(context: RunContext, member: MemberId, via: number): boolean {
  const others = serving(context).filter(({ node }) => node!.node.storeId !== member)
  const asked = others[via % others.length]
  const living = livingMembers(context)
  // After the faults have ended, a member that is up again and was not removed stays.
  const isBack = (removed: MemberId) => context.isCalm && living.has(removed)
  const isOpen = ({ configs, members }: RingView) =>
    configs.windows.some((window) => window.length > 1) ||
    [...context.removed].some((removed) => removed !== member && members.has(removed) && !isBack(removed))
  if (asked === undefined || !haveSameView(context) || servingViews(context).some(isOpen)) return false
  context.removed.add(member)
  const { node } = asked.node!
  // After the faults have ended, a lost member never answers. The ring must accept fewer copies, or it waits for ever.
  node.remove(member, { force: context.isCalm }).catch(() => {})
  return true
}

/**
 * Whether the promises allow that the host's disk is lost: all members that are up know the same view, and every config
 * of a window has three owners that have lost nothing. The host itself may be lost already.
 */
function mayLose(context: RunContext, host: SimHost): boolean {
  if (!haveSameView(context)) return false
  const living = livingMembers(context).add(host.disk.member)
  for (const removed of context.removed) living.delete(removed)
  const windows = new Set(servingViews(context).flatMap(({ configs }) => configs.windows))
  return [...windows].every((window) =>
    window.every(({ owners }) => owners.length >= SAFE_OWNERS && owners.every((owner) => living.has(owner)))
  )
}

/** Whether a majority of the members is up, and all that are up know the same view. */
function haveSameView(context: RunContext): boolean {
  const views = servingViews(context)
  const [first] = views
  if (first === undefined || views.length <= first.members.size / 2) return false
  return views.every(({ number }) => number === first.number)
}

function serving({ hosts }: RunContext): SimHost[] {
  return Array.from(hosts.values()).filter(({ node }) => node?.node.view?.isMember)
}

function servingViews(context: RunContext): RingView[] {
  return serving(context).map(({ node }) => node!.node.view!)
}

function livingMembers({ hosts }: RunContext): Set<MemberId | undefined> {
  return new Set(Array.from(hosts.values(), ({ disk }) => (disk.isDamaged ? undefined : disk.member)))
}

function start(host: SimHost): boolean {
  if (host.isUp) return false
  host.start()
  return true
}

function crash(context: RunContext, nodes: readonly string[], isPowerCut: boolean, forMs: number): boolean {
  return each(context, nodes, (host) => {
    if (!host.isUp) return false
    context.crash(host, isPowerCut)
    if (isPowerCut) later(context, KEEP_ALIVE_MS, () => context.hub.expose(host.name))
    return later(context, forMs, () => start(host))
  })
}

/** Runs the task for each of these hosts; true when it did something to at least one. */
function each(context: RunContext, nodes: readonly string[], task: (host: SimHost) => boolean): boolean {
  let done = false
  for (const name of nodes) {
    const host = context.hosts.get(name)
    if (host !== undefined && task(host)) done = true
  }
  return done
}

function later(context: RunContext, forMs: number, task: () => void): true {
  context.clock.after(forMs, () => {
    if (!context.isCalm) task()
  })
  return true
}

/**
 * Whether an old copy can be detected: every majority of the members contains one that has heard of a later batch of
 * this store than the batch of the copy.
 */
function canDetect(context: RunContext, member: MemberId, batch: number): boolean {
  const views = servingViews(context).sort((a, b) => b.number - a.number)
  const [newest] = views
  if (newest === undefined) return false
  const knowing = [...context.hosts.values()].filter(
    ({ node }) =>
      node !== undefined && newest.members.has(node.node.storeId) && node.node.highestBatchHeard(member) > batch
  )
  return knowing.length > newest.members.size - quorum(newest.members.size)
}
