// Does what a plan says: every kind of step, and how what lasts ends. Steps that find nothing to do, such as the kill
// of a node that is down, do nothing and are not counted.
import type { MemberId } from '../../../lib/member.js'
import type { Random } from '../../../lib/random.js'
import { quorum } from '../../../lib/views/chain.js'
import type { RingView } from '../../../lib/views/ring-view.js'
import type { MemoryHub } from '../seams/memory-network.js'
import { batchOf } from '../seams/sim-disk.js'
import type { VirtualClock } from '../seams/virtual-clock.js'
import type { Step, StepKind } from './plan.js'
import type { SimHost } from './sim-host.js'

/** What steps work on. */
export interface Stage {
  readonly clock: VirtualClock
  readonly hub: MemoryHub
  readonly random: Random
  readonly hosts: ReadonlyMap<string, SimHost>
  /** Ends the life of the host's node, and with it what clients wait for there. */
  readonly crash: (host: SimHost, isPowerCut: boolean) => void
  /** Members that somebody was asked to go on without: as good as lost, though their disks may come back. */
  readonly removed: Set<MemberId>
  /** Disks with an old copy that nobody has found out yet, and the store that it is of. */
  readonly oldCopies: Map<SimHost, OldCopy>
  /** All faults have ended: what was still to come of them does not happen. */
  isCalm: boolean
}

export interface OldCopy {
  readonly member: MemberId
  /** Its last batch. */
  readonly batch: number
}

/** A slot with so many owners survives the loss of one. */
const STURDY_OWNERS = 3
/** Two clocks that are wrong by this in opposite ways still accept each other's versions. */
const SKEW_MS_MAX = 2400
/** Connections with a machine that lost power are given up after this, or when it is back. */
const KEEP_ALIVE_MS = 15_000

type StepOf<K extends StepKind> = Extract<Step, { kind: K }>
type Performers = { readonly [K in StepKind]: (stage: Stage, step: StepOf<K>) => boolean }

