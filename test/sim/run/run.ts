// Runs a plan: builds the ring, performs the steps, gives every observation to the checkers, and stops at the first
// violation. The same plan gives the same run, to the last byte.
import type { Fields, Logger } from '../../../lib/logger.js'
import { MemoryHub } from '../seams/memory-network.js'
import { SimDisk } from '../seams/sim-disk.js'
import { VirtualClock } from '../seams/virtual-clock.js'
import { seeded } from '../sim-node.js'
import { Clients } from './clients.js'
import { healAll, perform, type RunContext, removeLost, wipeOldCopies } from './faults.js'
import { differenceOf, isWhole, stateOf } from './healing.js'
import type { Checker, Observation, Violation } from './observation.js'
import { keysOf, nodesOf, type Plan, type Step } from './plan.js'
import { generatePlan } from './plan-generator.js'
import { SimHost } from './sim-host.js'
import { Trace } from './trace.js'
import { LoadMetrics, Watcher } from './watcher.js'

export interface RunOptions {
  /** Makes the checkers of this run. */
  readonly checkers?: () => readonly Checker[]
  /** Called with every observation. */
  readonly onObservation?: (observation: Observation) => void
  /** Called with a readable line for every event, including log lines of nodes. */
  readonly read?: (line: string) => void
}

export interface RunReport {
  readonly seed: number
  /** The first violation, and all others that the checkers found at the same observation. */
  readonly violations: readonly Violation[]
  /** What checkers could not check within their bounds. */
  readonly unchecked: number
  /** Operations that clients sent. */
  readonly operations: number
  /** Operations that succeeded. */
  readonly acknowledged: number
  /** Operations that failed, by error; `none`: no answer. */
  readonly failures: Readonly<Record<string, number>>
  /** Views that were chosen after the first operation. */
  readonly views: number
  /** Steps that had an effect, by kind. */
  readonly faults: Readonly<Record<string, number>>
  readonly virtualMs: number
  readonly observations: number
  readonly deliveries: number
  /** The hash of all observations, steps and packets. */
  readonly hash: string
}

/** After all faults have ended, the ring must be whole and all operations answered within this. */
const HEALING_MS = 60_000
const READING_MS = 20_000
/** Long enough for some rounds of repair and for one scrub of the whole store. */
const REPAIR_MS = 60_000
const LOOK_MS = 1000
const LOAD_MS = 1000
const RESTART_MS = 1000
/** Expected ends of a process: its disk failed or was full, or it must come back as a new member. */
const GOOD_REASONS: ReadonlySet<string> = new Set(['STORE_FAILED', 'DISK_FULL', 'REMOVED'])
/** After the faults have ended, the operator looks for lost members at this interval. */
const REMOVE_LOST_MS = 3000

export function runSeed(seed: number, options: RunOptions = {}): Promise<RunReport> {
  return runPlan(generatePlan(seed), options)
}

export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<RunReport> {
  const run = new Run(plan, options)
  const onRejection = (reason: unknown) => run.violated('crash', `unhandled rejection: ${textOfError(reason)}`)
  process.on('unhandledRejection', onRejection)
  try {
    return await run.go()
  } finally {
    process.off('unhandledRejection', onRejection)
  }
}

class Run {
  readonly #plan: Plan
  readonly #options: RunOptions
  readonly #clock = new VirtualClock()
  readonly #hub: MemoryHub
  readonly #hosts = new Map<string, SimHost>()
  readonly #metrics = new Map<SimHost, LoadMetrics>()
  readonly #hostList: SimHost[] = []
  readonly #checkers: readonly Checker[]
  readonly #violations: Violation[] = []
  readonly #trace: Trace
  readonly #watcher: Watcher
  readonly #clients: Clients
  readonly #context: RunContext
  readonly #faults: Record<string, number> = {}
  #founder: SimHost | undefined
  #firstOperation = Number.POSITIVE_INFINITY

