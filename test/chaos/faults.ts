// Does what a step says to its victims, and undoes it. Each performer resolves when its fault is over: the daemon
// is back and serves, and after a loss the ring is whole again.
// Must not decide whether a step may be done: envelope.ts has.
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostState } from './fault-limits.js'
import type { Host } from './host.js'
import { fillDisk, freeDisk, type HostNetwork } from './host-network.js'
import type { Monitor } from './monitor.js'
import type { FaultKind, Step } from './plan-generator.js'

/** What faults work on. */
export interface FaultContext {
  readonly folder: string
  readonly hosts: ReadonlyMap<string, Host>
  readonly place: HostNetwork
  readonly monitor: Monitor
  /** Told of every change: it is kept, and clients are told whom to ask. */
  readonly become: (host: Host, state: HostState) => void
  /** Clients pause. */
  readonly rest: (isResting: boolean) => void
  /** A line of the campaign's log. */
  readonly say: (text: string) => void
  /** A promise that was broken. */
  readonly broken: (rule: string, text: string) => void
  /** Resolves when the campaign heals everything, early or not. */
  readonly calm: Promise<void>
}

/** `struck` is called when it really begins, where that is not at once. */
export type Perform = (context: FaultContext, victims: readonly Host[], step: Step, struck: () => void) => Promise<void>

/** As long as anything may be wrong that this campaign has done. */
const WHOLE_MS_MAX = 180_000
const LEAVE_MS_MAX = 180_000
/** Every pong tells of the last batch, and there is one each second: so long, and all have heard of it. */
const HEARD_MS = 3000

export const PERFORMERS: Readonly<Record<FaultKind, Perform>> = {
  kill: (context, [victim], { forMs }) => away(context, victim!, forMs, () => victim!.kill()),
  restart: (context, [victim], { forMs }) => away(context, victim!, forMs, () => stopWell(context, victim!)),

  stop: async (context, [victim], { forMs }) => {
    context.become(victim!, 'away')
    victim!.freeze()
    await lasting(context, forMs)
    victim!.thaw()
    context.become(victim!, 'up')
  },

  'kill-all': async (context, victims, { forMs }) => {
    await Promise.all(victims.map((victim) => away(context, victim, forMs, () => victim.kill())))
  },

  partition: async (context, victims, { forMs }) => {
    const others = [...context.hosts.values()].filter((host) => !victims.includes(host))
    const ways = victims.flatMap((one) => others.flatMap((other) => [[one, other] as const, [other, one] as const]))
    for (const victim of victims) context.become(victim, 'away')
    for (const [from, to] of ways) context.place.cut(from.name, to.name)
    await lasting(context, forMs)
    for (const [from, to] of ways) context.place.mend(from.name, to.name)
    for (const victim of victims) context.become(victim, 'up')
  },

  cut: async (context, [from, to], { forMs }) => {
    context.place.cut(from!.name, to!.name)
    await lasting(context, forMs)
    context.place.mend(from!.name, to!.name)
  },

  join: async (context, [victim]) => {
    context.become(victim!, 'moving')
    await victim!.start()
    context.become(victim!, 'up')
  },

  leave: async (context, [victim]) => {
    context.become(victim!, 'moving')
    try {
      await victim!.leave()
    } catch (thrown) {
      context.say(`${victim!.name} may not leave: ${thrown}`)
      context.become(victim!, 'up')
      return
    }
    const deadline = performance.now() + LEAVE_MS_MAX
    while (victim!.isRunning && performance.now() < deadline) await sleep(100)
    if (victim!.isRunning) {
      const { members: _, ...said } = await victim!.status().catch(() => ({ members: [], view: 0 }))
      const late = `${victim!.name} has not left after ${LEAVE_MS_MAX / 1000} s`
      context.broken('completion', `${late}: ${JSON.stringify(said)}`)
      await victim!.kill()
      victim!.setAside()
    }
    await victim!.kill()
    victim!.wipe()
    context.become(victim!, 'free')
  },

  'disk-full': async (context, [victim], { forMs }) => {
    fillDisk(victim!.disk!)
    await lasting(context, forMs)
    freeDisk(victim!.disk!)
    await madeGood(context)
  },

  wipe: async (context, [victim], { forMs }) => {
    await away(context, victim!, forMs, async () => {
      await victim!.kill()
      victim!.wipe()
    })
    await madeGood(context)
  },

  damage: async (context, [victim], { forMs, lots }, struck) => {
    await quietly(context, async () => {
      context.become(victim!, 'away')
      await victim!.kill()
    })
    struck()
    context.say(hurt(victim!, lots))
    await away(context, victim!, forMs, async () => {})
    await madeGood(context)
  },

  'roll-back': async (context, [victim], { forMs }, struck) => {
    const copy = join(context.folder, 'copy')
    victim!.freeze()
    victim!.copyTo(copy)
    victim!.thaw()
    await sleep(forMs)
    await quietly(context, async () => {
      context.become(victim!, 'away')
      await victim!.kill()
    })
    struck()
    victim!.copyFrom(copy)
    rmSync(copy, { recursive: true })
    await away(context, victim!, 0, async () => {})
    await madeGood(context)
  }
}

/** Takes the daemon down, and after `forMs` has it serve again. */
async function away(context: FaultContext, victim: Host, forMs: number, down: () => Promise<void>): Promise<void> {
  context.become(victim, 'away')
  await down()
  await lasting(context, forMs)
  await victim.start()
  context.become(victim, 'up')
}

async function stopWell(context: FaultContext, victim: Host): Promise<void> {
  const how = await victim.stop()
  if (how !== undefined && how !== 'exited with 0') context.broken('crash', `${victim.name}, told to stop, ${how}`)
}

/** So long, or until everything is healed. */
async function lasting({ calm }: FaultContext, forMs: number): Promise<void> {
  await Promise.race([sleep(forMs, undefined, { ref: false }), calm])
}

async function madeGood({ monitor, say }: FaultContext): Promise<void> {
  const { isWhole, why } = await monitor.untilWhole(WHOLE_MS_MAX)
  if (!isWhole) say(`a loss was not made good in time: ${why}`)
}

/** Clients rest until every batch on every disk has been heard of by the other members, then `work` is done. */
async function quietly({ rest }: FaultContext, work: () => Promise<void>): Promise<void> {
  rest(true)
  await sleep(HEARD_MS)
  await work()
  rest(false)
}

/** Cuts the end off a log or table file of the store, or flips one bit of it. What was done, in words. */
function hurt(victim: Host, lots: readonly number[]): string {
  const [, file = 0, way = 0, place = 0, bit = 0] = lots
  const files = victim.storeFiles()
  const path = files[Math.floor(file * files.length)]
  if (path === undefined) return `${victim.name} has no files to damage`
  const { size } = statSync(path)
  const at = Math.floor(place * size)
  if (size === 0) return `${path} is empty`
  if (way < 0.5) {
    truncateSync(path, at)
    return `${path} was cut from ${size} to ${at} bytes`
  }
  const bytes = readFileSync(path)
  bytes[at]! ^= 1 << Math.floor(bit * 8)
  writeFileSync(path, bytes)
  return `${path}: a bit of byte ${at} of ${size} was flipped`
}
