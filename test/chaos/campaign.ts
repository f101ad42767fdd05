// One campaign: real daemons, client processes and the faults of a plan. Then all faults end, the ring must become
// whole, every key is read through every daemon, and histories and disks are checked.
// Owns the daemons, the clients and the folder. `end` removes all of them, also after an error.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Availability, type LifeChange } from './availability.js'
import { elapsedSince } from './client-records.js'
import { type Decision, decide, type HostState, type Situation } from './fault-limits.js'
import { type FaultContext, PERFORMERS } from './faults.js'
import { FinalChecks, type FinalResult } from './final-checks.js'
import { Host } from './host.js'
import { type HostNetwork, LoopbackHostNetwork, mountDisk, NamespaceHostNetwork, unmountDisk } from './host-network.js'
import { unknownKinds } from './judge-atomic.js'
import type { ChaosViolation } from './judge-histories.js'
import { Load } from './load.js'
import { buildSlowSyncs } from './machine.js'
import { Monitor } from './monitor.js'
import { type ChaosPlan, FAULTS, type FaultKind, type Step } from './plan-generator.js'
import { type ChaosReport, countAtomic, countOutcomes, type FaultRecord, figuresOf, unknownShares } from './report.js'

export interface CampaignOptions {
  readonly plan: ChaosPlan
  readonly minutes: number
  /** Whether this process is root in its own network and mount namespaces. */
  readonly isPrivate: boolean
  readonly unavailable: Readonly<Record<string, string>>
  /** Flags of every daemon. */
  readonly flags: readonly string[]
  /** Whether the campaign removes dead members as an operator would; otherwise the ring evicts them. */
  readonly removes: boolean
  readonly say: (text: string) => void
}

/** Hosts beyond the first members, for joins. */
const SPARE_HOSTS = 2
const NAMES = 'abcdefghijklmnop'
/** One of this number of daemons has its own disk. */
const DISK_ONE_IN = 2
const GROWN_MS_MAX = 180_000
const WARM_UP_MS = 3000
/** A step that is not allowed within this time is skipped. */
const WAIT_MS_MAX = 60_000
const WAIT_POLL_MS = 250
const MS_PER_MINUTE = 60_000
const HEALED_MS_MAX = 240_000

export class Campaign {
  readonly folder = mkdtempSync(join(tmpdir(), `ringd-chaos-${process.pid}-`))
  readonly #options: CampaignOptions
  readonly #originNs = process.hrtime.bigint()
  readonly #hosts = new Map<string, Host>()
  readonly #network: HostNetwork
  readonly #monitor: Monitor
  readonly #load: Load
  readonly #open = new Map<Promise<void>, FaultKind>()
  readonly #faults: FaultRecord[] = []
  readonly #changes: LifeChange[] = []
  readonly #skipped: Record<string, number> = {}
  readonly #violations: ChaosViolation[] = []
  /** Daemons whose store a fault may have damaged: they may refuse to start. */
  readonly #damaged = new Set<Host>()
  readonly #lines: string[] = []
  #isOver = false

