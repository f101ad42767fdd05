// The cluster of a directed scenario: whole nodes on disks and a network that the scenario controls, the conditions
// that it waits for, and the promises that it checks.
// A scenario that does not reach its situation throws NotReached. A scenario that sees a broken promise throws
// BrokenPromise.

import type { Bytes } from '../../../lib/bytes.js'
import { type Envelope, expiresAt, isTombstone, valueBytes, versionOf } from '../../../lib/entry/envelope.js'
import { dataKey, metaKey, type StoredKey } from '../../../lib/entry/keys.js'
import type { Decide } from '../../../lib/key-value.js'
import type { MemberId } from '../../../lib/member.js'
import { ViewChange } from '../../../lib/network/wire.js'
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
  /** The course of the scenario, in one sentence. */
  readonly summary: string
  readonly run: (cluster: ScenarioCluster) => Promise<void>
}

/** The ring broke a promise. */
export class BrokenPromise extends Error {}

/** The scenario did not reach the situation that it tests, so it proves nothing. */
export class NotReached extends Error {}

/** An operation of a client, and its state. */
export interface Attempt {
  state: 'open' | 'done' | 'failed'
  /** The value that a read found. */
  value: string | undefined
  error: string
}

interface Acknowledged {
  /** undefined: deleted. */
  readonly value: string | undefined
  readonly expiresAtMs: number
}

/** Long enough for every joiner to choose its tokens, and for every member to get its join request. */
const REQUESTS_MS = 3000
const ATTEMPTS = 4
const REACH_MS = 30_000
const HEAL_MS = 60_000
const OPERATION_MS = 15_000
/** Enough keys that one of them has the owners that a scenario needs. */
const KEYS = 200

export class ScenarioCluster {
  readonly ring: SimRing
  readonly steering: Steering
  /** The last acknowledged write, by key. */
  readonly #acknowledged = new Map<string, Acknowledged>()
  readonly #failures: string[] = []
  readonly #names = new Map<MemberId, string>()
  /** Options of every node that is started later. Repair is off by default: it could hide the effect of a bug. */
  options: SimNodeOptions = { repairEveryMs: 0, scrubMs: 0 }
  /** Nodes that are started later are told how much is free on their disks. */
  hasBoundedDisks = false
  /** The nodes that have left the ring. */
  readonly left = new Set<string>()

  constructor(seed: number) {
    this.ring = new SimRing(seed)
    this.steering = new Steering(this.ring.hub)
  }

  // ---- nodes ----

