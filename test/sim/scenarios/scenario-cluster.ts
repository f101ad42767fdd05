// The stage of a directed scenario: whole nodes on disks and a network that do as they are told, words for what a
// scenario waits for, and the promises that it checks.
// A scenario that does not get to the moment it is about throws NotReached; one that sees a promise broken throws
// BrokenPromise.

import type { Bytes } from '../../../lib/bytes.js'
import { expiresAt, isTombstone, valueBytes, versionOf } from '../../../lib/entry/envelope.js'
import { dataKey, metaKey } from '../../../lib/entry/keys.js'
import type { MemberId } from '../../../lib/member.js'
import { slotOf } from '../../../lib/ring/slots.js'
import { type Config, newestConfig, type Window } from '../../../lib/views/configs.js'
import type { RingView } from '../../../lib/views/ring-view.js'
import { FaultyStore } from '../seams/faulty-store.js'
import type { SentMessage } from '../seams/memory-network.js'
import { type Gate, message, Steering } from '../seams/steering.js'
import type { SimNode, SimNodeOptions } from '../sim-node.js'
import { SimRing } from '../sim-ring.js'

export interface Scenario {
  readonly name: string
  /** What happens, in a sentence. */
  readonly story: string
  readonly run: (cluster: ScenarioCluster) => Promise<void>
}

/** The ring did what it must never do. */
export class BrokenPromise extends Error {}

/** The scenario has not shown anything: its moment did not come. */
export class NotReached extends Error {}

/** An operation of a client, and how far it is. */
export interface Attempt {
  state: 'open' | 'done' | 'failed'
  /** What a read found. */
  value: string | undefined
  error: string
}

interface Acknowledged {
  /** undefined: deleted. */
  readonly value: string | undefined
  readonly expiresAtMs: number
}

/** Long enough for every joiner to choose its tokens, and for every member to hear its wish. */
const REQUESTS_MS = 3000
const ATTEMPTS = 4
const REACH_MS = 30_000
const HEAL_MS = 60_000
const OPERATION_MS = 15_000
/** Keys of which one lies where a scenario wants it. */
const KEYS = 200

export class ScenarioCluster {
  readonly ring: SimRing
  readonly steering: Steering
  /** What is acknowledged, by key. */
  readonly #acknowledged = new Map<string, Acknowledged>()
  readonly #failures: string[] = []
  readonly #names = new Map<MemberId, string>()
  /** Of every node that is started from now on. Repair could make good what a scenario looks for. */
  options: SimNodeOptions = { repairEveryMs: 0, scrubMs: 0 }
  /** Those that have left for good. */
  readonly left = new Set<string>()

  constructor(seed: number) {
    this.ring = new SimRing(seed)
    this.steering = new Steering(this.ring.hub)
  }

  // ---- nodes ----

