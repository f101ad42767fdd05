// The real daemons of one test, on free ports in a temporary directory, controlled by signals. Owns every process and
// directory that it made. `withCluster` ends and removes them, however the test ends; when the test failed, it first
// shows the last log lines of each daemon. RINGD_TEST_LOG=debug makes the daemons log more, RINGD_TEST_KEEP=1 keeps the
// directories.
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { type RunInfo, readRunFile } from '../../daemon/run-file.js'
import { readOperatorSecret } from '../../daemon/secret-files.js'
import { RingdClient } from '../../lib/client/client.js'
import type { StatusReport } from '../../lib/client/reports.js'
import { connectClient } from '../../lib/network/client-link.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { metricSum } from '../../scripts/bench-statistics.js'
import { PeerProcess } from '../../scripts/peer-process.js'

/** Deadlines find defects, they do not measure speed. A busy machine takes several times as long as an idle one. */
const READY_MS_MAX = 90_000
const STOP_MS_MAX = 40_000
/** A daemon that ends by itself does so within this time: it leaves the ring, or refuses to start. */
const END_MS_MAX = 120_000
const SETTLE_MS_MAX = 120_000
const POLL_MS = 150
/** A daemon answers within 5 s, if only with an error. A command without an answer for this long has hung. */
const COMMAND_MS_MAX = 20_000
const LOG_LEVEL = process.env['RINGD_TEST_LOG'] ?? 'info'
const KEEP = process.env['RINGD_TEST_KEEP'] !== undefined

for (const name of Object.keys(process.env)) if (name.startsWith('RINGD_')) delete process.env[name]

export interface StartOptions {
  readonly join?: readonly Daemon[]
  /** They replace the usual ones of the same name. */
  readonly flags?: readonly string[]
  /** A program that execs the daemon, such as `env` with variables; see `PeerPlan`. */
  readonly prefix?: readonly string[]
}

/** One data directory and the daemons that run on it, one after the other. */
export class Daemon {
  readonly name: string
  readonly data: string
  readonly log: string
  #process: PeerProcess | undefined
  #info: RunInfo | undefined
  #client: RingdClient | undefined

  constructor(folder: string, name: string) {
    this.name = name
    this.data = join(folder, name)
    this.log = join(folder, `${name}.log`)
  }

  /** Starts the process and returns at once. */
  launch({ join: others = [], flags = [], prefix = [] }: StartOptions = {}): void {
    const { name, data, log } = this
    const usual = [
      ['--listen', '/ip4/127.0.0.1/tcp/0'],
      ['--resp', '127.0.0.1:0'],
      ['--log-level', LOG_LEVEL]
    ].filter(([flag = '']) => !flags.includes(flag))
    const plan = { name, data, log, join: others.map((one) => one.address), flags: [...usual.flat(), ...flags] }
    this.#info = undefined
    this.#process = new PeerProcess({ ...plan, prefix, inParentGroup: true })
  }

  /** Resolves when the launched daemon serves. */
  async serves(): Promise<void> {
    const trouble = await this.#running.ready(READY_MS_MAX)
    if (trouble !== undefined) throw new Error(`${this.name} ${trouble}`)
    this.#info = await readRunFile(this.data)
  }

  async start(options: StartOptions = {}): Promise<this> {
    // A daemon that has ended by itself had a client, too.
    await this.#forgetProcess()
    this.launch(options)
    await this.serves()
    return this
  }

  get alive(): boolean {
    return this.#process?.alive ?? false
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** The contents of its run.json. Throws unless the daemon serves. */
  get info(): RunInfo {
    if (this.#info === undefined) throw new Error(`${this.name} does not serve`)
    return this.#info
  }

  /** The daemon's first multiaddr. */
  get address(): string {
    return this.info.multiaddrs[0] ?? ''
  }

  get resp(): { readonly host: string; readonly port: number } {
    const [host = '', port = ''] = (this.info.resp ?? '').split(':')
    return { host, port: Number(port) }
  }

  /** Sends SIGKILL. Resolves when the process has ended. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.#running.ended
    await this.#forgetProcess()
  }

  /** Sends SIGTERM. Throws when the daemon does not end cleanly. */
  async stop(): Promise<void> {
    await this.#forgetProcess()
    const end = await this.#running.stop(STOP_MS_MAX)
    if (end !== 'exited with 0') throw new Error(`${this.name} ${end}`)
  }

  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    const { pid } = this.#running
    if (pid === undefined || !this.alive) throw new Error(`${this.name} does not run`)
    process.kill(pid, signal)
  }

  /** How the launched process ended, in words. Rejects when it still runs after a while. */
  get ended(): Promise<string> {
    const late = new Promise<string>((_, reject) => {
      const error = new Error(`${this.name} still runs after ${END_MS_MAX / 1000} s`)
      setTimeout(() => reject(error), END_MS_MAX).unref()
    })
    return Promise.race([this.#running.ended, late])
  }

  /** The daemon's status, asked over a connection that stays open. */
  async status(): Promise<StatusReport> {
    return (await this.client()).status()
  }

  /** The sum of a metric over its labels, asked over the same connection. */
  async metric(name: string): Promise<number> {
    return metricSum(await (await this.client()).metrics(), name)
  }

  /** A client over a connection that stays open. */
  async client(): Promise<RingdClient> {
    const seams = { clock: systemClock, random: systemRandom }
    const secret = await readOperatorSecret(this.data)
    this.#client ??= await RingdClient.connect([this.address], {
      dial: (address, timeoutMs) => connectClient(seams, { address, timeoutMs, secret })
    })
    return this.#client
  }

  /** Resolves when a line of the log matches. */
  logs(line: RegExp): Promise<void> {
    return until(`${this.name} logs ${line}`, READY_MS_MAX, () => line.test(readFileSync(this.log, 'utf8')))
  }

  tail(): string {
    return this.#process?.tail() ?? ''
  }

  async #forgetProcess(): Promise<void> {
    this.#info = undefined
    await this.#client?.close()
    this.#client = undefined
  }

