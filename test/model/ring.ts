// The ring around the owners: network, configs, crashes, pulls, repair and purges. All of it is drawn from one seed.
import type { Deviations } from './deviations.js'
import {
  isGroup,
  type KeySet,
  keysOf,
  MS_STEP,
  msOf,
  ROUTERS_MAX,
  singleWrite,
  type Version,
  type Write
} from './entries.js'
import { type Judgement, judge } from './linearizability.js'
import type { Config, Message, Node, OwnerStep, Packet } from './messages.js'
import { OperationDriver, type RouterRing } from './operation-driver.js'
import { type Answer, newOperation, type Operation, type Router } from './operation-state.js'
import type { OperationKind } from './operations.js'
import { Owner } from './owner.js'
import { Pulls } from './pulls.js'
import { Purges } from './purges.js'
import { SeededRandom } from './random.js'

export interface RingOptions {
  readonly seed: number
  readonly deviations: Deviations
  readonly keys: number
  readonly nodes: number
  readonly routers: number
  readonly owners: readonly number[]
  /** No loss, no delay, no duplicates. */
  readonly isCalm?: boolean
}

/** So many closed groups a router tells again with its next requests. */
const CLOSED_KEPT = 4

export class Violation extends Error {}

export class Ring implements RouterRing {
  readonly deviations: Deviations
  readonly random: SeededRandom
  readonly keys: number
  readonly nodes: Node[] = []
  readonly routers: Router[] = []
  readonly configs: Config[] = [{ owners: [], ready: new Set() }]
  readonly operations: Operation[] = []
  readonly underWay = new Map<number, Operation>()
  readonly driver = new OperationDriver(this)
  packets: Packet[] = []
  time = 0
  isCalm: boolean
  /** How many units of time a ms of the clocks takes, as a power of two. */
  clockShift: number
  heldShare: number
  /** The share of the writes of groups that are not sent. */
  tornShare: number
  readonly totals = { rounds: 0, groupRounds: 0, widened: 0, purges: 0, waits: 0, undecided: 0 }
  onPacket: ((packet: Packet) => void) | undefined
  readonly #dropShare: number
  readonly #duplicateShare: number
  readonly #delayMax: number
  readonly #purges = new Purges(this)
  readonly #pulls = new Pulls(this)
  #ids = 0

  constructor({ seed, deviations, keys, nodes, routers, owners, isCalm = false }: RingOptions) {
    this.deviations = deviations
    this.random = new SeededRandom(seed)
    this.keys = keys
    this.isCalm = isCalm
    const { random } = this
    this.#dropShare = random.pick([0, 0.03, 0.1, 0.2])
    this.#duplicateShare = random.pick([0, 0.05])
    this.#delayMax = random.pick([0, 0, 100, 400])
    this.heldShare = random.chance(0.3) ? 0.1 : 0
    this.tornShare = isCalm ? 0 : random.pick([0, 0, 0.4, 0.7])
    this.clockShift = random.pick([2, 4, 6])
    for (let id = 0; id < nodes; id++) this.nodes.push(this.#node(id))
    for (let id = 0; id < routers; id++) {
      const skew = random.pick([0, 0, -3, 3, 12])
      this.routers.push({
        kind: 'router',
        id,
        isUp: true,
        pausedTill: 0,
        backAt: 0,
        known: 1,
        base: 1,
        skew,
        last: 0,
        cutOff: [],
        closed: []
      })
    }
    this.addConfig(owners)
    for (const id of owners) {
      this.nodes[id]!.ready.add(1)
      this.configs[1]!.ready.add(id)
    }
  }

  #node(id: number): Node {
    const lostWrites = this.random.chance(0.2) ? 0.4 : 0
    const owner = new Owner(this.keys, this.deviations)
    const ready = new Set<number>()
    return {
      kind: 'node',
      id,
      owner,
      isUp: true,
      pausedTill: 0,
      backAt: 0,
      known: 1,
      base: 1,
      ready,
      pull: undefined,
      life: 0,
      lostWrites
    }
  }

  // ---------- configs ----------

  addConfig(owners: readonly number[]): number {
    this.configs.push({ owners, ready: new Set() })
    return this.configs.length - 1
  }

  owners(config: number): readonly number[] {
    return this.configs[config]!.owners
  }

  isSettled(config: number): boolean {
    return this.configs[config]!.ready.size >= (this.owners(config).length >> 1) + 1
  }

  learn(process: Node | Router, known: number, base: number): void {
    if (known > process.known) process.known = known
    if (base > process.base && base <= process.known) process.base = base
  }

  windowOf(process: Node | Router): number[] {
    const window: number[] = []
    for (let config = process.base; config <= process.known; config++) window.push(config)
    return window
  }