  /** Starts a node, on its own disk when it ran before. */
  async start(name: string, options: SimNodeOptions = {}): Promise<SimNode> {
    const store = options.store ?? this.ring.disks.get(name) ?? new FaultyStore()
    const node = await this.ring.start(name, { ...this.options, ...options, store })
    this.#names.set(node.node.storeId, name)
    void node.node.failed.then((error) => this.#failures.push(`${name}: ${error.message}`))
    void node.node.left.then(() => this.left.add(name))
    return node
  }

  async startAll(names: readonly string[]): Promise<void> {
    for (const name of names) await this.start(name)
  }

  /** These and those that run become one settled ring. */
  async grow(names: readonly string[]): Promise<void> {
    await this.startAll(names)
    await this.untilWhole(this.ring.running.length)
  }

  async untilWhole(members: number): Promise<void> {
    const isWhole = await this.ring.clock.runUntil(() => this.ring.isWhole(members), HEAL_MS)
    this.promise(isWhole, `not whole after ${HEAL_MS} ms without faults\n${this.ring.describe()}`)
  }

  /** Starts nodes that join through `via`, and runs until they are members, all by the same view. */
  async join(names: readonly string[], via: string): Promise<void> {
    const next = this.viewNumber(via) + 1
    const join = this.node(via).network.addresses()
    // Nobody proposes a joiner that does not answer: so all wishes are known before the first can be granted.
    const silence = this.steering.lose(message('ping', undefined, names))
    for (const name of names) await this.start(name, { join })
    await this.advance(REQUESTS_MS)
    silence.release()
    const areIn = () => names.every((name) => this.node(name).node.view?.isMember)
    await this.when(areIn, `${names} are members`)
    this.reached(this.viewNumber(names[0]!) === next, `${names} join in one view`)
  }

  /** Nobody gives slots up, or sends what owners lack before it does: it could make good what a scenario looks for. */
  keepCopies(): void {
    this.steering.hold(message('compare'))
  }

  node(name: string): SimNode {
    return this.ring.node(name)
  }

  /** Where the node listens, for its next life to listen there again. */
  address(name: string): string {
    return this.node(name).network.addresses()[0]!.split('/p2p/')[0]!
  }

  disk(name: string): FaultyStore {
    return this.ring.disks.get(name) as FaultyStore
  }

  /** Like kill -9; what waits for a disk is lost. */
  kill(...names: readonly string[]): void {
    for (const name of names) {
      this.ring.kill(name)
      this.disk(name).crash()
    }
  }

  /** Who has left stops, as its daemon would. */
  async stopLeft(): Promise<void> {
    for (const name of this.left) if (this.ring.nodes.has(name)) await this.ring.stop(name)
  }

  /** `name` and the others lose their links, notice it, and get no new ones. */
  async isolate(name: string, others: readonly string[]): Promise<void> {
    for (const other of others) this.ring.hub.reset(name, other)
    await this.advance(5)
    this.ring.hub.partition([name], others)
  }

  member(name: string): MemberId {
    return this.node(name).node.storeId
  }

  /** `name` has a link to the member that runs as `other` now. */
  isLinked(name: string, other: string): boolean {
    const link = this.node(name).network.link(other)
    return link !== undefined && link.storeId === this.ring.nodes.get(other)?.node.storeId
  }

  view(name: string): RingView {
    const { view } = this.node(name).node
    if (view === undefined) throw new NotReached(`${name} has no view`)
    return view
  }

  /** The number of the newest view that the node knows; 0: none. */
  viewNumber(name: string): number {
    return this.node(name).node.view?.number ?? 0
  }

  window(name: string, key: string): Window {
    return this.view(name).configs.windows[slotOf(Buffer.from(key))]!
  }

  /** The names of the newest owners, sorted, as the node knows them. */
  owners(name: string, key: string): string[] {
    return this.namesOf(newestConfig(this.window(name, key)))
  }

  namesOf(config: Config): string[] {
    return config.owners.map((id) => this.#names.get(id) ?? '?').sort()
  }

  /** `who` counts as ready for its newest config of the key's slot, as `knower` knows it. */
  isReady(who: string, key: string, knower = who): boolean {
    const view = this.view(knower)
    const config = newestConfig(this.window(knower, key))
    return view.readiness.get(this.member(who))?.[slotOf(Buffer.from(key))] === config.begin
  }

  /** The version on the disk of the node, in hex. */
  version(name: string, key: string): string | undefined {
    const envelope = this.entry(name, key)
    return envelope && Buffer.from(versionOf(envelope)).toString('hex')
  }

  /** What the disk of the node holds under the key; undefined for nothing and for a tombstone. */
  holds(name: string, key: string): string | undefined {
    const envelope = this.entry(name, key)
    return envelope === undefined || isTombstone(envelope) ? undefined : Buffer.from(valueBytes(envelope)).toString()
  }

  /** When what the disk of the node holds under the key expires, ms; undefined: never, or nothing is there. */
  expiry(name: string, key: string): number | undefined {
    const envelope = this.entry(name, key)
    return envelope && expiresAt(envelope)
  }

  /** What the disk of a node, running or not, holds of a named fact. */
  fact(name: string, fact: string): Buffer | undefined {
    const bytes = this.disk(name).get(metaKey(fact))
    return bytes && Buffer.from(bytes)
  }

  /** The entry on the disk of the node, as it is stored. */
  entry(name: string, key: string): Bytes | undefined {
    return this.disk(name).get(storedKey(key))
  }

  /** Whether one of the pulls that the gate has caught asks for the slot of the key. */
  asksFor(gate: Gate, key: string): boolean {
    return gate.caught.some((sent) => asksFor(sent, key))
  }

  /** What the disk of the node holds under the key is gone from now on, and nobody has been told. */
  async hide(name: string, key: string): Promise<void> {
    await this.ring.wait(this.disk(name).disk.write([{ type: 'del', key: storedKey(key) }]))
  }

  /** The disk of the node holds this under the key, and nobody has been told. */
  async show(name: string, key: string, value: Bytes): Promise<void> {
    await this.ring.wait(this.disk(name).disk.write([{ type: 'put', key: storedKey(key), value }]))
  }

  /** A byte of what the disk holds under the key changes. */
  async rot(name: string, key: string): Promise<void> {
    const stored = storedKey(key)
    const value = Buffer.from(this.disk(name).get(stored)!)
    value[value.length - 1]! ^= 1
    await this.ring.wait(this.disk(name).disk.write([{ type: 'put', key: stored, value }]))
  }

  /** A copy of the disk as it is now. */
  async copyOf(name: string): Promise<FaultyStore> {
    const copy = new FaultyStore()
    const scan = this.disk(name).scan({ from: Uint8Array.of(0), to: Uint8Array.of(255) })
    const pairs = await scan.next(Number.POSITIVE_INFINITY)
    await scan.close()
    await copy.disk.write(pairs.map(([key, value]) => ({ type: 'put', key, value })))
    return copy
  }

  // ---- operations ----

  /** Keys to write before it is known who will own them: see `pickKey`. */
  get keys(): string[] {
    return Array.from({ length: KEYS }, (_, at) => `key-${at}`)
  }

  /** A key whose newest owners are wanted, as the node knows them. */
  pickKey(knower: string, wanted: (owners: readonly string[], key: string) => boolean, keys = this.keys): string {
    const key = keys.find((one) => wanted(this.owners(knower, one), one))
    if (key === undefined) throw new NotReached('no key lies where the scenario needs one')
    return key
  }

  /** `ttlMs` by the clock of the node; none: it stays. */
  put(name: string, key: string, value: string, ttlMs?: number): Attempt {
    const expiresAtMs = this.node(name).clock.now() + (ttlMs ?? Number.POSITIVE_INFINITY)
    const done = () => this.#acknowledged.set(key, { value, expiresAtMs })
    return this.#attempt(this.node(name).put(key, value, 'quorum', ttlMs), done)
  }

  delete(name: string, key: string): Attempt {
    const done = () => this.#acknowledged.set(key, { value: undefined, expiresAtMs: Number.POSITIVE_INFINITY })
    return this.#attempt(this.node(name).delete(key), done)
  }

  get(name: string, key: string): Attempt {
    return this.#attempt(this.node(name).get(key), () => {})
  }

  /** Writes `value` under every key through the node; all must be acknowledged. */
  async fill(name: string, keys: readonly string[], value: string): Promise<void> {
    const attempts = keys.map((key) => this.put(name, key, value))
    await this.when(() => attempts.every(({ state }) => state !== 'open'), 'all writes are answered')
    this.reached(
      attempts.every(({ state }) => state === 'done'),
      'all writes are acknowledged'
    )
  }

  /** Runs until the attempt is answered. */
  async answered(attempt: Attempt, what = 'an operation is answered'): Promise<Attempt> {
    await this.when(() => attempt.state !== 'open', what, OPERATION_MS)
    return attempt
  }

  #attempt(operation: Promise<string | boolean | undefined>, done: () => void): Attempt {
    const attempt: Attempt = { state: 'open', value: undefined, error: '' }
    operation.then(
      (value) => {
        done()
        attempt.value = typeof value === 'string' ? value : undefined
        attempt.state = 'done'
      },
      (error: Error) => {
        attempt.error = error.message
        attempt.state = 'failed'
      }
    )
    return attempt
  }

  // ---- time and promises ----

  advance(ms: number): Promise<void> {
    return this.ring.clock.advance(ms)
  }

  /** Runs until the scenario is so far. */
  async when(condition: () => boolean, what: string, limitMs = REACH_MS): Promise<void> {
    if (!(await this.ring.clock.runUntil(condition, limitMs))) {
      throw new NotReached(`${what}: not within ${limitMs} ms\n${this.ring.describe()}`)
    }
  }

  /** The scenario stands where it must. */
  reached(condition: boolean, what: string): void {
    if (!condition) throw new NotReached(what)
  }

  promise(condition: boolean, broken: string): void {
    if (!condition) throw new BrokenPromise(broken)
  }

  /** A member that counts as ready for a config holds what was acknowledged before it. */
  mustHold(name: string, key: string, value: string | undefined): void {
    if (!this.isReady(name, key)) return
    const held = this.holds(name, key)
    this.promise(held === value, `${name} is ready and holds ${held} under ${key}, ${value} was acknowledged`)
  }

  /** Whatever disk has the fact must have the same. */
  mustAgreeOn(fact: string): void {
    const found = [...this.ring.disks.keys()].map((name) => this.fact(name, fact)?.toString('hex'))
    const values = new Set(found.filter((value) => value !== undefined))
    this.reached(values.size > 0, `somebody has ${fact}`)
    this.promise(values.size === 1, `there are ${values.size} values of ${fact}`)
  }

  /** Reads through the node; the answer, when there is one, must be `value`. */
  async mustRead(name: string, key: string, value: string | undefined): Promise<void> {
    const read = await this.answered(this.get(name, key))
    if (read.state === 'failed') return
    this.promise(read.value === value, `${key} through ${name} is ${read.value}, ${value} was acknowledged`)
  }

  /** Everything heals; then all agree on `members`, every slot is whole, and all that was acknowledged is there. */
  async heal(members: number): Promise<void> {
    this.steering.releaseAll()
    this.ring.hub.heal()
    for (const { name } of this.ring.running) this.disk(name).release()
    await this.advance(0)
    this.promise(this.#failures.length === 0, `nodes failed: ${this.#failures.join('; ')}`)
    await this.untilWhole(members)
    this.promise(this.#failures.length === 0, `nodes failed: ${this.#failures.join('; ')}`)
    for (const [key, { value, expiresAtMs }] of this.#acknowledged) {
      for (const { name, clock } of this.ring.running) {
        await this.mustRead(name, key, expiresAtMs <= clock.now() ? undefined : value)
      }
    }
  }

  close(): void {
    this.ring.close()
  }
}

function storedKey(key: string): Bytes {
  const bytes = Buffer.from(key)
  return dataKey(slotOf(bytes), bytes)
}

/** Whether a pull asks for the slot of the key. */
export function asksFor({ body }: SentMessage, key: string): boolean {
  const slot = slotOf(Buffer.from(key))
  return body.pull?.ranges.some(({ first, last }) => first <= slot && slot <= last) ?? false
}

/**
 * Runs one scenario. Where tokens fall, and whom a newcomer asks first, is chance: when its moment does not come, it is
 * tried again with another seed, a few times. Throws BrokenPromise, NotReached, or what is wrong with the scenario.
 */
export async function play(scenario: Scenario, seed = 1): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const cluster = new ScenarioCluster(seed + attempt)
    try {
      return await scenario.run(cluster)
    } catch (thrown) {
      if (!(thrown instanceof NotReached) || attempt === ATTEMPTS - 1) throw thrown
    } finally {
      cluster.close()
    }
  }
}
