// Performs a step on its victims, and ends its fault. Each performer resolves when its fault is over: the daemon serves
// again, and after the loss of a store the ring is whole again.
// Must not decide whether a step is allowed: fault-limits.ts does.
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostState } from './fault-limits.js'
import type { Host } from './host.js'
import { fillDisk, freeDisk, type HostNetwork } from './host-network.js'
import { IdleClients } from './idle-clients.js'
import { OPEN_FILES_MAX } from './machine.js'
import type { Monitor } from './monitor.js'
import type { FaultKind, Step } from './plan-generator.js'

/** The parts of a campaign that faults change. */
export interface FaultContext {
  readonly folder: string
  readonly hosts: ReadonlyMap<string, Host>
  readonly network: HostNetwork
  readonly monitor: Monitor
  /** Records a change of state, and sends clients the list of daemons to use. */
  readonly become: (host: Host, state: HostState) => void
  /** Pauses the clients, or lets them continue. */
  readonly rest: (isResting: boolean) => void
  /** Writes a line to the log of the campaign. */
  readonly say: (text: string) => void
  /** Reports a violation. */
  readonly violated: (rule: string, text: string) => void
  /** Resolves when the campaign ends all faults, also those that would last longer. */
  readonly calm: Promise<void>
}

/** Performs one kind of fault. Calls `struck` when the fault begins later than the step. */
export type Perform = (context: FaultContext, victims: readonly Host[], step: Step, struck: () => void) => Promise<void>

/** After a loss the ring must be whole within this. */
const WHOLE_MS_MAX = 180_000
const LEAVE_MS_MAX = 180_000
/** Pongs report the last batch once a second, so after this time all members know it. */
const HEARD_MS = 3000
/** Wrong clocks: just above the allowed skew, and an hour; ahead and behind. */
const WRONG_BY_MS = [7000, -7000, 3_600_000, -3_600_000] as const
const SLOW_SYNC_MS = [500, 4000] as const

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
    for (const [from, to] of ways) context.network.cut(from.name, to.name)
    await lasting(context, forMs)
    for (const [from, to] of ways) context.network.mend(from.name, to.name)
    for (const victim of victims) context.become(victim, 'up')
  },

  cut: async (context, [from, to], { forMs }) => {
    context.network.cut(from!.name, to!.name)
    await lasting(context, forMs)
    context.network.mend(from!.name, to!.name)
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
      context.say(`${victim!.name} was refused to leave: ${thrown}`)
      context.become(victim!, 'up')
      return
    }
    const deadline = performance.now() + LEAVE_MS_MAX
    while (victim!.isRunning && performance.now() < deadline) await sleep(100)
    if (victim!.isRunning) {
      const { members: _, ...status } = await victim!.status().catch(() => ({ members: [], view: 0 }))
      const late = `${victim!.name} has not left after ${LEAVE_MS_MAX / 1000} s`
      context.violated('completion', `${late}: ${JSON.stringify(status)}`)
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
    await untilRecovered(context)
  },

  clock: async (context, [victim], { forMs, lots }) => {
    const aheadMs = WRONG_BY_MS[Math.floor(lots[1]! * WRONG_BY_MS.length)]!
    context.say(`the clock of ${victim!.name} is wrong by ${aheadMs / 1000} s`)
    context.become(victim!, 'away')
    victim!.machine.setClock(aheadMs)
    await lasting(context, forMs)
    victim!.machine.setClock(0)
    context.become(victim!, 'up')
  },

  'slow-syncs': async (context, [victim], { forMs, lots }) => {
    const [least, most] = SLOW_SYNC_MS
    victim!.machine.setSync(Math.round(least + lots[1]! * (most - least)))
    await lasting(context, forMs)
    victim!.machine.setSync(0)
  },

  'idle-clients': async (context, [victim], { forMs }) => {
    const clients = new IdleClients()
    const opened = clients.open(victim!.door, OPEN_FILES_MAX + 100)
    await lasting(context, forMs)
    clients.close()
    await opened
  },

  // The copy ends, because another process has its identity or newer data. Started again, it joins as a new member.
  clone: async (context, [original, copy]) => {
    context.become(copy!, 'moving')
    original!.freeze()
    original!.copyTo(copy!.data)
    original!.thaw()
    await copy!.start()
    context.become(copy!, 'up')
    await untilRecovered(context)
  },

  'wiped-founder': async (context, [victim], { forMs }) => {
    context.become(victim!, 'away')
    await victim!.kill()
    victim!.wipe()
    const founding = victim!.start({ founds: true })
    // Clients hear that it is foreign before it serves.
    context.become(victim!, 'away')
    await founding
    await lasting(context, forMs)
    await away(context, victim!, 0, async () => {
      await victim!.kill()
      victim!.wipe()
    })
    await untilRecovered(context)
  },

  wipe: async (context, [victim], { forMs }) => {
    await away(context, victim!, forMs, async () => {
      await victim!.kill()
      victim!.wipe()
    })
    await untilRecovered(context)
  },

  damage: async (context, [victim], { forMs, lots }, struck) => {
    await whileQuiet(context, async () => {
      context.become(victim!, 'away')
      await victim!.kill()
    })
    struck()
    context.say(damage(victim!, lots))
    await away(context, victim!, forMs, async () => {})
    await untilRecovered(context)
  },

  'roll-back': async (context, [victim], { forMs }, struck) => {
    const copy = join(context.folder, 'copy')
    victim!.freeze()
    victim!.copyTo(copy)
    victim!.thaw()
    await sleep(forMs)
    await whileQuiet(context, async () => {
      context.become(victim!, 'away')
      await victim!.kill()
    })
    struck()
    victim!.copyFrom(copy)
    rmSync(copy, { recursive: true })
    await away(context, victim!, 0, async () => {})
    await untilRecovered(context)
  }
}

/** Takes the daemon down, and starts it again after `forMs`. */
async function away(context: FaultContext, victim: Host, forMs: number, down: () => Promise<void>): Promise<void> {
  context.become(victim, 'away')
  await down()
  await lasting(context, forMs)
  await victim.start()
  context.become(victim, 'up')
}

async function stopWell(context: FaultContext, victim: Host): Promise<void> {
  const how = await victim.stop()
  if (how === undefined || how === 'exited with 0') return
  context.violated('crash', `${victim.name} was stopped by SIGTERM, but ${how}`)
}

/** Waits `forMs`, or until the campaign ends all faults. */
async function lasting({ calm }: FaultContext, forMs: number): Promise<void> {
  await Promise.race([sleep(forMs, undefined, { ref: false }), calm])
}

async function untilRecovered({ monitor, say }: FaultContext): Promise<void> {
  const { isWhole, why } = await monitor.untilWhole(WHOLE_MS_MAX)
  if (!isWhole) say(`the ring is not whole ${WHOLE_MS_MAX / 1000} s after a loss: ${why}`)
}

/** Pauses clients until the other members know the last batch of every disk, runs `work`, and lets clients continue. */
async function whileQuiet({ rest }: FaultContext, work: () => Promise<void>): Promise<void> {
  rest(true)
  await sleep(HEARD_MS)
  await work()
  rest(false)
}

/** Truncates a log or table file of the store, or flips one bit of it. Returns a description. */
function damage(victim: Host, lots: readonly number[]): string {
  const [, file = 0, way = 0, network = 0, bit = 0] = lots
  const files = victim.storeFiles()
  const path = files[Math.floor(file * files.length)]
  if (path === undefined) return `${victim.name} has no files to damage`
  const { size } = statSync(path)
  const at = Math.floor(network * size)
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
