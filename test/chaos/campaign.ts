// One campaign: real daemons, client processes, the faults of a plan; then everything heals, the ring must become
// whole, every key is read through every daemon, and histories and disks are judged.
// Owns the daemons, the clients and the folder; `end` takes all of it away, whatever has happened before.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LifeChange, Service } from './availability.js'
import { elapsedSince } from './client-records.js'
import { type Decision, decide, type HostState, type Scene } from './fault-limits.js'
import { type FaultContext, PERFORMERS } from './faults.js'
import { Finish, type Verdict } from './final-checks.js'
import { Host } from './host.js'
import { type HostNetwork, LoopbackHostNetwork, mountDisk, NamespaceHostNetwork, unmountDisk } from './host-network.js'
import type { Broken } from './judge-histories.js'
import { Load } from './load.js'
import { Monitor } from './monitor.js'
import { type ChaosPlan, FAULTS, type FaultKind, type Step } from './plan-generator.js'
import { type ChaosReport, countOutcomes, type FaultRecord, figuresOf } from './report.js'

export interface CampaignOptions {
  readonly plan: ChaosPlan
  readonly minutes: number
  /** This process is root in a network and a mount namespace of its own. */
  readonly isPrivate: boolean
  readonly unavailable: Readonly<Record<string, string>>
  /** Flags for every daemon. */
  readonly flags: readonly string[]
  /** Members that are gone are removed by hand; otherwise the ring does it. */
  readonly removes: boolean
  readonly say: (text: string) => void
}

/** Beyond the members that begin, for joins. */
const SPARE_HOSTS = 2
const NAMES = 'abcdefghijklmnop'
/** Every so manieth daemon has a disk of its own. */
const DISK_EACH = 2
const GROWN_MS_MAX = 180_000
const WARM_UP_MS = 3000
/** A step that may not be done yet is dropped after so long. */
const WAIT_MS_MAX = 60_000
const WAIT_POLL_MS = 250
const MS_PER_MINUTE = 60_000
const HEALED_MS_MAX = 240_000

export class Campaign {
  readonly folder = mkdtempSync(join(tmpdir(), `ringd-chaos-${process.pid}-`))
  readonly #options: CampaignOptions
  readonly #originNs = process.hrtime.bigint()
  readonly #hosts = new Map<string, Host>()
  readonly #place: HostNetwork
  readonly #monitor: Monitor
  readonly #load: Load
  readonly #open = new Map<Promise<void>, FaultKind>()
  readonly #faults: FaultRecord[] = []
  readonly #changes: LifeChange[] = []
  readonly #skipped: Record<string, number> = {}
  readonly #violations: Broken[] = []
  /** Stores that a fault may have harmed: they may refuse to start. */
  readonly #harmed = new Set<Host>()
  readonly #lines: string[] = []
  #isOver = false