const PERFORMERS: Performers = {
  start: (stage, { nodes }) => each(stage, nodes, (host) => start(host)),

  leave: (stage, { node, isForced }) =>
    each(stage, [node], ({ node: running }) => {
      if (!running?.node.view?.isMember) return false
      running.node.leave({ force: isForced }).catch(() => {})
      return true
    }),

  remove: (stage, { node, via, afterMs, forMs }) =>
    each(stage, [node], (host) => {
      const { member } = host.disk
      if (member === undefined || !host.isUp) return false
      stage.crash(host, false)
      later(stage, afterMs, () => void (host.isUp || askToRemove(stage, member, via)))
      return later(stage, forMs, () => start(host))
    }),

  'remove-lost': (stage, { via }) => removeLost(stage, via),

  cut: (stage, { from, to, forMs }) => {
    if (from === to) return false
    stage.hub.cut(from, to)
    return later(stage, forMs, () => stage.hub.mend(from, to))
  },

  partition: (stage, { some, forMs }) => {
    const ways: [string, string][] = []
    for (const one of some) {
      for (const other of stage.hosts.keys()) if (!some.includes(other)) ways.push([one, other], [other, one])
    }
    for (const [from, to] of ways) stage.hub.cut(from, to)
    return ways.length > 0 && later(stage, forMs, () => ways.forEach(([from, to]) => void stage.hub.mend(from, to)))
  },

  reset: ({ hub }, { one, other }) => {
    hub.reset(one, other)
    return true
  },

  tear: ({ hub }, { one, other }) => {
    hub.tear(one, other)
    return true
  },

  'half-open': (stage, { holder, gone, forMs }) => {
    stage.hub.halfOpen(holder, gone)
    return later(stage, forMs, () => stage.hub.expose(gone))
  },

  slow: (stage, { node, extraMs, forMs }) => {
    stage.hub.slow(node, extraMs)
    return later(stage, forMs, () => stage.hub.slow(node, 0))
  },

  'slow-reader': (stage, { node, gapMs, forMs }) => {
    stage.hub.slowReader(node, gapMs)
    return later(stage, forMs, () => stage.hub.slowReader(node, 0))
  },

  deafen: (stage, { node, forMs }) => {
    stage.hub.deafen(node)
    return later(stage, forMs, () => stage.hub.undeafen(node))
  },

  'lose-rumors': (stage, { from, to, share, forMs }) => {
    stage.hub.loseRumors(from, to, share)
    return later(stage, forMs, () => stage.hub.loseRumors(from, to, 0))
  },

  pause: (stage, { node, forMs }) => {
    const clock = stage.hosts.get(node)?.clock
    if (clock === undefined || clock.isPaused) return false
    stage.hub.pause(node)
    clock.pause()
    return later(stage, forMs, () => {
      if (stage.hosts.get(node)!.clock !== clock) return
      stage.hub.resume(node)
      clock.resume()
    })
  },

  stop: (stage, { node, forMs }) =>
    each(stage, [node], (host) => {
      if (host.node === undefined || host.clock?.isPaused) return false
      host.stop(() => {
        stage.crash(host, false)
        if (stage.isCalm) start(host)
      })
      return later(stage, forMs, () => start(host))
    }),

  kill: (stage, { node, forMs }) => crash(stage, [node], false, forMs),

  'power-cut': (stage, { nodes, forMs }) => crash(stage, nodes, true, forMs),

  'disk-lag': (stage, { node, lagMs, forMs }) =>
    each(stage, [node], ({ disk }) => {
      disk.lagMs = lagMs
      return later(stage, forMs, () => {
        disk.lagMs = 0
      })
    }),

  'disk-error': (stage, { node, isWritten }) =>
    each(stage, [node], ({ disk }) => {
      disk.failNext = { code: 'STORE_FAILED', isWritten }
      return true
    }),

  'disk-full': (stage, { node, forMs }) =>
    each(stage, [node], ({ disk }) => {
      disk.isFull = true
      return later(stage, forMs, () => {
        disk.isFull = false
      })
    }),

  flip: (stage, { node }) => each(stage, [node], (host) => mayLose(stage, host) && host.disk.flip()),

  'roll-back': (stage, { node, ageMs, forMs }) =>
    each(stage, [node], (host) => {
      if (host.disk.member === undefined) return false
      const { member } = host.disk
      const copy = host.disk.copy()
      return later(stage, ageMs, () => {
        if (host.disk.member !== member || !mayLose(stage, host)) return
        if (!canTell(stage, member, batchOf(copy))) return
        if (host.isUp) stage.crash(host, true)
        host.disk.restore(copy)
        stage.oldCopies.set(host, { member, batch: batchOf(copy) })
        later(stage, forMs, () => void start(host))
      })
    }),

  wipe: (stage, { node, forMs }) =>
    each(stage, [node], (host) => {
      if (host.disk.member === undefined || !mayLose(stage, host)) return false
      if (host.isUp) stage.crash(host, true)
      host.disk.wipe()
      return later(stage, forMs, () => start(host))
    }),

  'clock-jump': (stage, { node, byMs }) =>
    each(stage, [node], ({ clock }) => {
      if (clock === undefined) return false
      const isWild = Math.abs(byMs) > SKEW_MS_MAX
      clock.skewMs = isWild ? byMs : Math.max(-SKEW_MS_MAX, Math.min(SKEW_MS_MAX, clock.skewMs + byMs))
      return true
    }),

  'clock-drift': (stage, { node, msPerSecond, forMs }) =>
    each(stage, [node], ({ clock }) => {
      if (clock === undefined) return false
      clock.drift(msPerSecond / 1000)
      return later(stage, forMs, () => clock.drift(0))
    })
}

/**
 * Wipes the disks with old copies that nobody can know for what they are any more, since those who could have told have
 * forgotten. To be called when a node has ended.
 */
export function wipeOldCopies(stage: Stage): void {
  for (const [host, { member, batch }] of stage.oldCopies) {
    if (host.disk.member === member && canTell(stage, member, batch)) continue
    stage.oldCopies.delete(host)
    if (host.disk.member !== member) continue
    const wasUp = host.isUp
    if (wasUp) stage.crash(host, true)
    host.disk.wipe()
    if (wasUp) start(host)
  }
}

/** Does the step now. False when there was nothing to do. */
export function perform<K extends StepKind>(stage: Stage, step: StepOf<K>): boolean {
  return PERFORMERS[step.kind as K](stage, step)
}

/** Ends every fault: all run, hear each other, know the time and can write. */
export function healAll(stage: Stage): void {
  stage.isCalm = true
  stage.hub.calm()
  for (const host of stage.hosts.values()) {
    host.tellTime()
    host.clock?.resume()
    host.disk.lagMs = 0
    host.disk.isFull = false
    host.disk.failNext = undefined
    if (host.hasStarted) start(host)
  }
}

