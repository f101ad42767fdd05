// Runs a plan: builds the ring, does what the plan says, shows checkers everything that can be seen, and stops at the
// first broken promise. The same plan gives the same run, to the last byte.
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
  /** Judges of this run, new for each. */
  readonly checkers?: () => readonly Checker[]
  /** Sees every observation. */
  readonly onObservation?: (observation: Observation) => void
  /** Is given a readable line for everything that happens, logs of nodes included. */
  readonly read?: (line: string) => void
}

export interface RunReport {
  readonly seed: number
  /** The first broken promise, and whatever else the checkers found with it. */
  readonly violations: readonly Violation[]
  /** Asked by clients, and how many worked. */
  readonly operations: number
  readonly acknowledged: number
  /** Operations that failed, by error; `none`: no answer. */
  readonly failures: Readonly<Record<string, number>>
  /** Views that were chosen after the first operation. */
  readonly views: number
  /** Steps that did something, by kind. */
  readonly faults: Readonly<Record<string, number>>
  readonly virtualMs: number
  readonly observations: number
  readonly deliveries: number
  /** Of everything that happened. */
  readonly hash: string
}

/** After everything healed, the ring is whole and all operations are answered within this. */
const HEALING_MS = 60_000
const READING_MS = 20_000
/** Some rounds of repair, and one of reading everything for damaged entries. */
const REPAIR_MS = 60_000
const LOOK_MS = 1000
const LOAD_MS = 1000
const RESTART_MS = 1000
/** A process may end with these: its disk fails while it starts, is an old copy, or the ring went on without it. */
const GOOD_REASONS: ReadonlySet<string> = new Set(['STORE_FAILED', 'DISK_FULL', 'REMOVED'])
/** How often the operator looks for members that are lost, once faults are over. */
const MEND_MS = 3000

export function runSeed(seed: number, options: RunOptions = {}): Promise<RunReport> {
  return runPlan(generatePlan(seed), options)
}

export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<RunReport> {
  const run = new Run(plan, options)
  const onRejection = (reason: unknown) => run.broken('crash', `an error that nobody caught: ${textOfError(reason)}`)
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
    this.#tellLoads()
    await this.#clock.runUntil(() => this.#look(), durationMs)
    if (mode === 'liveness') await this.#heal()
    for (const checker of this.#checkers) checker.finish(this.#clock.elapsed())
    this.#collect()
    for (const host of this.#hostList) host.crash(true, false)
    return this.#report()
  }

  /** A promise is broken that no checker watches: the run ends. */
  broken(rule: string, text: string): void {
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

  /** Everybody who ever started. Nobody for the very first, until it has founded the ring. */
  #joinsOf(host: SimHost): string[] {
    this.#founder ??= host
    if (host === this.#founder && this.#watcher.views.size === 0) return []
    return this.#hostList.filter((other) => other !== host && other.hasStarted).map(({ address }) => address)
  }

  /** What a supervisor does: a process that ends for a good reason is started again after a while. */
  #failed(host: SimHost, error: Error): void {
    const code = 'code' in error ? String(error.code) : ''
    const isGood = GOOD_REASONS.has(code) || (code === 'DATA_DAMAGED' && host.disk.losses > 0)
    if (!isGood) return this.broken('crash', `${host.name} gave up: ${textOfError(error)}`)
    this.#trace.said(this.#clock.elapsed(), `${host.name} gave up: ${error.message}`)
    const again = () => {
      this.#crash(host, false)
      this.#clock.after(RESTART_MS, () => host.start())
    }
    if (host.node === undefined) again()
    else host.stop(again)
  }

  /** The operator stops who has left; its disk is a stranger's from then on. */
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

  #tellLoads(): void {
    this.#clock.after(LOAD_MS, () => {
      for (const [host, metrics] of this.#metrics) this.#watcher.tellLoad(host, metrics)
      this.#tellLoads()
    })
  }

  /** Before each event: shows what the last one changed. True when the run is over. */
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

  /** Faults are over: the ring becomes whole, every operation is answered, and every key can be read everywhere. */
  async #heal(): Promise<void> {
    if (this.#violations.length > 0) return
    healAll(this.#context)
    this.#observe({ type: 'healed', at: this.#clock.elapsed() })
    this.#mend()
    await this.#within(HEALING_MS, 'the ring is not whole', () => this.#clients.isIdle && isWhole(this.#hostList))
    // Before the reads, which write the newest back.
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

  /** Without anybody's help all owners of every slot come to hold the same entries. Looked at once a second. */
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
    await this.#within(REPAIR_MS, 'owners do not hold the same', isEqual, () => difference)
  }

  /** The operator: has the ring go on without members whose disks are lost. */
  #mend(): void {
    removeLost(this.#context, 0)
    this.#clock.after(MEND_MS, () => this.#mend())
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
    this.broken('liveness', `${text} within ${limitMs} ms; operations open: ${this.#clients.open}; ${nodes}; ${more()}`)
  }

  #logger(fields: Fields): Logger {
    const { read } = this.#options
    const say = (level: string) => (more: Fields, message: string) => {
      if (read === undefined) return
      const all = { ...fields, ...more }
      const told = Object.entries(all).map(
        ([name, value]) => `${name}=${value instanceof Error ? value.message : value}`
      )
      read(`${this.#clock.elapsed().toFixed(3).padStart(12)}    ${level} ${message} ${told.join(' ')}`)
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