  constructor(options: CampaignOptions) {
    const { plan, isPrivate, flags, removes } = options
    this.#options = options
    const names = NAMES.slice(0, plan.members + SPARE_HOSTS).split('')
    this.#network = isPrivate ? new NamespaceHostNetwork(names) : new LoopbackHostNetwork(names)
    const slowSyncs = buildSlowSyncs(this.folder)
    for (const [index, name] of names.entries()) {
      const hasDisk = isPrivate && index % DISK_ONE_IN === 0
      const others = () => this.#present().flatMap((other) => (other.name === name ? [] : [other.address]))
      const onEnd = (host: Host, how: string) => this.#ended(host, how)
      const host = new Host({
        ...{ name, folder: this.folder, network: this.#network, hasDisk, slowSyncs },
        ...{ flags, others, onEnd }
      })
      if (host.disk !== undefined) mountDisk(host.disk)
      this.#hosts.set(name, host)
    }
    this.#monitor = new Monitor(this.#hosts, removes)
    const doors = [...this.#hosts.values()].map(({ door }) => door)
    this.#load = new Load({ folder: this.folder, originNs: this.#originNs, seed: plan.seed, doors })
  }

  async run(): Promise<ChaosReport> {
    const { plan, minutes } = this.#options
    await this.#grow()
    this.#load.start()
    this.#sendDoors()
    const watching = this.#monitor.run()
    await sleep(WARM_UP_MS)
    const heal = Promise.withResolvers<void>()
    const context = this.#context(heal.promise)
    const deadline = performance.now() + minutes * MS_PER_MINUTE
    for (const step of plan.steps) {
      await sleep(Math.min(step.pauseMs, Math.max(0, deadline - performance.now())))
      if (performance.now() >= deadline || this.#isOver) break
      await this.#beginWhenAllowed(step, context, deadline)
    }
    await sleep(Math.max(0, deadline - performance.now()))
    this.#say('ending all faults')
    heal.resolve()
    await this.#heal(context)
    this.#monitor.end()
    await watching
    return this.#conclude()
  }

  /** Kills every process and removes the folder. First copies the folder to `keep`, when given. Never rejects. */
  async end(keep: string | undefined): Promise<void> {
    this.#isOver = true
    this.#monitor.end()
    this.#load.kill()
    await Promise.all([...this.#hosts.values()].map((host) => host.kill()))
    writeFileSync(join(this.folder, 'campaign.log'), `${this.#lines.join('\n')}\n`)
    if (keep !== undefined) {
      mkdirSync(keep, { recursive: true })
      cpSync(this.folder, keep, { recursive: true, filter: (path) => !/filler$|\.sock$/.test(path) })
    }
    for (const { disk } of this.#hosts.values()) if (disk !== undefined) unmountDisk(disk)
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }

  /** Daemons that are members, or are joining or leaving. */
  #present(): Host[] {
    return [...this.#hosts.values()].filter(({ state }) => state !== 'free')
  }

  async #grow(): Promise<void> {
    const hosts = [...this.#hosts.values()].slice(0, this.#options.plan.members)
    const [first, ...others] = hosts
    this.#become(first!, 'moving')
    await first!.start()
    for (const host of others) this.#become(host, 'moving')
    await Promise.all(others.map((host) => host.start()))
    for (const host of hosts) this.#become(host, 'up')
    const { isWhole, why } = await this.#monitor.untilWhole(GROWN_MS_MAX)
    if (!isWhole) throw new Error(`the ring did not form within ${GROWN_MS_MAX / 1000} s: ${why}`)
    this.#say(`${hosts.length} daemons have formed a ring`)
  }

  /** Begins the step as soon as it is allowed. Does not wait until it is over. */
  async #beginWhenAllowed(step: Step, context: FaultContext, campaignEnds: number): Promise<void> {
    const deadline = Math.min(campaignEnds, performance.now() + WAIT_MS_MAX)
    for (;;) {
      const decision = decide(step, await this.#situation(step))
      if (decision.do === 'go') return this.#begin(step, decision, context)
      const isLate = performance.now() > deadline
      if (decision.do === 'skip' || isLate || this.#isOver) {
        const why = `${step.kind}: ${decision.why}`
        this.#skipped[why] = (this.#skipped[why] ?? 0) + 1
        return
      }
      await sleep(WAIT_POLL_MS)
    }
  }

  #begin({ kind, index, ...step }: Step, { targets }: Decision & { do: 'go' }, context: FaultContext): void {
    const victims = targets.map((name) => this.#hosts.get(name)!)
    const record: FaultRecord = { index, kind, victims: targets, begin: this.#now(), end: undefined }
    this.#faults.push(record)
    this.#say(`${index} ${kind} ${targets.join(' ')} for ${(step.forMs / 1000).toFixed(1)} s`)
    if (FAULTS[kind].loses) for (const victim of victims) this.#damaged.add(victim)
    const struck = () => {
      record.begin = this.#now()
    }
    const done = PERFORMERS[kind](context, victims, { kind, index, ...step }, struck).catch((thrown: Error) => {
      if (!this.#isOver) this.#violated('completion', `${kind} of ${targets.join(' ')}: ${thrown.message}`)
    })
    // By now the victims that cannot serve count as away.
    struck()
    this.#open.set(done, kind)
    void done.then(() => {
      this.#open.delete(done)
      record.end = this.#now()
      this.#say(`${index} ${kind} ${targets.join(' ')} is over`)
    })
  }

  async #situation({ kind }: Step): Promise<Situation> {
    const open = [...this.#open.values()]
    const hosts = new Map([...this.#hosts].map(([name, { state }]) => [name, state]))
    const disks = new Set([...this.#hosts.values()].filter(({ disk }) => disk !== undefined).map(({ name }) => name))
    return {
      ...{ hosts, disks, open: open.length, deadMembers: this.#monitor.deadMembers },
      openLoss: open.some((one) => FAULTS[one].loses),
      openAlone: open.some((one) => FAULTS[one].alone),
      isWhole: FAULTS[kind].loses === true && (await this.#monitor.look()).isWhole
    }
  }

  async #heal(context: FaultContext): Promise<void> {
    const deadline = performance.now() + HEALED_MS_MAX
    while (this.#open.size > 0 && performance.now() < deadline && !this.#isOver) {
      await Promise.race([...this.#open.keys(), sleep(WAIT_POLL_MS)])
    }
    for (const kind of this.#open.values())
      context.violated('completion', `${kind} is not over after ${HEALED_MS_MAX / 1000} s`)
    const { isWhole, why } = await this.#monitor.untilWhole(Math.max(0, deadline - performance.now()))
    if (isWhole) this.#say('the ring is whole')
    else this.#violated('completion', `the ring is not whole after ${HEALED_MS_MAX / 1000} s without faults: ${why}`)
  }

  async #conclude(): Promise<ChaosReport> {
    const { plan, minutes, unavailable } = this.#options
    const records = await this.#load.stop()
    const present = this.#present()
    const checks = new FinalChecks({
      hosts: present,
      originNs: this.#originNs,
      folder: this.folder,
      say: this.#sayBound
    })
    const result: FinalResult = await checks.run(records)
    const attempts = records.flat()
    for (const kind of unknownKinds(attempts)) this.#say(`${kind}: the daemons do not know its commands; not checked`)
    const availability = new Availability(attempts, this.#changes)
    const until = attempts.reduce((latest, { end }) => Math.max(latest, end ?? 0), 0)
    const without = this.#faults.map(({ begin }) => availability.without(begin, until))
    const back = this.#faults.map(({ victims, end = until }) => availability.back(victims, end, until))
    return {
      ...{ seed: plan.seed, minutes, members: plan.members, network: this.#network.hasNetwork, unavailable },
      operations: countOutcomes(attempts),
      atomic: countAtomic(attempts),
      faults: figuresOf(this.#faults, without, back, unknownShares(this.#faults, attempts, until)),
      skipped: this.#skipped,
      disks: result.disks,
      unchecked: result.unchecked,
      violations: [...this.#violations, ...result.violations],
      kept: undefined
    }
  }

  #context(calm: Promise<void>): FaultContext {
    return {
      ...{ folder: this.folder, hosts: this.#hosts, network: this.#network, monitor: this.#monitor, calm },
      become: (host, state) => this.#become(host, state),
      rest: (rest) => this.#load.send({ rest }),
      say: this.#sayBound,
      violated: (rule, text) => this.#violated(rule, text)
    }
  }

  #become(host: Host, state: HostState): void {
    host.state = state
    this.#changes.push({ at: this.#now(), node: host.name, lives: state === 'up' })
    this.#sendDoors()
  }

  /** Clients use all daemons of the ring, also those that are down. */
  #sendDoors(): void {
    const doors = this.#present().filter(({ isForeign }) => !isForeign)
    this.#load.send({ doors: doors.map(({ name }) => name) })
  }

  /** A daemon has ended by itself. That is no violation after it was asked to leave, or when its store is damaged. */
  #ended(host: Host, how: string): void {
    if (this.#isOver) return
    this.#say(`${host.name} ${how}`)
    const hasLeft = host.state === 'moving' && how === 'exited with 0'
    const mayRefuse = this.#damaged.has(host) && /^exited with [567]:/.test(how)
    if (!hasLeft && !mayRefuse) this.#violated('crash', `${host.name} ${how}\n${host.tail()}`)
    if (host.state !== 'up') return
    this.#become(host, 'away')
    host.start().then(
      () => this.#become(host, 'up'),
      (thrown) => this.#violated('completion', String(thrown))
    )
  }

  #violated(rule: string, text: string): void {
    this.#say(`BROKEN ${rule}: ${text}`)
    this.#violations.push({ at: this.#now(), rule, text, excerpt: [] })
  }

  readonly #sayBound = (text: string): void => this.#say(text)

  #say(text: string): void {
    const line = `${(this.#now() / 1000).toFixed(3)} ${text}`
    this.#lines.push(line)
    this.#options.say(line)
  }

  #now(): number {
    return elapsedSince(this.#originNs)
  }
}
