// The end of a campaign, when the ring is whole and clients are done: every key is read through every daemon, the
// daemons are stopped, their disks are read, and everything is judged.
import { setTimeout as sleep } from 'node:timers/promises'
import { openDoor } from './client-door.js'
import { type Attempt, elapsedSince } from './client-records.js'
import { type Disk, judgeCopies, readCopies } from './disk-copies.js'
import type { Host } from './host.js'
import { type Broken, judgeHistories } from './judge-histories.js'

export interface FinishOptions {
  /** All that belong to the ring. */
  readonly hosts: readonly Host[]
  readonly originNs: bigint
  readonly folder: string
  readonly say: (text: string) => void
}

export interface Verdict {
  readonly violations: readonly Broken[]
  readonly disks: { readonly copies: number; readonly lagging: number }
}

/** No client process has so many clients. */
const FINAL_CLIENT = 999_000
const READS_AT_ONCE = 16
const CONNECT_TRIES = 100
const POLL_MS = 100
const HANDED_OVER_MS_MAX = 120_000

export class Finish {
  readonly #options: FinishOptions
  readonly #violations: Broken[] = []
  #lastOperation = 0

  constructor(options: FinishOptions) {
    this.#options = options
  }

  async judge(records: readonly (readonly Attempt[])[]): Promise<Verdict> {
    const { hosts, say } = this.#options
    const keys = [...new Set(records.flatMap((list) => list.map(({ key }) => key)))]
    say(`reading ${keys.length} keys through ${hosts.length} daemons`)
    const reads: Attempt[] = []
    for (const host of hosts) reads.push(...(await this.#readThrough(host, keys)))
    await this.#untilHandedOver()
    const ranges = (await hosts[0]?.ring())?.ranges ?? []
    const disks = await this.#stop()
    say('judging')
    const lastRead = new Map<string, string | undefined>()
    for (const { key, outcome, found } of reads) if (outcome === 'ok') lastRead.set(key, found)
    const { broken, copies, lagging } = judgeCopies(disks, ranges, lastRead)
    for (const text of broken) this.#broken('disks', text)
    this.#violations.push(...judgeHistories([...records, reads]))
    return { violations: this.#violations, disks: { copies, lagging } }
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
        this.#broken('completion', `${key} cannot be read through ${host.name} after healing: ${answer.error}`)
      }
    }
    await Promise.all(Array.from({ length: READS_AT_ONCE }, (_, index) => work(FINAL_CLIENT + index)))
    door.close()
    return reads
  }

  /** Former owners give up what they hold. */
  async #untilHandedOver(): Promise<void> {
    const deadline = performance.now() + HANDED_OVER_MS_MAX
    for (;;) {
      const reports = await Promise.all(this.#options.hosts.map((host) => host.status().catch(() => undefined)))
      if (reports.every((report) => report?.surplus === 0)) return
      if (performance.now() > deadline) {
        const told = this.#options.hosts.map(({ name }, index) => `${name} ${reports[index]?.surplus ?? '?'}`)
        return this.#broken('completion', `slots that others own are still stored: ${told.join(', ')}`)
      }
      await sleep(POLL_MS)
    }
  }

  /** Stops all daemons, and reads their disks. */
  async #stop(): Promise<Disk[]> {
    const { hosts } = this.#options
    await Promise.all(hosts.map((host) => host.learnId()))
    const ends = await Promise.all(hosts.map((host) => host.stop()))
    const disks: Disk[] = []
    for (const [index, host] of hosts.entries()) {
      if (ends[index] !== 'exited with 0') this.#broken('crash', `${host.name}, told to stop, ${ends[index]}`)
      disks.push({ name: host.name, member: host.storeId ?? '', copies: await readCopies(host.store) })
    }
    return disks
  }

  #broken(rule: string, text: string): void {
    this.#violations.push({ at: this.#now(), rule, text, excerpt: [] })
  }

  #now(): number {
    return elapsedSince(this.#options.originNs)
  }
}
