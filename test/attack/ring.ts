// The ring under attack: three real daemons on loopback with a ring secret and a Redis password, and on request a
// fourth member whose key the attacker takes over. Owns the processes and their folder, and signals no others.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RunInfo, readRunFile } from '../../daemon/run-file.js'
import type { StatusReport } from '../../lib/client/reports.js'
import { watchOver } from '../../scripts/bench-processes.js'
import { PeerProcess } from '../../scripts/peer-process.js'
import type { Role, Target, Victim } from './attack.js'
import { OperatorLink, type RingSecrets, ringSecrets, secretFlags } from './secrets.js'

const READY_MS_MAX = 60_000
const STOP_MS_MAX = 20_000
const POLL_MS = 200
/** The beginning of the names of this process' folders. */
const FOLDER = `ringd-attack-${process.pid}-`
export const RESP_PASSWORD = 'only-the-good-client-knows-this'
/** Longer than any attack: the member that the attacker took over must not be evicted between two attacks. */
const EVICT_AFTER_S = 900

/** One daemon, and the operator's link to it. */
export class AttackedDaemon {
  readonly name: string
  readonly data: string
  readonly log: string
  readonly port: number
  readonly operator: OperatorLink
  readonly #flags: readonly string[]
  #process: PeerProcess | undefined
  #info: RunInfo | undefined

  constructor(folder: string, name: string, port: number, flags: readonly string[], secrets: RingSecrets) {
    this.name = name
    this.data = join(folder, name)
    this.log = join(folder, `${name}.log`)
    this.port = port
    this.#flags = flags
    this.operator = new OperatorLink(secrets.ring)
  }