  constructor(plan: Plan, options: RunOptions) {
    this.#plan = plan
    this.#options = options
    this.#checkers = options.checkers?.() ?? []
    this.#trace = new Trace(options.read)
    const random = seeded(plan.seed)
    const clock = this.#clock
    this.#hub = new MemoryHub(clock, seeded(plan.seed + 1), plan.network)
    this.#hub.onDelivery = (from, to, _what, bytes) => this.#trace.delivered(clock.elapsed(), from, to, bytes)
    const observe = (observation: Observation) => this.#observe(observation)
    this.#watcher = new Watcher({ hub: this.#hub, now: () => clock.elapsed(), observe }, keysOf(plan))
    this.#clients = new Clients({ clock, hosts: this.#hosts, observe })
    const crash = (host: SimHost, isPowerCut: boolean) => this.#crash(host, isPowerCut)
    this.#context = {
      clock,
      hub: this.#hub,
      random,
      hosts: this.#hosts,
      crash,
      removed: new Set(),
      oldCopies: new Map(),
      isCalm: false
    }
    for (const name of nodesOf(plan)) this.#build(name)
  }

  async go(): Promise<RunReport> {
    const { steps, operations, durationMs, mode } = this.#plan
    for (const step of steps) this.#clock.after(step.at, () => this.#perform(step))
    this.#clients.plan(operations)
    this.#sampleLoads()
    await this.#clock.runUntil(() => this.#look(), durationMs)
    if (mode === 'liveness') await this.#heal()
    for (const checker of this.#checkers) checker.finish(this.#clock.elapsed())
    this.#collect()
    for (const host of this.#hostList) host.crash(true, false)
    return this.#report()
  }

  /** Reports a violation of a rule that no checker watches. The run ends. */
  violated(rule: string, text: string): void {
    this.#violations.push({ at: this.#clock.elapsed(), rule, text })
  }

  #build(name: string): void {
    const { plan, clock, random } = { plan: this.#plan, clock: this.#clock, random: this.#context.random }
    const observe = (observation: Observation) => this.#observe(observation)
    const disk = new SimDisk({ clock, random, observe }, plan.disk)
    const metrics = new LoadMetrics()
    const host = new SimHost(name, this.#hostList.length, {
      clock,
      hub: this.#hub,
      random,
      disk,
      replicas: plan.replicas,
      weight: plan.weight,
      purgeAfterMs: plan.purgeAfterMs,
      evictAfterMs: plan.evictAfterMs ?? 0,
      log: this.#logger({}),
      metrics,
      join: () => this.#joinsOf(host),
      onStarted: () => this.#observe({ type: 'started', at: clock.elapsed(), node: name }),
      onFailed: (_host, error) => this.#failed(host, error),
      onLeft: () => this.#left(host)
    })
    this.#hosts.set(name, host)
    this.#hostList.push(host)
    this.#metrics.set(host, metrics)
  }

  /** Addresses to join by: all hosts that were started. None for the first host until the ring is founded. */
  #joinsOf(host: SimHost): string[] {
    this.#founder ??= host
    if (host === this.#founder && this.#watcher.views.size === 0) return []
    return this.#hostList.filter((other) => other !== host && other.hasStarted).map(({ address }) => address)
  }

  /** Acts as a service manager: starts a process again that ended for an expected reason. */
  #failed(host: SimHost, error: Error): void {
    const code = 'code' in error ? String(error.code) : ''
    const isGood = GOOD_REASONS.has(code) || (code === 'DATA_DAMAGED' && host.disk.losses > 0)
    if (!isGood) return this.violated('crash', `${host.name} gave up: ${textOfError(error)}`)
    this.#trace.said(this.#clock.elapsed(), `${host.name} gave up: ${error.message}`)
    const again = () => {
      this.#crash(host, false)
      this.#clock.after(RESTART_MS, () => host.start())
    }
    if (host.node === undefined) again()
    else host.stop(again)
  }

  /** Acts as the operator: stops a node that has left. Its next life joins as a new member. */
  #left(host: SimHost): void {
    this.#trace.said(this.#clock.elapsed(), `${host.name} has left`)
    host.stop(() => {
      this.#crash(host, false)
      host.hasStarted = false
    })
  }

  #perform(step: Step): void {
    if (!perform(this.#context, step)) return
    this.#faults[step.kind] = (this.#faults[step.kind] ?? 0) + 1
    this.#trace.said(this.#clock.elapsed(), `step ${JSON.stringify(step)}`)
  }

  #crash(host: SimHost, isPowerCut: boolean): void {
    const { node, name } = host
    host.crash(isPowerCut, this.#context.random.next() < 0.5)
    const at = this.#clock.elapsed()
    this.#observe({ type: 'killed', at, node: name })
    if (this.#context.isCalm) this.#observe({ type: 'healed', at })
    if (node !== undefined) this.#clients.lost(node)
    wipeOldCopies(this.#context)
  }

  #sampleLoads(): void {
    this.#clock.after(LOAD_MS, () => {
      for (const [host, metrics] of this.#metrics) this.#watcher.reportLoad(host, metrics)
      this.#sampleLoads()
    })
  }

  /** Called before each event: reports what the last event changed. Returns true when a rule is broken. */
  #look(): boolean {
    for (const host of this.#hostList) this.#watcher.look(host)
    return this.#violations.length > 0
  }

  #observe(observation: Observation): void {
    if (observation.type === 'invoked' && this.#firstOperation === Number.POSITIVE_INFINITY) {
      this.#firstOperation = observation.at
    }
    this.#trace.observed(observation)
    this.#options.onObservation?.(observation)
    for (const checker of this.#checkers) {
      checker.observe(observation)
      if (checker.violations.length > 0) this.#collect()
    }
  }

  #collect(): void {
    for (const { violations } of this.#checkers) {
      for (const violation of violations) if (!this.#violations.includes(violation)) this.#violations.push(violation)
    }
  }

  /**
   * Ends all faults. Then the ring must become whole, every operation be answered, and every key be readable
   * everywhere.
   */
  async #heal(): Promise<void> {
    if (this.#violations.length > 0) return
    healAll(this.#context)
    this.#observe({ type: 'healed', at: this.#clock.elapsed() })
    this.#removeLost()
    await this.#within(HEALING_MS, 'the ring is not whole', () => this.#clients.isIdle && isWhole(this.#hostList))
    // This must come before the reads: a read writes the newest version back, and would hide a failure of repair.
    if (this.#violations.length === 0) await this.#untilEqual()
    let reads = 0
    for (const { node } of this.#hostList) {
      if (node === undefined || this.#violations.length > 0) continue
      for (const key of keysOf(this.#plan)) {
        reads += 1
        this.#clients.ask(node, { client: -1, kind: 'get', key }, () => {
          reads -= 1
        })
      }
    }
    await this.#within(READING_MS, 'reads are not answered', () => reads === 0)
  }

  /** Waits until repair has given all owners of every slot the same entries. Compared once a second: it is slow. */
  async #untilEqual(): Promise<void> {
    let lookAt = 0
    let difference = ''
    const isEqual = () => {
      const now = this.#clock.elapsed()
      if (now < lookAt) return false
      difference = isWhole(this.#hostList) ? differenceOf(this.#hostList) : 'the ring is not whole'
      if (difference !== '') lookAt = now + LOOK_MS
      return difference === ''
    }
    await this.#within(REPAIR_MS, 'owners hold different entries', isEqual, () => difference)
  }

  /** Acts as the operator: removes members whose disks are lost. */
  #removeLost(): void {
    removeLost(this.#context, 0)
    this.#clock.after(REMOVE_LOST_MS, () => this.#removeLost())
  }

  async #within(limitMs: number, text: string, done: () => boolean, more = () => ''): Promise<void> {
    let isDone = false
    const look = () => {
      isDone = !this.#look() && done()
      return isDone || this.#violations.length > 0
    }
    await this.#clock.runUntil(look, limitMs)
    if (isDone || this.#violations.length > 0) return
    const nodes = this.#hostList.map(stateOf).join('; ')
    const open = `open operations: ${this.#clients.open}`
    this.violated('liveness', `${text} after ${limitMs} ms; ${open}; ${nodes}; ${more()}`)
  }

  #logger(fields: Fields): Logger {
    const { read } = this.#options
    const say = (level: string) => (more: Fields, message: string) => {
      if (read === undefined) return
      const all = { ...fields, ...more }
      const values = Object.entries(all).map(
        ([name, value]) => `${name}=${value instanceof Error ? value.message : value}`
      )
      read(`${this.#clock.elapsed().toFixed(3).padStart(12)}    ${level} ${message} ${values.join(' ')}`)
    }
    const child = (more: Fields) => this.#logger({ ...fields, ...more })
    return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error'), child }
  }

  #report(): RunReport {
    const { invoked, acknowledged, failures } = this.#clients
    const views = [...this.#watcher.views.values()].filter((at) => at > this.#firstOperation).length
    return {
      seed: this.#plan.seed,
      violations: this.#violations,
      unchecked: this.#checkers.reduce((sum, { unchecked = 0 }) => sum + unchecked, 0),
      operations: invoked,
      acknowledged,
      failures: Object.fromEntries(failures),
      views,
      faults: this.#faults,
      virtualMs: this.#clock.elapsed(),
      observations: this.#trace.observations,
      deliveries: this.#trace.deliveries,
      hash: this.#trace.digest()
    }
  }
}

function textOfError(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const code = 'code' in thrown ? `${thrown.code}: ` : ''
  const cause = thrown.cause instanceof Error ? `; ${thrown.cause.stack}` : ''
  return `${code}${thrown.stack ?? thrown.message}${cause}`
}