  get #running(): PeerProcess {
    if (this.#process === undefined) throw new Error(`${this.name} was not launched`)
    return this.#process
  }
}

export class Cluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'ringd-e2e-'))
  readonly daemons: Daemon[] = []
  readonly #clients: Redis[] = []
  readonly #atEnd: (() => Promise<void>)[] = []

  /** Makes a daemon that is not launched yet. */
  daemon(name: string): Daemon {
    const daemon = new Daemon(this.folder, name)
    this.daemons.push(daemon)
    return daemon
  }

  /**
   * Starts new daemons at the same moment, each with the address of one of `others`. Resolves when all of them serve.
   */
  async startAll(names: readonly string[], others: readonly Daemon[]): Promise<Daemon[]> {
    const daemons = names.map((name) => this.daemon(name))
    for (const [index, daemon] of daemons.entries()) daemon.launch({ join: [others[index % others.length]!] })
    await Promise.all(daemons.map((daemon) => daemon.serves()))
    return daemons
  }

  /** Starts a ring of three. Resolves when it has settled. */
  async startThree(): Promise<Daemon[]> {
    const first = await this.daemon('a').start()
    const daemons = [first, ...(await this.startAll(['b', 'c'], [first]))]
    await this.settled(daemons)
    return daemons
  }

  /** A client of one daemon. It reconnects after a lost connection, but never repeats a command by itself. */
  redis(daemon: Daemon, options: RedisOptions = {}): Redis {
    const client = new Redis({
      ...daemon.resp,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_MS_MAX,
      retryStrategy: (times) => Math.min(50 * times, 500),
      ...options
    })
    client.on('error', () => {})
    this.#clients.push(client)
    return client
  }

  /**
   * Resolves when all of `daemons` report the same ring: `daemons.length` members, all up, every slot settled. Throws
   * after `timeoutMs`, with the last reports.
   */
  async settled(daemons: readonly Daemon[], timeoutMs = SETTLE_MS_MAX): Promise<StatusReport> {
    let reports: StatusReport[] = []
    await until(`${daemons.length} daemons agree on a settled ring`, timeoutMs, async () => {
      reports = await Promise.all(daemons.map((daemon) => daemon.status()))
      return reports.every((report) => isSettled(report, daemons.length) && report.digest === reports[0]?.digest)
    }).catch((thrown) => {
      const shown = reports.map(({ members, ...rest }, index) => {
        return `${daemons[index]?.name}: ${JSON.stringify(rest)} ${members.map(({ state }) => state)}`
      })
      throw new Error(`${thrown.message}\n${shown.join('\n')}`)
    })
    return reports[0]!
  }

  /** Has `stop` called before anything else ends, also when the test fails. */
  atEnd(stop: () => Promise<void>): void {
    this.#atEnd.push(stop)
  }

  printLogs(): void {
    for (const daemon of this.daemons) console.log(`the end of ${daemon.name}'s log:\n${daemon.tail()}`)
  }

  /** Ends every process and removes its files. */
  async end(): Promise<void> {
    const stopping = this.#atEnd.map((stop) => stop())
    // Operations under way fail when their client disconnects, so that nobody waits for them.
    for (const client of this.#clients) client.disconnect()
    await Promise.all(stopping)
    for (const daemon of this.daemons) if (daemon.alive) await daemon.kill()
    if (KEEP) console.log(`kept: ${this.folder}`)
    else rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }

  /** Copies the data of a daemon that does not run, as it is now, for a new daemon. */
  copyOf(daemon: Daemon, name: string): Daemon {
    const copy = this.daemon(name)
    cpSync(daemon.data, copy.data, { recursive: true })
    return copy
  }
}

function isSettled({ members, slots, agree }: StatusReport, size: number): boolean {
  const allUp = members.length === size && members.every(({ state }) => state === 'up')
  return allUp && agree && slots.settled === 16384 && slots.moving === 0 && slots.atRisk === 0
}

/** Gives a test body a cluster of its own. */
export function withCluster(body: (cluster: Cluster) => Promise<void>): () => Promise<void> {
  return async () => {
    const cluster = new Cluster()
    try {
      await body(cluster)
    } catch (thrown) {
      cluster.printLogs()
      throw thrown
    } finally {
      await cluster.end()
    }
  }
}

/** Polls until `test` holds. Throws after `timeoutMs`, with the last error that `test` threw. */
export async function until(what: string, timeoutMs: number, test: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let trouble = ''
    try {
      if (await test()) return
    } catch (thrown) {
      trouble = `: ${thrown}`
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s in vain until ${what}${trouble}`)
    await pause(POLL_MS)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
