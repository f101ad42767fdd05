// One daemon of a campaign, over all its lives: a data directory, a fixed address, and the process. Restarts the
// process as a service manager would. Owns the process; signals no other process.
// Invariant: a process that ends without being told to is reported, and started again.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readRunFile } from '../../daemon/run-file.js'
import { RingdClient } from '../../lib/client/client.js'
import type { RingReport, StatusReport } from '../../lib/client/reports.js'
import type { MemberId } from '../../lib/member.js'
import { connectClient } from '../../lib/network/client-link.js'
import { parseClientSecrets } from '../../lib/network/secrets.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { PeerProcess } from '../../scripts/peer-process.js'
import type { DoorPlan } from './client-door.js'
import type { HostState } from './fault-limits.js'
import { type HostNetwork, PEER_PORT, RESP_PORT, SECRET } from './host-network.js'
import { Machine } from './machine.js'

export interface HostOptions {
  readonly name: string
  /** The folder of the campaign. */
  readonly folder: string
  readonly network: HostNetwork
  /** Whether its data is on a small disk of its own. */
  readonly hasDisk: boolean
  /** The library that makes syncs slow; undefined: they never are. */
  readonly slowSyncs: string | undefined
  readonly flags: readonly string[]
  /** The multiaddrs of the other daemons at a start. */
  readonly others: () => readonly string[]
  /** The process ended without being told to. */
  readonly onEnd: (host: Host, how: string) => void
}

/** A restarted daemon serves only after a majority has answered it, and faults may keep that majority away. */
const READY_MS_MAX = 300_000
const STOP_MS_MAX = 40_000
const AGAIN_MS = 1000
/** After this number of failed starts on a damaged directory, the operator empties the directory. */
const DAMAGED_STARTS_MAX = 3
const STATUS_MS = 4000
const EXIT_DAMAGED = 6
const EXIT_REMOVED = 5

export class Host {
  readonly name: string
  readonly data: string
  readonly log: string
  readonly disk: string | undefined
  readonly machine: Machine
  state: HostState = 'free'
  /** The member id of its newest life; undefined while it has no data. */
  storeId: MemberId | undefined
  readonly #options: HostOptions
  #process: PeerProcess | undefined
  #isWanted = false
  #isFrozen = false
  /** It is started without the addresses of the others. */
  #founds = false
  #damagedStarts = 0
  #client: Promise<RingdClient> | undefined
  #serving: Promise<void> = Promise.resolve()

  constructor(options: HostOptions) {
    const { name, folder, hasDisk, slowSyncs } = options
    this.#options = options
    this.name = name
    this.log = join(folder, `${name}.log`)
    this.disk = hasDisk ? join(folder, 'disks', name) : undefined
    this.machine = new Machine(join(folder, 'machines', name), slowSyncs)
    this.data = join(this.disk ?? join(folder, 'data', name), 'ringd')
  }

  get door(): DoorPlan {
    const { host, password } = this.#options.network.addressOf(this.name)
    return { name: this.name, host, peerPort: PEER_PORT, respPort: RESP_PORT, password, secret: SECRET }
  }

  get address(): string {
    return `/ip4/${this.door.host}/tcp/${PEER_PORT}`
  }

  get isRunning(): boolean {
    return this.#process?.alive ?? false
  }

  /** It serves a ring of its own, which is no business of the clients. */
  get isForeign(): boolean {
    return this.#founds
  }

  get isFrozen(): boolean {
    return this.#isFrozen
  }

  /**
   * Starts the daemon, repeatedly if needed. Resolves when it serves. Rejects when it does not within READY_MS_MAX.
   * `founds`: without the addresses of the others.
   */
  start({ founds = false } = {}): Promise<void> {
    this.#isWanted = true
    this.#founds = founds
    if (!this.isRunning) this.#launch()
    return this.#serving
  }

  /** Resolves when the process has ended. */
  async kill(): Promise<void> {
    this.#isWanted = false
    this.#process?.kill()
    this.#isFrozen = false
    await this.#untilEnded()
  }

  /** Sends SIGTERM. Returns how the process ended, in words; undefined when it did not run. */
  async stop(): Promise<string | undefined> {
    this.#isWanted = false
    const running = this.#process
    if (running === undefined || !running.alive) return undefined
    this.thaw()
    const how = await running.stop(STOP_MS_MAX)
    await this.#untilEnded()
    return how
  }

