// The end of a campaign, after the ring is whole and the clients have ended. Reads every key through every daemon,
// stops the daemons, reads their disks, and checks histories and disks.
import { setTimeout as sleep } from 'node:timers/promises'
import { openDoor } from './client-door.js'
import { type Attempt, elapsedSince, keysOf } from './client-records.js'
import { type Disk, judgeCopies, readCopies } from './disk-copies.js'
import type { Host } from './host.js'
import { type ChaosViolation, judge } from './judge-histories.js'

export interface FinalChecksOptions {
  /** All daemons of the ring. */
  readonly hosts: readonly Host[]
  readonly originNs: bigint
  readonly folder: string
  readonly say: (text: string) => void
}

export interface FinalResult {
  readonly violations: readonly ChaosViolation[]
  readonly unchecked: number
  readonly disks: { readonly copies: number; readonly lagging: number }
}

/** Client numbers of the final reads: above those of all client processes. */
const FINAL_CLIENT = 999_000
const READS_AT_ONCE = 16
const CONNECT_TRIES = 100
const POLL_MS = 100
const RELEASED_MS_MAX = 120_000

export class FinalChecks {
  readonly #options: FinalChecksOptions
  readonly #violations: ChaosViolation[] = []
  #lastOperation = 0

  constructor(options: FinalChecksOptions) {
    this.#options = options
  }

  async run(records: readonly (readonly Attempt[])[]): Promise<FinalResult> {
    const { hosts, say } = this.#options
    const keys = [...new Set(records.flatMap((list) => list.flatMap(keysOf)))]
    say(`reading ${keys.length} keys through ${hosts.length} daemons`)
    const reads: Attempt[] = []
    for (const host of hosts) reads.push(...(await this.#readThrough(host, keys)))
    await this.#untilReleased()
    const ranges = (await hosts[0]?.ring())?.ranges ?? []
    const disks = await this.#stop()
    say('checking histories and disks')
    const lastRead = new Map<string, string | undefined>()
    for (const { key, outcome, found } of reads) if (outcome === 'ok') lastRead.set(key, found)
    const { broken, copies, lagging } = judgeCopies(disks, ranges, lastRead)
    for (const text of broken) this.#violated('disks', text)
    const { violations, unchecked } = judge([...records, reads])
    this.#violations.push(...violations)
    return { violations: this.#violations, unchecked, disks: { copies, lagging } }
  }

  async #readThrough(host: Host, keys: readonly string[]): Promise<Attempt[]> {
    const door = openDoor(host.door, true)
    const reads: Attempt[] = []
    let next = 0
    const work = async (client: number) => {
      for (let key = keys[next++]; key !== undefined; key = keys[next++]) {
        const begin = this.#now()
        let answer = await door.get(key)
        for (let tries = 1; answer.error === 'not connected' && tries < CONNECT_TRIES; tries++) {
          await sleep(POLL_MS)
          answer = await door.get(key)
        }
        const operation = ++this.#lastOperation
        reads.push({ operation, client, node: host.name, kind: 'get', key, begin, end: this.#now(), ...answer })
        if (answer.outcome === 'ok') continue
        const text = `after all faults have ended ${key} cannot be read through ${host.name}`
        this.#violated('completion', `${text}: ${answer.error}`)
      }
    }
    await Promise.all(Array.from({ length: READS_AT_ONCE }, (_, index) => work(FINAL_CLIENT + index)))
    door.close()
    return reads
  }

  /** Waits until all former owners have released their slots. */
  async #untilReleased(): Promise<void> {
    const deadline = performance.now() + RELEASED_MS_MAX
    for (;;) {
      const reports = await Promise.all(this.#options.hosts.map((host) => host.status().catch(() => undefined)))
      if (reports.every((report) => report?.surplus === 0)) return
      if (performance.now() > deadline) {
        const surplus = this.#options.hosts.map(({ name }, index) => `${name} ${reports[index]?.surplus ?? '?'}`)
        return this.#violated('completion', `daemons store slots that others own: ${surplus.join(', ')}`)
      }
      await sleep(POLL_MS)
    }
  }

  /** Stops all daemons, then reads their disks. */
  async #stop(): Promise<Disk[]> {
    const { hosts } = this.#options
    await Promise.all(hosts.map((host) => host.learnId()))
    const ends = await Promise.all(hosts.map((host) => host.stop()))
    const disks: Disk[] = []
    for (const [index, host] of hosts.entries()) {
      const how = ends[index]
      if (how !== 'exited with 0') this.#violated('crash', `${host.name} was stopped by SIGTERM, but ${how}`)
      disks.push({ name: host.name, member: host.storeId ?? '', copies: await readCopies(host.store) })
    }
    return disks
  }

  #violated(rule: string, text: string): void {
    this.#violations.push({ at: this.#now(), rule, text, excerpt: [] })
  }

  #now(): number {
    return elapsedSince(this.#options.originNs)
  }
}
