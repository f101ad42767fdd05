// The ring around the owners: network, configs, crashes, pulls, repair and purges. All of it is drawn from one seed.
import type { Deviations } from './deviations.js'
import { type Entry, isGroup, type KeySet, keysOf, MS_STEP, msOf, ROUTERS_MAX, singleWrite, type Version, type Write } from './entries.js'
import { judge, type Judgement } from './linearizability.js'
import { OperationDriver, type RouterRing } from './operation-driver.js'
import { type Answer, newOperation, type Operation, type Router } from './operation-state.js'
import type { OperationKind } from './operations.js'
import { type Attempt, Owner, type WriteAnswer, type WriteWay } from './owner.js'
import { SeededRandom } from './random.js'

/** A process that may own keys. Configs `base` to `known` are its window. */
export interface Node {
  readonly kind: 'node'
  readonly id: number
  readonly owner: Owner
  isUp: boolean
  pausedTill: number
  backAt: number
  known: number
  base: number
  /** Configs for which it is Ready. */
  readonly ready: Set<number>
  pull: Pull | undefined
  life: number
  /** The share of writes to it that are lost. */
  lostWrites: number
}

/** What has come from one source. */
interface Pages {
  readonly keys: KeySet
  /** It was Ready for the config itself. */
  readonly isReady: boolean
  readonly bound: Version
  readonly entries: readonly (Entry | undefined)[]
}

interface Pull {
  readonly token: number
  readonly config: number
  readonly base: number
  /** The window below the config: n-q+1 owners of each are needed. */
  readonly window: readonly number[]
  readonly pages: Map<number, Pages>
  /** By key: the version that its own entry must reach before it is Ready. */
  readonly due: Version[]
}

type OwnerStep =
  | { readonly kind: 'read'; readonly set: KeySet }
  | { readonly kind: 'prepare'; readonly ballot: Version; readonly set: KeySet; readonly attempts: readonly Attempt[] }
  | { readonly kind: 'write'; readonly write: Write; readonly way: WriteWay }

export type Message =
  | { readonly kind: 'ask'; readonly from: Router; readonly id: number; readonly step: number; readonly known: number; readonly ask: OwnerStep }
  | { readonly kind: 'answer'; readonly id: number; readonly step: number; readonly known: number; readonly base: number; readonly answer: Answer }
  | { readonly kind: 'close'; readonly version: Version }
  | { readonly kind: 'push'; readonly write: Write }
  | { readonly kind: 'pull'; readonly from: Node; readonly token: number; readonly config: number; readonly known: number; readonly base: number }
  | { readonly kind: 'page'; readonly from: Node; readonly token: number; readonly config: number; readonly key: number; readonly life: number }
  | { readonly kind: 'took'; readonly token: number; readonly source: number; readonly key: number; readonly write: Write; readonly promise: Version; readonly isReady: boolean; readonly bound: Version }
  | { readonly kind: 'seal'; readonly token: number; readonly bound: Version; readonly config: number }
  | { readonly kind: 'sealed'; readonly token: number; readonly node: number; readonly versions: string | undefined }
  | { readonly kind: 'endPurge'; readonly token: number; readonly config: number; readonly isCommitted: boolean }

export interface Packet {
  readonly to: Node | Router
  readonly message: Message
  readonly at: number
}