  launch(join: readonly string[]): void {
    const { name, data, log } = this
    this.#process = new PeerProcess({ name, data, log, join, flags: this.#flags, inParentGroup: true })
    const forget = watchOver(this.#process)
    void this.#process.ended.then(forget)
  }

  async serves(): Promise<void> {
    const trouble = await this.#process?.ready(READY_MS_MAX)
    if (trouble !== undefined) throw new Error(`${this.name} ${trouble}\n${this.tail()}`)
    this.#info = await readRunFile(this.data)
  }

  get info(): RunInfo {
    if (this.#info === undefined) throw new Error(`${this.name} does not serve`)
    return this.#info
  }

  get alive(): boolean {
    return this.#process?.alive ?? false
  }

  get pid(): number {
    return this.#process?.pid ?? 0
  }

  /** The daemon as the attacker sees it. */
  get victim(): Victim {
    const { peerId, storeId, multiaddrs, resp } = this.info
    const [, host = '', port = ''] = /\/ip4\/([^/]+)\/tcp\/(\d+)/.exec(multiaddrs[0] ?? '') ?? []
    const respPort = Number(resp?.split(':').at(-1))
    return { name: this.name, peerId, storeId, host, port: Number(port), respPort }
  }

  status(): Promise<StatusReport> {
    return this.operator.status(this.info)
  }

  get logBytes(): number {
    return existsSync(this.log) ? statSync(this.log).size : 0
  }

  tail(): string {
    return this.#process?.tail() ?? ''
  }

  /** Ends the daemon and starts it with the same data. Resolves when it serves. Rejects when it does not. */
  async restart(join: readonly string[]): Promise<void> {
    await this.stop()
    this.launch(join)
    await this.serves()
  }

  async stop(): Promise<void> {
    await this.operator.close()
    await this.#process?.stop(STOP_MS_MAX)
  }
}

export class AttackedRing {
  readonly daemons: AttackedDaemon[] = []
  readonly #folder = mkdtempSync(join(tmpdir(), FOLDER))
  readonly #passwordFile = join(this.#folder, 'resp.password')
  readonly #secrets: RingSecrets
  #liar: { readonly key: string; readonly storeId: string } | undefined
  #waiting: AttackedDaemon | undefined
  readonly #newcomers: AttackedDaemon[] = []

  private constructor() {
    this.#secrets = ringSecrets(this.#folder)
    writeFileSync(this.#passwordFile, `${RESP_PASSWORD}\n`, { mode: 0o600 })
  }

  /** Resolves when the ring has settled. `withLiar`: a fourth member has joined and stopped, for the attacker. */
  static async start(withLiar: boolean): Promise<AttackedRing> {
    const ring = new AttackedRing()
    try {
      await ring.#grow(withLiar)
      return ring
    } catch (thrown) {
      await ring.stop()
      throw thrown
    }
  }

  get hasLiar(): boolean {
    return this.#liar !== undefined
  }

  /** The addresses of the first daemon, with its peer id. */
  get door(): readonly string[] {
    return this.daemons[0]?.info.multiaddrs ?? []
  }

  /** What an attacker in this role is told. */
  async target(as: Role): Promise<Target> {
    const [first] = this.daemons
    if (first === undefined) throw new Error('the ring has no daemon')
    const { view, members } = await first.status()
    const { ringId } = await first.operator.id(first.info)
    const hasRing = as === 'member' || as === 'joiner'
    return {
      victims: this.daemons.map(({ victim }) => victim),
      ...{ ringId, view, members: members.map(({ storeId, peerId }) => ({ storeId, peerId })) },
      secretId: this.#secrets.memberId,
      respPassword: as === 'outsider' ? undefined : RESP_PASSWORD,
      dataSecret: as === 'data' ? this.#secrets.data : undefined,
      ringSecret: hasRing ? this.#secrets.ring : undefined,
      liar: as === 'member' ? this.#liar : undefined,
      joiner: this.#waiting && { ...NO_VICTIM, name: 'joiner', port: this.#waiting.port }
    }
  }

  /** Starts a daemon that waits for the first daemon under an address that nobody listens on. */
  async startJoiner(): Promise<void> {
    const nobody = `/ip4/127.0.0.1/tcp/1/p2p/${this.daemons[0]?.info.peerId}`
    const daemon = await this.#daemon('joiner')
    daemon.launch([nobody])
    this.#waiting = daemon
    const deadline = performance.now() + READY_MS_MAX
    while (!(await listens(daemon.port))) {
      if (performance.now() > deadline || !daemon.alive) throw new Error(`the joiner does not listen\n${daemon.tail()}`)
      await sleep(POLL_MS)
    }
  }

  /** Whether the waiting daemon belongs to a ring now. Ends it. */
  async joinerBelongs(): Promise<boolean> {
    const daemon = this.#waiting
    this.#waiting = undefined
    if (daemon === undefined) return false
    const belongs = existsSync(join(daemon.data, 'run.json'))
    await daemon.stop()
    rmSync(daemon.data, { recursive: true, force: true, maxRetries: 3 })
    return belongs
  }

  /** Starts a daemon that joins the ring. Returns what is wrong: nothing when it serves in time. */
  async welcomesNewcomer(): Promise<string[]> {
    const daemon = await this.#daemon('newcomer')
    this.#newcomers.push(daemon)
    daemon.launch(this.door)
    return daemon.serves().then(
      () => [],
      () => ['a daemon that wants to join is kept out']
    )
  }

  /** Restarts the first daemon. Returns what is wrong: nothing when it serves again as the same member. */
  async restartsFirst(): Promise<string[]> {
    const [first, second] = this.daemons
    if (first === undefined || second === undefined) return []
    const { storeId } = first.info
    try {
      await first.restart(second.info.multiaddrs)
    } catch {
      return [`${first.name} does not serve again after a restart`]
    }
    return first.info.storeId === storeId ? [] : [`${first.name} took its store for an old copy`]
  }

  /** Ends every daemon and removes all data. */
  async stop(): Promise<void> {
    const waiting = this.#waiting === undefined ? [] : [this.#waiting]
    const all = [...this.daemons, ...this.#newcomers, ...waiting]
    await Promise.all(all.map((daemon) => daemon.stop()))
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 })
  }

  async #grow(withLiar: boolean): Promise<void> {
    const first = await this.#daemon('a')
    first.launch([])
    await first.serves()
    this.daemons.push(first)
    const others = [await this.#daemon('b'), await this.#daemon('c')]
    for (const daemon of others) daemon.launch(first.info.multiaddrs)
    await Promise.all(others.map((daemon) => daemon.serves()))
    this.daemons.push(...others)
    await this.#settled(3)
    if (!withLiar) return
    const fourth = await this.#daemon('liar')
    fourth.launch(first.info.multiaddrs)
    await fourth.serves()
    await this.#settled(4)
    const { storeId } = fourth.info
    await fourth.stop()
    this.#liar = { key: readFileSync(join(fourth.data, 'identity.key')).toString('hex'), storeId }
  }

  /** On ports of its own, which it keeps when it restarts. */
  async #daemon(name: string): Promise<AttackedDaemon> {
    const [port, respPort] = [await freePort(), await freePort()]
    const doors = ['--listen', `/ip4/127.0.0.1/tcp/${port}`, '--resp', `127.0.0.1:${respPort}`]
    const limits = ['--resp-password-file', this.#passwordFile, '--evict-after', String(EVICT_AFTER_S)]
    const flags = [...doors, ...limits, ...secretFlags(this.#secrets)]
    return new AttackedDaemon(this.#folder, name, port, flags, this.#secrets)
  }

  async #settled(members: number): Promise<void> {
    const deadline = performance.now() + READY_MS_MAX
    for (const daemon of this.daemons) {
      for (;;) {
        const status = await daemon.status()
        if (status.members.length === members && status.slots.moving === 0 && status.agree) break
        if (performance.now() > deadline) throw new Error(`the ring of ${members} did not settle`)
        await sleep(POLL_MS)
      }
    }
  }
}

const NO_VICTIM: Victim = { name: '', peerId: '', storeId: '', host: '127.0.0.1', port: 0, respPort: 0 }

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** Removes the folders of this process, after its daemons were killed. */
export function removeFolders(): void {
  for (const name of readdirSync(tmpdir()).filter((one) => one.startsWith(FOLDER))) {
    rmSync(join(tmpdir(), name), { recursive: true, force: true, maxRetries: 3 })
  }
}