  /** Starts a node, on its former disk when it ran before. */
  async start(name: string, options: SimNodeOptions = {}): Promise<SimNode> {
    const store = options.store ?? this.ring.disks.get(name) ?? new FaultyStore()
    const bounded = this.hasBoundedDisks ? { freeBytes: async () => (store as FaultyStore).freeBytes } : {}
    const node = await this.ring.start(name, { ...this.options, ...bounded, ...options, store })
    this.#names.set(node.node.storeId, name)
    void node.node.failed.then((error) => this.#failures.push(`${name}: ${error.message}`))
    void node.node.left.then(() => this.left.add(name))
    return node
  }

  async startAll(names: readonly string[]): Promise<void> {
    for (const name of names) await this.start(name)
  }

  /** Starts these nodes, and waits until all running nodes are one settled ring. */
  async grow(names: readonly string[]): Promise<void> {
    await this.startAll(names)
    await this.untilWhole(this.ring.running.length)
  }

  async untilWhole(members: number): Promise<void> {
    const isWhole = await this.ring.clock.runUntil(() => this.ring.isWhole(members), HEAL_MS)
    this.promise(isWhole, `the ring is not whole ${HEAL_MS} ms after the last fault\n${this.ring.describe()}`)
  }

  /** Starts nodes that join through `via`, and waits until one view has made all of them members. */
  async join(names: readonly string[], via: string): Promise<void> {
    const next = this.viewNumber(via) + 1
    const join = this.node(via).network.addresses()
    // No member proposes a joiner that does not answer pings. So all join requests are known before the first is
    // granted.
    const silence = this.steering.lose(message('ping', undefined, names))
    for (const name of names) await this.start(name, { join })
    await this.advance(REQUESTS_MS)
    silence.release()
    const areIn = () => names.every((name) => this.node(name).node.view?.isMember)
    await this.when(areIn, `${names} have become members`)
    this.reached(this.viewNumber(names[0]!) === next, `one view has added all of ${names}`)
  }

  /** Stops all handoffs, so that no slot is released: a handoff could hide the effect of a bug. */
  keepCopies(): void {
    this.steering.hold(message('compare'))
  }

  node(name: string): SimNode {
    return this.ring.node(name)
  }

  /** The address of the node, for its next life. */
  address(name: string): string {
    return this.node(name).network.addresses()[0]!.split('/p2p/')[0]!
  }

  disk(name: string): FaultyStore {
    return this.ring.disks.get(name) as FaultyStore
  }

  /** Like kill -9; writes that wait for the disk are lost. */
  kill(...names: readonly string[]): void {
    for (const name of names) {
      this.ring.kill(name)
      this.disk(name).crash()
    }
  }

  /** Stops the nodes that have left, as their daemons would. */
  async stopLeft(): Promise<void> {
    for (const name of this.left) if (this.ring.nodes.has(name)) await this.ring.stop(name)
  }

  /** `name` and the others lose their links and notice it; a partition prevents new links. */
  async isolate(name: string, others: readonly string[]): Promise<void> {
    for (const other of others) this.ring.hub.reset(name, other)
    await this.advance(5)
    this.ring.hub.partition([name], others)
  }

  member(name: string): MemberId {
    return this.node(name).node.storeId
  }

  /** Whether `name` has a link to the member that runs as `other` now. */
  isLinked(name: string, other: string): boolean {
    const link = this.node(name).network.link(other)
    return link !== undefined && link.storeId === this.ring.nodes.get(other)?.node.storeId
  }

  view(name: string): RingView {
    const { view } = this.node(name).node
    if (view === undefined) throw new NotReached(`${name} knows no view`)
    return view
  }

  /** The number of the newest view that the node knows; 0: none. */
  viewNumber(name: string): number {
    return this.node(name).node.view?.number ?? 0
  }

  window(name: string, key: string): Window {
    return this.view(name).configs.windows[slotOf(Buffer.from(key))]!
  }

  /** The names of the owners in the newest config that the node knows, sorted. */
  owners(name: string, key: string): string[] {
    return this.namesOf(newestConfig(this.window(name, key)))
  }

  namesOf(config: Config): string[] {
    return config.owners.map((id) => this.#names.get(id) ?? '?').sort()
  }

  /** Whether `knower` knows that `who` is ready for the newest config of the key's slot. */
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

  /** The value on the disk of the node; undefined when there is no entry or a tombstone. */
  holds(name: string, key: string): string | undefined {
    const envelope = this.entry(name, key)
    return envelope === undefined || isTombstone(envelope) ? undefined : Buffer.from(valueBytes(envelope)).toString()
  }

  /** The expiry of the entry on the disk of the node, ms; undefined: none, or no entry. */
  expiry(name: string, key: string): number | undefined {
    const envelope = this.entry(name, key)
    return envelope && expiresAt(envelope)
  }

  /** A named fact on the disk of a node, running or not. */
  fact(name: string, fact: string): Buffer | undefined {
    const bytes = this.disk(name).get(metaKey(fact))
    return bytes && Buffer.from(bytes)
  }

  /** The stored bytes of the entry on the disk of the node. */
  entry(name: string, key: string): Envelope | undefined {
    return this.disk(name).get(storedKey(key)) as Envelope | undefined
  }

  /** Whether one of the pulls that the gate has caught asks for the slot of the key. */
  asksFor(gate: Gate, key: string): boolean {
    return gate.caught.some((sent) => asksFor(sent, key))
  }

  /** Deletes the entry from the disk of the node; the node does not notice. */
  async hide(name: string, key: string): Promise<void> {
    await this.ring.wait(this.disk(name).disk.write([{ type: 'del', key: storedKey(key) }]))
  }

  /** Puts an entry on the disk of the node; the node does not notice. */
  async show(name: string, key: string, value: Bytes): Promise<void> {
    await this.ring.wait(this.disk(name).disk.write([{ type: 'put', key: storedKey(key), value }]))
  }

  /** Changes one bit of the entry on the disk. */
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

  /** Keys to write before their later owners are known: see `pickKey`. */
  get keys(): string[] {
    return Array.from({ length: KEYS }, (_, at) => `key-${at}`)
  }

  /** A key whose owners satisfy `wanted`. `knower` gives the owners of the newest config that it knows. */
  pickKey(knower: string, wanted: (owners: readonly string[], key: string) => boolean, keys = this.keys): string {
    const key = keys.find((one) => wanted(this.owners(knower, one), one))
    if (key === undefined) throw new NotReached('no key has the owners that the scenario needs')
    return key
  }

  /** `ttlMs`: time to live by the clock of the node; left out: the value does not expire. */
  put(name: string, key: string, value: string, ttlMs?: number): Attempt {
    const expiresAtMs = this.node(name).clock.now() + (ttlMs ?? Number.POSITIVE_INFINITY)
    const done = () => this.#acknowledged.set(key, { value, expiresAtMs })
    return this.#attempt(this.node(name).put(key, value, 'quorum', ttlMs), done)
  }

  delete(name: string, key: string): Attempt {
    const done = () => this.#acknowledged.set(key, { value: undefined, expiresAtMs: Number.POSITIVE_INFINITY })
    return this.#attempt(this.node(name).delete(key), done)
  }

  /** Its value is the result when that is text. */
  update(name: string, key: string, decide: Decide<unknown>): Attempt {
    const result = this.node(name).update(key, decide)
    return this.#attempt(
      result.then((told) => (typeof told === 'string' ? told : undefined)),
      () => {}
    )
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

  /** Waits for a condition. Throws NotReached when it does not become true in time. */
  async when(condition: () => boolean, what: string, limitMs = REACH_MS): Promise<void> {
    if (!(await this.ring.clock.runUntil(condition, limitMs))) {
      throw new NotReached(`did not happen within ${limitMs} ms: ${what}\n${this.ring.describe()}`)
    }
  }

  /** Throws NotReached when the condition is false: the scenario is not in its situation. */
  reached(condition: boolean, what: string): void {
    if (!condition) throw new NotReached(what)
  }

  /** Throws BrokenPromise when the condition is false. */
  promise(condition: boolean, broken: string): void {
    if (!condition) throw new BrokenPromise(broken)
  }

  /** If the node is ready, its disk must hold this value, which was acknowledged before its config. */
  mustHold(name: string, key: string, value: string | undefined): void {
    if (!this.isReady(name, key)) return
    const held = this.holds(name, key)
    this.promise(held === value, `${name} is ready but holds ${held} under ${key}; ${value} was acknowledged`)
  }

  /** All disks that have the fact must have the same value. Of a view, its votes may differ: any majority will do. */
  mustAgreeOn(fact: string): void {
    const found = [...this.ring.disks.keys()].map((name) => {
      const bytes = this.fact(name, fact)
      return bytes && (fact.startsWith('view/') ? withoutVotes(bytes) : bytes).toString('hex')
    })
    const values = new Set(found.filter((value) => value !== undefined))
    this.reached(values.size > 0, `some disk has ${fact}`)
    this.promise(values.size === 1, `the disks hold ${values.size} different values of ${fact}`)
  }

  /** Reads through the node. The read may fail; if it succeeds it must return `value`. */
  async mustRead(name: string, key: string, value: string | undefined): Promise<void> {
    const read = await this.answered(this.get(name, key))
    if (read.state === 'failed') return
    this.promise(read.value === value, `${key} read through ${name} is ${read.value}, but ${value} was acknowledged`)
  }

  /** Ends all faults. Then the ring must become whole with this number of members, and hold all acknowledged writes. */
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

function withoutVotes(bytes: Buffer): Buffer {
  const { votesBallot: _votesBallot, ...change } = ViewChange.decode(bytes)
  return Buffer.from(ViewChange.encode({ ...change, votes: [] }))
}

function storedKey(key: string): StoredKey {
  const bytes = Buffer.from(key)
  return dataKey(slotOf(bytes), bytes)
}

/** Whether a pull asks for the slot of the key. */
export function asksFor({ body }: SentMessage, key: string): boolean {
  const slot = slotOf(Buffer.from(key))
  return body.pull?.ranges.some(({ first, last }) => first <= slot && slot <= last) ?? false
}

/**
 * Runs one scenario. Tokens, and the peers that a newcomer asks first, are random. When the scenario does not reach its
 * situation, it runs again with another seed, at most ATTEMPTS times. Throws BrokenPromise, NotReached, or another
 * error when the scenario itself is wrong.
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