interface Config {
  readonly owners: readonly number[]
  readonly ready: Set<number>
}

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
  readonly #purges = new Map<number, { config: number; bound: Version; heard: Map<number, string | undefined> }>()
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
      this.routers.push({ kind: 'router', id, isUp: true, pausedTill: 0, backAt: 0, known: 1, base: 1, skew, last: 0, cutOff: [] })
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

  #window(process: Node | Router): number[] {
    const window: number[] = []
    for (let config = process.base; config <= process.known; config++) window.push(config)
    return window
  }

  ownersOf(window: readonly number[]): number[] {
    return [...new Set(window.flatMap((config) => this.owners(config)))]
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
    if ('entries' in answer) for (const entry of answer.entries) if (entry !== undefined) this.#observe(router, entry.version)
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
        return this.#page(node, message)
      case 'took':
        return this.#took(node, message)
      case 'seal':
      case 'sealed':
      case 'endPurge':
        return this.#purge(node, message)
    }
  }

  #asked(node: Node, { from, id, step, known, ask }: Extract<Message, { kind: 'ask' }>): void {
    const tell = (answer: Answer) =>
      this.send(from, { kind: 'answer', id, step, known: node.known, base: node.base, answer })
    if (node.known > known && !this.deviations.has('noFence')) return tell({ kind: 'stale', owner: node.id })
    this.learn(node, known, 0)
    const { owner } = node
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
    return this.#window(router)
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
      if (this.tornShare > 0 && phase === 'write' && operation.write!.open && this.random.chance(this.tornShare)) continue
      if (heard === undefined || isRefusal) this.send(this.nodes[owner]!, { kind: 'ask', from: router, id, step, known, ask })
    }
  }

  close(operation: Operation, { version }: Write): void {
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

  // ---------- pulls ----------

  /** Starts the node's pull for its newest config, or asks again the sources that have not answered. */
  startPull(node: Node): void {
    const config = node.known
    if (!this.owners(config).includes(node.id) || node.ready.has(config)) return
    if (node.pull?.config !== config || node.pull.base !== node.base) {
      const due = Array.from({ length: this.keys }, () => 0)
      const window = this.#window(node).slice(0, -1)
      node.pull = { token: ++this.#ids, config, base: node.base, window, pages: new Map(), due }
    }
    const { token, base, pages, window } = node.pull
    const all = (1 << this.keys) - 1
    for (const id of this.ownersOf([...window, config])) {
      if (id === node.id || pages.get(id)?.keys === all) continue
      this.send(this.nodes[id]!, { kind: 'pull', from: node, token, config, known: node.known, base })
    }
    this.#finishPull(node)
  }

  #page(node: Node, { from, token, config, key, life }: Extract<Message, { kind: 'page' }>): void {
    if (node.life !== life) return
    const { owner } = node
    const entry = owner.entries[key]!
    owner.shown[key] = true
    const promise = owner.promises[key]! > entry.version ? owner.promises[key]! : 0
    const write = owner.copyOf(key, this.deviations.has('pullOneKey'))
    const isReady = node.ready.has(config)
    this.send(from, { kind: 'took', token, source: node.id, key, write, promise, isReady, bound: owner.bound })
  }

  #took(node: Node, message: Extract<Message, { kind: 'took' }>): void {
    const { pull, owner } = node
    if (pull?.token !== message.token) return
    const { write, key, promise } = message
    const raise = (one: number, version: Version) => {
      pull.due[one] = Math.max(pull.due[one]!, version)
    }
    const answer: WriteAnswer = owner.write(write, 'pull')
    if (answer.kind !== 'ok' && !this.deviations.has('pullSkipsRefused')) {
      for (const one of keysOf(write.set)) {
        if (write.version > owner.bound) raise(one, write.version)
        if (answer.kind === 'promised') raise(one, owner.promises[one]!)
      }
    }
    if (promise > 0 && !this.deviations.has('pullForgetsPromise')) raise(key, promise)
    const former = pull.pages.get(message.source)
    const entries = [...(former?.entries ?? [])]
    entries[key] = write.entries[key]!
    pull.pages.set(message.source, {
      keys: (former?.keys ?? 0) | (1 << key),
      isReady: (former?.isReady ?? true) && message.isReady,
      bound: message.bound,
      entries
    })
    this.#finishPull(node)
  }

  #finishPull(node: Node): void {
    const pull = node.pull!
    const all = (1 << this.keys) - 1
    const has = (id: number) => id === node.id || pull.pages.get(id)?.keys === all
    const isEnough =
      pull.window.length > 0 &&
      pull.window.every((config) => {
        const owners = this.owners(config)
        return owners.filter(has).length >= owners.length - (owners.length >> 1)
      })
    const isCopied = [...pull.pages.values()].some(({ keys, isReady }) => keys === all && isReady)
    if (!isEnough && !isCopied) return
    if (this.isWaiting(node)) {
      this.totals.waits++
      return
    }
    for (const { keys, bound, entries } of pull.pages.values()) {
      if (keys === all) node.owner.followBound(bound, entries)
    }
    node.pull = undefined
    node.ready.add(pull.config)
    this.configs[pull.config]!.ready.add(node.id)
    node.owner.becomeReady()
  }

  /** The keys that a round must settle before the puller is Ready, or 0. */
  dueKeys(node: Node): KeySet {
    let set = 0
    node.pull?.due.forEach((version, key) => {
      if (node.owner.entries[key]!.version < version) set |= 1 << key
    })
    return set
  }

  isWaiting(node: Node): boolean {
    return this.dueKeys(node) !== 0
  }

  push(from: Node, to: Node, key: number): void {
    if (from.owner.entries[key]!.version === 0) return
    const isAlone = this.deviations.has('pushOneKey')
    const write = isAlone ? singleWrite(key, from.owner.entries[key]!) : from.owner.copyOf(key, false)
    this.send(to, { kind: 'push', write })
  }

  // ---------- purge ----------

  /** A purge of all that all owners of the newest config agree on below the bound. */
  startPurge(bound: Version): void {
    const token = ++this.#ids
    const config = this.configs.length - 1
    this.#purges.set(token, { config, bound, heard: new Map() })
    for (const id of this.owners(config)) this.send(this.nodes[id]!, { kind: 'seal', token, bound, config })
  }

  #purge(node: Node, message: Extract<Message, { kind: 'seal' | 'sealed' | 'endPurge' }>): void {
    const { token } = message
    const { owner } = node
    if (message.kind === 'seal') {
      const { config, bound } = message
      const isOwner = node.known === config && node.base === config && node.ready.has(config)
      const versions = isOwner && bound > owner.bound ? owner.prepareSeal(token, bound) : undefined
      // The driver of the purge is any node; here the message goes to its table by way of this node.
      this.send(node, { kind: 'sealed', token, node: node.id, versions })
    } else if (message.kind === 'sealed') {
      const purge = this.#purges.get(token)
      if (purge === undefined) return
      purge.heard.set(message.node, message.versions)
      const owners = this.owners(purge.config)
      if (purge.heard.size < owners.length) return
      this.#purges.delete(token)
      const lists = [...purge.heard.values()]
      const isCommitted = lists[0] !== undefined && lists.every((list) => list === lists[0])
      if (isCommitted) this.totals.purges++
      for (const id of owners) this.send(this.nodes[id]!, { kind: 'endPurge', token, config: purge.config, isCommitted })
    } else if (owner.seal?.token === token) {
      if (message.isCommitted && node.known === message.config) owner.commitPurge()
      else owner.seal = undefined
    }
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