  ownersOf(window: readonly number[]): number[] {
    return [...new Set(window.flatMap((config) => this.owners(config)))]
  }

  /** The process drops the configs below the newest one that it knows to be settled. */
  learnBase(process: Node | Router): void {
    for (let config = process.known; config > process.base; config--) {
      if (!this.isSettled(config)) continue
      process.base = config
      return
    }
  }

  isAwake(process: Node | Router): boolean {
    return process.isUp && process.pausedTill <= this.time
  }

  // ---------- network ----------

  send(to: Node | Router, message: Message): void {
    const { random } = this
    if (!this.isCalm) {
      if (random.chance(this.#dropShare)) return
      const isWrite = message.kind === 'ask' && message.ask.kind === 'write'
      if (to.kind === 'node' && isWrite && random.chance(to.lostWrites)) return
      if (random.chance(this.#duplicateShare)) this.packets.push({ to, message, at: this.time + random.below(400) })
    }
    let delay = 0
    if (!this.isCalm && random.chance(this.heldShare)) delay = random.below(1500)
    else if (!this.isCalm && random.chance(0.3)) delay = random.below(this.#delayMax + 1)
    this.packets.push({ to, message, at: this.time + delay })
  }

  deliver(packet: Packet): void {
    const { to, message } = packet
    if (!to.isUp || this.#isCutOff(packet)) return
    this.onPacket?.(packet)
    if (to.kind === 'router') this.#toRouter(to, message)
    else this.#toNode(to, message)
  }

  #isCutOff({ to, message }: Packet): boolean {
    if (this.isCalm) return false
    if (message.kind === 'ask') return message.from.cutOff.includes(to.id)
    return message.kind === 'answer' && to.kind === 'router' && to.cutOff.includes(message.answer.owner)
  }

  #toRouter(router: Router, message: Message): void {
    if (message.kind !== 'answer') return
    this.learn(router, message.known, message.base)
    const { answer } = message
    if ('bar' in answer) this.#observe(router, answer.bar)
    if ('bound' in answer) this.#observe(router, answer.bound)
    if ('entries' in answer)
      for (const entry of answer.entries) if (entry !== undefined) this.#observe(router, entry.version)
    const operation = this.underWay.get(message.id)
    if (operation?.step === message.step) this.driver.answered(operation, answer)
  }

  #toNode(node: Node, message: Message): void {
    switch (message.kind) {
      case 'ask':
        return this.#asked(node, message)
      case 'close':
        return node.owner.close(message.version)
      case 'push':
        node.owner.write(message.write, 'push')
        return
      case 'pull': {
        // First the fence, then a page for each key, each at a moment of its own.
        this.learn(node, message.known, message.base)
        const { from, token, config } = message
        for (let key = 0; key < this.keys; key++) {
          const at = this.time + (this.isCalm ? 0 : this.random.below(60))
          this.packets.push({ to: node, message: { kind: 'page', from, token, config, key, life: node.life }, at })
        }
        return
      }
      case 'page':
        return this.#pulls.page(node, message)
      case 'took':
        return this.#pulls.took(node, message)
      case 'seal':
      case 'sealed':
      case 'endPurge':
        return this.#purges.handle(node, message)
    }
  }

  #asked(node: Node, { from, id, step, known, ask, closed }: Extract<Message, { kind: 'ask' }>): void {
    const tell = (answer: Answer) =>
      this.send(from, { kind: 'answer', id, step, known: node.known, base: node.base, answer })
    if (node.known > known && !this.deviations.has('noFence')) return tell({ kind: 'stale', owner: node.id })
    this.learn(node, known, 0)
    const { owner } = node
    for (const version of closed) owner.close(version)
    if (ask.kind === 'read') tell({ ...owner.read(ask.set), owner: node.id })
    else if (ask.kind === 'write') tell({ ...owner.write(ask.write, ask.way), owner: node.id })
    else tell({ ...owner.prepare(ask.ballot, ask.set, ask.attempts), owner: node.id })
  }

  // ---------- routers ----------

  #observe(router: Router, version: Version): void {
    if (version > router.last) router.last = version
  }

  mint(operation: Operation, isBallot: boolean): Version {
    const { router } = operation
    if (isBallot) {
      this.totals.rounds++
      if (isGroup(operation.set)) this.totals.groupRounds++
      if (operation.set !== operation.keys) this.totals.widened++
    }
    const clock = Math.max(0, 20 + (this.time >> this.clockShift) + router.skew)
    let ms = Math.max(clock, msOf(router.last))
    let counter = 0
    if (ms === msOf(router.last)) {
      if (isBallot) ms++
      else counter = (Math.floor(router.last / ROUTERS_MAX) % (MS_STEP / ROUTERS_MAX)) + 1
    }
    if (counter === MS_STEP / ROUTERS_MAX) {
      ms++
      counter = 0
    }
    router.last = ms * MS_STEP + counter * ROUTERS_MAX + router.id
    return router.last
  }

  window({ router }: Operation): readonly number[] {
    return this.windowOf(router)
  }

  newToken(): number {
    return ++this.#ids
  }

  startPull(node: Node): void {
    this.#pulls.start(node)
  }

  /** The keys that a round must settle before the puller is Ready, or 0. */
  dueKeys(node: Node): KeySet {
    return this.#pulls.dueKeys(node)
  }

  /** A purge of all that all owners of the newest config agree on, at the bound and below it. */
  startPurge(bound: Version): void {
    this.#purges.start(bound)
  }

  now(): number {
    return ++this.time
  }

  start(router: Router, kind: OperationKind, keys: KeySet, isHidden = false): Operation {
    const index = this.operations.length
    const name = isHidden ? '' : 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef'[index]!
    const operation = newOperation(++this.#ids, name, router, kind, keys, ++this.time, isHidden)
    if (!isHidden) this.operations.push(operation)
    this.underWay.set(operation.id, operation)
    this.driver.start(operation)
    return operation
  }

  ask(operation: Operation): void {
    const { phase, router, id, step } = operation
    let ask: OwnerStep
    if (phase === 'read' || phase === 'snapshot') ask = { kind: 'read', set: operation.keys }
    else if (phase === 'prepare') {
      ask = { kind: 'prepare', ballot: operation.ballot, set: operation.set, attempts: [...operation.attempts] }
    } else {
      const way = phase === 'writeBack' ? 'writeBack' : operation.isBlind ? 'blind' : 'round'
      ask = { kind: 'write', write: operation.write!, way }
    }
    const known = operation.window.at(-1)!
    for (const owner of this.ownersOf(operation.window)) {
      const heard = operation.heard.get(owner)
      const isRefusal = heard?.kind === 'newer' || heard?.kind === 'promised' || heard?.kind === 'group'
      if (this.tornShare > 0 && phase === 'write' && operation.write!.open && this.random.chance(this.tornShare))
        continue
      if (heard === undefined || isRefusal)
        this.send(this.nodes[owner]!, { kind: 'ask', from: router, id, step, known, ask, closed: router.closed })
    }
  }

  close(operation: Operation, { version }: Write): void {
    const { router } = operation
    router.closed = [...router.closed.slice(1 - CLOSED_KEPT), version]
    for (const owner of this.ownersOf(operation.window)) this.send(this.nodes[owner]!, { kind: 'close', version })
  }

  ended(operation: Operation): void {
    this.underWay.delete(operation.id)
  }

  crash(process: Node | Router): void {
    process.isUp = false
    if (process.kind === 'node') {
      process.life++
      process.pull = undefined
      process.owner.restart(this.random.chance(0.5))
      return
    }
    for (const operation of this.underWay.values()) if (operation.router === process) this.underWay.delete(operation.id)
  }

  // ---------- repair ----------

  push(from: Node, to: Node, key: number): void {
    if (from.owner.entries[key]!.version === 0) return
    const isAlone = this.deviations.has('pushOneKey')
    const write = isAlone ? singleWrite(key, from.owner.entries[key]!) : from.owner.copyOf(key, false)
    this.send(to, { kind: 'push', write })
  }

  // ---------- judging ----------

  judge(): Judgement {
    const history = this.operations
      .filter(({ status }) => status !== 'refused')
      .map(({ kind, keys, name, start, end, answer }) => ({ kind, keys, name, start, end, answer }))
    return judge(history, this.keys)
  }

  /** Of an open group every key holds the same version, and knows the same set. */
  checkOpenGroups(): void {
    for (const { owner, id } of this.nodes) {
      owner.open.forEach((set, key) => {
        const { version } = owner.entries[key]!
        const isWhole = keysOf(set).every((one) => owner.open[one] === set && owner.entries[one]!.version === version)
        if (!isWhole) throw new Violation(`TORN open group on n${id}`)
      })
    }
  }

  /** Delivers everything that the filter takes, and what follows from it. */
  pump(takes: (packet: Packet) => boolean = () => true): void {
    let delivered = 0
    for (let index = 0; index < this.packets.length; ) {
      const packet = this.packets[index]!
      if (!takes(packet)) {
        index++
        continue
      }
      if (++delivered > 6000) throw new Violation('STUCK pump')
      this.packets.splice(index, 1)
      this.time++
      this.deliver(packet)
      index = 0
    }
  }
}