  freeze(): void {
    if (!this.isRunning || this.#isFrozen) return
    this.#isFrozen = true
    this.#signal('SIGSTOP')
  }

  thaw(): void {
    if (!this.#isFrozen) return
    this.#isFrozen = false
    this.#signal('SIGCONT')
  }

  /** Asks the daemon to leave the ring; it ends after that. */
  async leave(): Promise<void> {
    await (await this.#connected()).leave({ force: false })
  }

  /** Rejects when there is no answer within STATUS_MS. */
  async status(): Promise<StatusReport> {
    return (await this.#connected()).status()
  }

  /** Reads the member id from the run file: a daemon may come back as another member. */
  async learnId(): Promise<void> {
    const info = await readRunFile(this.data).catch(() => undefined)
    if (info !== undefined) this.storeId = info.storeId
  }

  async ring(): Promise<RingReport> {
    return (await this.#connected()).ring()
  }

  async remove(member: MemberId): Promise<void> {
    await (await this.#connected()).remove(member, { force: false })
  }

  /** Removes the data of a stopped daemon: it will start as a new member. */
  wipe(): void {
    rmSync(this.data, { recursive: true, force: true, maxRetries: 3 })
    this.storeId = undefined
  }

  /** Copies the data of a stopped daemon, for later analysis. */
  setAside(): void {
    cpSync(this.data, `${this.data}.aside`, { recursive: true })
  }

  /** Copies the data to a folder. */
  copyTo(folder: string): void {
    cpSync(this.data, folder, { recursive: true })
  }

  /** Replaces the data by a copy. */
  copyFrom(folder: string): void {
    rmSync(this.data, { recursive: true, force: true, maxRetries: 3 })
    cpSync(folder, this.data, { recursive: true })
  }

  get store(): string {
    return join(this.data, 'store')
  }

  /** The log and table files of the store, sorted by name. */
  storeFiles(): string[] {
    const names = readdirSync(this.store).filter((name) => /\.(log|ldb)$/.test(name))
    return names.sort().map((name) => join(this.store, name))
  }

  /** The last lines of its log. */
  tail(): string {
    return this.#process?.tail() ?? ''
  }

  logLines(): string[] {
    return readFileSync(this.log, 'utf8').split('\n')
  }

  #launch(): void {
    const { name, folder, network, flags, others } = this.#options
    const { host, password } = network.addressOf(name)
    const listen = ['--listen', this.address, '--resp', `${host}:${RESP_PORT}`]
    const login = password === undefined ? [] : ['--resp-password', password]
    mkdirSync(join(this.data, '..'), { recursive: true })
    const prefix = [...network.prefix(name), ...this.machine.prefix]
    const secretFile = join(folder, `${name}.secret`)
    writeFileSync(secretFile, `${SECRET}\n`, { mode: 0o600 })
    const launched = new PeerProcess({
      ...{ name, data: this.data, log: this.log, join: this.#founds ? [] : others(), prefix },
      flags: [...listen, ...login, '--secret-file', secretFile, ...flags]
    })
    this.#process = launched
    void launched.ended.then((how) => this.#ended(launched, how))
    this.#serving = this.#serves(launched)
    this.#serving.catch(() => {})
  }

  async #serves(launched: PeerProcess): Promise<void> {
    const trouble = await launched.ready(READY_MS_MAX)
    if (trouble === undefined) {
      this.#damagedStarts = 0
      await this.learnId()
    } else if (launched.alive || !this.#isWanted) throw new Error(`${this.name} ${trouble}`)
    else {
      await sleep(2 * AGAIN_MS)
      await this.#serving
    }
  }

  async #ended(launched: PeerProcess, how: string): Promise<void> {
    if (this.#process !== launched || !this.#isWanted) return
    this.#forgetClient()
    this.#options.onEnd(this, how)
    const code = Number(/^exited with (\d+)/.exec(how)?.[1] ?? Number.NaN)
    if (this.state === 'moving' && code === 0) {
      this.#isWanted = false
      return
    }
    if (code === EXIT_DAMAGED && ++this.#damagedStarts >= DAMAGED_STARTS_MAX) {
      this.#damagedStarts = 0
      this.wipe()
    }
    await sleep(code === EXIT_REMOVED || code === EXIT_DAMAGED ? AGAIN_MS / 2 : AGAIN_MS)
    if (this.#isWanted && this.#process === launched) this.#launch()
  }

  async #untilEnded(): Promise<void> {
    this.#forgetClient()
    await this.#process?.ended
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid, alive = false } = this.#process ?? {}
    if (pid !== undefined && alive) process.kill(pid, signal)
  }

  /** One connection that stays open. It dials again by itself. */
  #connected(): Promise<RingdClient> {
    const seams = { clock: systemClock, random: systemRandom }
    const secret = parseClientSecrets(SECRET)
    const dial = (address: string) => connectClient(seams, { address, timeoutMs: STATUS_MS, secret })
    this.#client ??= RingdClient.connect([this.address], { dial, timeoutMs: STATUS_MS })
    const connecting = this.#client
    connecting.catch(() => {
      if (this.#client === connecting) this.#client = undefined
    })
    return connecting
  }

  #forgetClient(): void {
    const former = this.#client
    this.#client = undefined
    void former?.then((client) => client.close()).catch(() => {})
  }
}
