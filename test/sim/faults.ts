// Does what a plan says: every kind of step, and how what lasts ends. Steps that find nothing to do, such as the kill
// of a node that is down, do nothing and are not counted.
import type { Random } from '../../lib/random.js'
import type { MemoryHub } from './memory-network.js'
import type { Step, StepKind } from './plan.js'
import type { SimHost } from './sim-host.js'
import type { VirtualClock } from './virtual-clock.js'

/** What steps work on. */
export interface Stage {
  readonly clock: VirtualClock
  readonly hub: MemoryHub
  readonly random: Random
  readonly hosts: ReadonlyMap<string, SimHost>
  /** Ends the life of the host's node, and with it what clients wait for there. */
  readonly crash: (host: SimHost, isPowerCut: boolean) => void
  /** All faults have ended: what was still to come of them does not happen. */
  isCalm: boolean
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

  'lose-hints': (stage, { from, to, share, forMs }) => {
    stage.hub.loseHints(from, to, share)
    return later(stage, forMs, () => stage.hub.loseHints(from, to, 0))
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

  flip: (stage, { node }) => isSturdy(stage) && each(stage, [node], ({ disk }) => disk.flip()),

  'roll-back': (stage, { node, ageMs, forMs }) =>
    each(stage, [node], (host) => {
      if (host.disk.member === undefined) return false
      const { member } = host.disk
      const copy = host.disk.copy()
      return later(stage, ageMs, () => {
        if (host.disk.member !== member || !isSturdy(stage)) return
        if (host.isUp) stage.crash(host, true)
        host.disk.restore(copy)
        later(stage, forMs, () => start(host))
      })
    }),

  wipe: (stage, { node, forMs }) =>
    each(stage, [node], (host) => {
      if (host.disk.member === undefined || !isSturdy(stage)) return false
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

/** Whether every slot can lose one of its stores for good: all configs in force have three owners, as all know. */
function isSturdy({ hosts }: Stage): boolean {
  const views = Array.from(hosts.values(), ({ node }) => node?.node.view).filter((view) => view !== undefined)
  const sets = new Set(views.flatMap(({ configs }) => configs.windows))
  return views.length > 0 && [...sets].every((window) => window.every(({ owners }) => owners.length >= STURDY_OWNERS))
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
