// A ring of daemons for one benchmark. Directories are fresh, and the system chooses the ports. `stop` ends the daemons
// and removes their data.
import { join } from 'node:path'
import { readRunFile } from '../daemon/run-file.js'
import { RingdClient } from '../lib/client/client.js'
import type { StatusReport } from '../lib/client/reports.js'
import { connectClient } from '../lib/network/client-link.js'
import { systemClock } from '../lib/system-clock.js'
import { systemRandom } from '../lib/system-random.js'
import { cpuSeconds, temporaryFolder, watchOver } from './bench-processes.js'
import { PeerProcess } from './peer-process.js'

const READY_MS_MAX = 60_000
const STOP_MS_MAX = 30_000
const POLL_MS = 200
const IDLE_WINDOW_MS = 1000
/** CPU seconds of one daemon in a window. Links and gossip alone take less. */
const IDLE_CPU_SECONDS = 0.05
const IDLE_BLIND_MS = 5000

/** A daemon that serves, and a client connected to it. */
export interface BenchPeer {
  readonly process: PeerProcess
  readonly respPort: number
  readonly addresses: readonly string[]
  readonly client: RingdClient
  /** When it said that it serves, by `systemClock.elapsed`. */
  readonly readyAt: number
}

export class BenchRing {
  readonly peers: BenchPeer[] = []
  readonly #folder = temporaryFolder('ringd-bench-')
  readonly #processes: PeerProcess[] = []
  readonly #flags: readonly string[]
  #started = 0

  /** Every daemon gets `flags`, after the flags for its addresses. */
  private constructor(flags: readonly string[]) {
    this.#flags = flags
  }

  /** Resolves when `count` peers are members and every slot has settled. */
  static async start(count: number, flags: readonly string[] = []): Promise<BenchRing> {
    const ring = new BenchRing(flags)
    try {
      await ring.add()
      await Promise.all(Array.from({ length: count - 1 }, () => ring.add()))
      await ring.settled(READY_MS_MAX)
      return ring
    } catch (thrown) {
      await ring.stop()
      throw thrown
    }
  }

  /** The folder with the data of all peers. */
  get path(): string {
    return this.#folder.path
  }

  /** Starts one more peer. Resolves when it serves. */
  async add(): Promise<BenchPeer> {
    const peer = await this.#launch(`peer-${this.#started++}`, this.#processes.length, this.peers[0])
    this.peers.push(peer)
    return peer
  }

  /** Ends a peer by SIGKILL and closes its client. Its data stays for `restart`. */
  async crash(index: number): Promise<void> {
    const { process, client } = this.peers[index]!
    await client.close()
    process.kill()
    await process.ended
  }

  /** Starts a crashed peer again with its data. Resolves when it serves. */
  async restart(index: number): Promise<BenchPeer> {
    const { process } = this.peers[index]!
    const known = this.peers.find((_, at) => at !== index)
    const peer = await this.#launch(process.plan.name, this.#processes.indexOf(process), known)
    this.peers[index] = peer
    return peer
  }

  async #launch(name: string, at: number, door: BenchPeer | undefined): Promise<BenchPeer> {
    const data = join(this.#folder.path, name)
    const known = door?.addresses ?? []
    const flags = ['--listen', '/ip4/127.0.0.1/tcp/0', '--resp', '127.0.0.1:0', ...this.#flags]
    const process = new PeerProcess({ name, data, log: join(this.#folder.path, `${name}.log`), flags, join: known })
    this.#processes[at] = process
    const forget = watchOver(process)
    void process.ended.then(forget)
    const trouble = await process.ready(READY_MS_MAX)
    const readyAt = systemClock.elapsed()
    if (trouble !== undefined) throw new Error(`${name} ${trouble}\n${process.tail()}`)
    const { resp, multiaddrs } = await readRunFile(data)
    const dial = (address: string, timeoutMs: number) =>
      connectClient({ clock: systemClock, random: systemRandom }, { address, timeoutMs })
    const client = await RingdClient.connect(multiaddrs, { dial })
    return { process, respPort: Number(resp?.split(':').at(-1)), addresses: multiaddrs, client, readyAt }
  }

  /** Ends a peer by SIGKILL, and forgets it: it cannot be restarted. Resolves when the process has ended. */
  async kill(peer: BenchPeer): Promise<void> {
    peer.process.kill()
    await peer.process.ended
    this.peers.splice(this.peers.indexOf(peer), 1)
    this.#processes.splice(this.#processes.indexOf(peer.process), 1)
    await peer.client.close()
  }

  /** Resolves when every peer sees all peers as members and every slot as settled. */
  async settled(timeoutMs: number): Promise<void> {
    const deadline = systemClock.elapsed() + timeoutMs
    for (const { client } of this.peers) await this.#until(client, isSettled, deadline)
  }

  /** Resolves when no peer stores slots that others own now. Throws after `timeoutMs`. */
  async released(timeoutMs: number): Promise<void> {
    const deadline = systemClock.elapsed() + timeoutMs
    for (const { client } of this.peers) await this.#until(client, ({ surplus }) => surplus === 0, deadline)
  }

  async #until(
    client: RingdClient,
    holds: (status: StatusReport, members: number) => boolean,
    deadline: number
  ): Promise<void> {
    while (!holds(await client.status(), this.#processes.length)) {
      if (systemClock.elapsed() > deadline) throw new Error('the ring did not settle before the deadline')
      await pause(POLL_MS)
    }
  }

  /** CPU seconds that all daemons have used. */
  cpuSeconds(): number | undefined {
    return cpuSeconds(this.#processes.map(({ pid }) => pid ?? 0))
  }

  /**
   * Resolves when the daemons have used almost no CPU time for a second: they have written and compacted everything.
   * Where CPU times cannot be read, it waits for IDLE_BLIND_MS. Throws after `timeoutMs`.
   */
  async idle(timeoutMs: number): Promise<void> {
    const deadline = systemClock.elapsed() + timeoutMs
    for (let before = this.cpuSeconds(); before !== undefined; ) {
      await pause(IDLE_WINDOW_MS)
      const now = this.cpuSeconds()
      if (now === undefined) break
      if (now - before < IDLE_CPU_SECONDS * this.#processes.length) return
      if (systemClock.elapsed() > deadline) throw new Error(`the daemons were still busy after ${timeoutMs / 1000} s`)
      before = now
    }
    await pause(IDLE_BLIND_MS)
  }

  /** Ends every peer and removes its data. */
  async stop(): Promise<void> {
    for (const { client } of this.peers) await client.close()
    await Promise.all(this.#processes.map((process) => process.stop(STOP_MS_MAX)))
    this.#folder.remove()
  }
}

/** The slots that the peer owns. */
export async function ownedBy({ client }: BenchPeer): Promise<ReadonlySet<number>> {
  const { storeId } = await client.id()
  const { ranges } = await client.ring()
  const owned = new Set<number>()
  for (const { first, last, owners } of ranges) {
    if (owners.includes(storeId)) for (let slot = first; slot <= last; slot++) owned.add(slot)
  }
  return owned
}

/** Whether `status` shows `members` members, no moving slot, and agreement of all peers. */
export function isSettled(status: StatusReport, members: number): boolean {
  return status.members.length === members && status.slots.moving === 0 && status.agree
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