/** Members of some view whose disk is gone, as the run knows: some member asks the ring to go on without them. */
export function removeLost(stage: Stage, via: number): boolean {
  const living = livingMembers(stage)
  for (const { members } of servingViews(stage)) {
    for (const member of members.keys()) if (!living.has(member)) return askToRemove(stage, member, via)
  }
  return false
}

/** One at a time, and while nothing moves: to be removed means to be lost, and slots survive the loss of one owner. */
function askToRemove(stage: Stage, member: MemberId, via: number): boolean {
  const others = serving(stage).filter(({ node }) => node!.node.storeId !== member)
  const asked = others[via % others.length]
  const living = livingMembers(stage)
  // Once all is calm, whom nobody went on without is up and stays.
  const isBack = (removed: MemberId) => stage.isCalm && living.has(removed)
  const isOpen = ({ configs, members }: RingView) =>
    configs.windows.some((window) => window.length > 1) ||
    [...stage.removed].some((removed) => removed !== member && members.has(removed) && !isBack(removed))
  if (asked === undefined || !knowTheSame(stage) || servingViews(stage).some(isOpen)) return false
  stage.removed.add(member)
  const { node } = asked.node!
  // What is lost for good once all is calm never answers: fewer copies are better than to wait for it.
  node.remove(member, { force: stage.isCalm }).catch(() => {})
  return true
}

/**
 * Whether the host's disk can be lost for good: all members that are up know the same view, and every config in force
 * has three owners that have lost nothing, but perhaps this one.
 */
function mayLose(stage: Stage, host: SimHost): boolean {
  if (!knowTheSame(stage)) return false
  const living = livingMembers(stage).add(host.disk.member)
  for (const removed of stage.removed) living.delete(removed)
  const windows = new Set(servingViews(stage).flatMap(({ configs }) => configs.windows))
  return [...windows].every((window) =>
    window.every(({ owners }) => owners.length >= STURDY_OWNERS && owners.every((owner) => living.has(owner)))
  )
}

/** Most members are up and at the same view. */
function knowTheSame(stage: Stage): boolean {
  const views = servingViews(stage)
  const [first] = views
  if (first === undefined || views.length <= first.members.size / 2) return false
  return views.every(({ number }) => number === first.number)
}

function serving({ hosts }: Stage): SimHost[] {
  return Array.from(hosts.values()).filter(({ node }) => node?.node.view?.isMember)
}

function servingViews(stage: Stage): RingView[] {
  return serving(stage).map(({ node }) => node!.node.view!)
}

function livingMembers({ hosts }: Stage): Set<MemberId | undefined> {
  return new Set(Array.from(hosts.values(), ({ disk }) => (disk.isDamaged ? undefined : disk.member)))
}

function start(host: SimHost): boolean {
  if (host.isUp) return false
  host.start()
  return true
}

function crash(stage: Stage, nodes: readonly string[], isPowerCut: boolean, forMs: number): boolean {
  return each(stage, nodes, (host) => {
    if (!host.isUp) return false
    stage.crash(host, isPowerCut)
    if (isPowerCut) later(stage, KEEP_ALIVE_MS, () => stage.hub.expose(host.name))
    return later(stage, forMs, () => start(host))
  })
}

/** Does it to each of these hosts; true when it did something to one of them. */
function each(stage: Stage, nodes: readonly string[], task: (host: SimHost) => boolean): boolean {
  let done = false
  for (const name of nodes) {
    const host = stage.hosts.get(name)
    if (host !== undefined && task(host)) done = true
  }
  return done
}

function later(stage: Stage, forMs: number, task: () => void): true {
  stage.clock.after(forMs, () => {
    if (!stage.isCalm) task()
  })
  return true
}

/** In every majority of the members is one that has heard of a later batch of this store than the one of the copy. */
function canTell(stage: Stage, member: MemberId, batch: number): boolean {
  const views = servingViews(stage).sort((a, b) => b.number - a.number)
  const [newest] = views
  if (newest === undefined) return false
  const knowing = [...stage.hosts.values()].filter(
    ({ node }) => node !== undefined && newest.members.has(node.node.storeId) && node.node.witnessed(member) > batch
  )
  return knowing.length > newest.members.size - quorum(newest.members.size)
}