  constructor(options: CampaignOptions) {
    const { plan, isPrivate, flags, removes } = options
    this.#options = options
    const names = NAMES.slice(0, plan.members + SPARE_HOSTS).split('')
    this.#place = isPrivate ? new NamespaceHostNetwork(names) : new LoopbackHostNetwork(names)
    for (const [index, name] of names.entries()) {
      const hasDisk = isPrivate && index % DISK_EACH === 0
      const others = () => this.#present().flatMap((other) => (other.name === name ? [] : [other.address]))
      const onEnd = (host: Host, how: string) => this.#ended(host, how)
      const host = new Host({ name, folder: this.folder, place: this.#place, hasDisk, flags, others, onEnd })
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
    this.#tellDoors()
    const watching = this.#monitor.run()
    await sleep(WARM_UP_MS)
    const heal = Promise.withResolvers<void>()
    const context = this.#context(heal.promise)
    const deadline = performance.now() + minutes * MS_PER_MINUTE
    for (const step of plan.steps) {
      await sleep(Math.min(step.pauseMs, Math.max(0, deadline - performance.now())))
      if (performance.now() >= deadline || this.#isOver) break
      await this.#take(step, context, deadline)
    }
    await sleep(Math.max(0, deadline - performance.now()))
    this.#say('healing')
    heal.resolve()
    await this.#heal(context)
    this.#monitor.end()
    await watching
    return this.#conclude()
  }

  /** Kills every process, and removes the folder; kept when `keep` names another place. Never rejects. */
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

  /** Daemons that belong to the ring, or are on their way. */
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
    if (!isWhole) throw new Error(`the ring has not grown in time: ${why}`)
    this.#say(`${hosts.length} daemons are one ring`)
  }

  /** Begins the step as soon as it may be done, and does not wait until it is over. */
  async #take(step: Step, context: FaultContext, campaignEnds: number): Promise<void> {
    const deadline = Math.min(campaignEnds, performance.now() + WAIT_MS_MAX)
    for (;;) {
      const decision = decide(step, await this.#scene(step))
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
    if (FAULTS[kind].loses) for (const victim of victims) this.#harmed.add(victim)
    const struck = () => {
      record.begin = this.#now()
    }
    const done = PERFORMERS[kind](context, victims, { kind, index, ...step }, struck).catch((thrown: Error) => {
      if (!this.#isOver) this.#broken('completion', `${kind} of ${targets.join(' ')}: ${thrown.message}`)
    })
    // By now whoever cannot serve any more counts as away.
    struck()
    this.#open.set(done, kind)
    void done.then(() => {
      this.#open.delete(done)
      record.end = this.#now()
      this.#say(`${index} ${kind} ${targets.join(' ')} is over`)
    })
  }

  async #scene({ kind }: Step): Promise<Scene> {
    const open = [...this.#open.values()]
    const hosts = new Map([...this.#hosts].map(([name, { state }]) => [name, state]))
    const disks = new Set([...this.#hosts.values()].filter(({ disk }) => disk !== undefined).map(({ name }) => name))
    return {
      ...{ hosts, disks, open: open.length, ghosts: this.#monitor.ghosts },
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
    for (const kind of this.#open.values()) context.broken('completion', `${kind} is not over after healing`)
    const { isWhole, why } = await this.#monitor.untilWhole(Math.max(0, deadline - performance.now()))
    if (!isWhole) this.#broken('completion', `the ring is not whole ${HEALED_MS_MAX / 1000} s after healing: ${why}`)
    this.#say('the ring is whole')
  }

  async #conclude(): Promise<ChaosReport> {
    const { plan, minutes, unavailable } = this.#options
    const records = await this.#load.stop()
    const present = this.#present()
    const finish = new Finish({ hosts: present, originNs: this.#originNs, folder: this.folder, say: this.#sayBound })
    const verdict: Verdict = await finish.judge(records)
    const attempts = records.flat()
    const service = new Service(attempts, this.#changes)
    const until = attempts.reduce((latest, { end }) => Math.max(latest, end ?? 0), 0)
    const without = this.#faults.map(({ begin }) => service.without(begin, until))
    const back = this.#faults.map(({ victims, end = until }) => service.back(victims, end, until))
    return {
      ...{ seed: plan.seed, minutes, members: plan.members, network: this.#place.hasNetwork, unavailable },
      operations: countOutcomes(attempts),
      faults: figuresOf(this.#faults, without, back),
      skipped: this.#skipped,
      disks: verdict.disks,
      violations: [...this.#violations, ...verdict.violations],
      kept: undefined
    }
  }

  #context(calm: Promise<void>): FaultContext {
    return {
      ...{ folder: this.folder, hosts: this.#hosts, place: this.#place, monitor: this.#monitor, calm },
      become: (host, state) => this.#become(host, state),
      rest: (rest) => this.#load.tell({ rest }),
      say: this.#sayBound,
      broken: (rule, text) => this.#broken(rule, text)
    }
  }

  #become(host: Host, state: HostState): void {
    host.state = state
    this.#changes.push({ at: this.#now(), node: host.name, lives: state === 'up' })
    this.#tellDoors()
  }

  /** Clients ask dead daemons as well, but none that do not belong to the ring. */
  #tellDoors(): void {
    this.#load.tell({ doors: this.#present().map(({ name }) => name) })
  }

  /** A daemon has ended by itself: right after it was told to leave, or when its store was harmed. */
  #ended(host: Host, how: string): void {
    if (this.#isOver) return
    this.#say(`${host.name} ${how}`)
    const hasLeft = host.state === 'moving' && how === 'exited with 0'
    const mayRefuse = this.#harmed.has(host) && /^exited with [567]:/.test(how)
    if (!hasLeft && !mayRefuse) this.#broken('crash', `${host.name} ${how}\n${host.tail()}`)
    if (host.state !== 'up') return
    this.#become(host, 'away')
    host.start().then(
      () => this.#become(host, 'up'),
      (thrown) => this.#broken('completion', String(thrown))
    )
  }

  #broken(rule: string, text: string): void {
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
