// Pulls: a new owner of a config copies what the owners before it hold, and is then Ready.
import type { Deviations } from './deviations.js'
import { type KeySet, keysOf, type Version } from './entries.js'
import type { Config, Message, Node } from './messages.js'
import type { WriteAnswer } from './owner.js'

/** What pulls need of the ring. */
export interface PullRing {
  readonly deviations: Deviations
  readonly keys: number
  readonly nodes: readonly Node[]
  readonly configs: readonly Config[]
  readonly totals: { waits: number }
  newToken(): number
  windowOf(node: Node): number[]
  owners(config: number): readonly number[]
  ownersOf(window: readonly number[]): number[]
  send(to: Node, message: Message): void
}

export class Pulls {
  readonly #ring: PullRing

  constructor(ring: PullRing) {
    this.#ring = ring
  }

  /** Starts the node's pull for its newest config, or asks again the sources that have not answered. */
  start(node: Node): void {
    const config = node.known
    if (!this.#ring.owners(config).includes(node.id) || node.ready.has(config)) return
    if (node.pull?.config !== config || node.pull.base !== node.base) {
      const due = Array.from({ length: this.#ring.keys }, () => 0)
      const window = this.#ring.windowOf(node).slice(0, -1)
      node.pull = { token: this.#ring.newToken(), config, base: node.base, window, pages: new Map(), due }
    }
    const { token, base, pages, window } = node.pull
    const all = (1 << this.#ring.keys) - 1
    for (const id of this.#ring.ownersOf([...window, config])) {
      if (id === node.id || pages.get(id)?.keys === all) continue
      this.#ring.send(this.#ring.nodes[id]!, { kind: 'pull', from: node, token, config, known: node.known, base })
    }
    this.#finish(node)
  }

  page(node: Node, { from, token, config, key, life }: Extract<Message, { kind: 'page' }>): void {
    if (node.life !== life) return
    const { owner } = node
    const entry = owner.entries[key]!
    owner.shown[key] = true
    const promise = owner.promises[key]! > entry.version ? owner.promises[key]! : 0
    const write = owner.copyOf(key, this.#ring.deviations.has('pullOneKey'))
    const isReady = node.ready.has(config)
    this.#ring.send(from, { kind: 'took', token, source: node.id, key, write, promise, isReady, bound: owner.bound })
  }

  took(node: Node, message: Extract<Message, { kind: 'took' }>): void {
    const { pull, owner } = node
    if (pull?.token !== message.token) return
    const { write, key, promise } = message
    const raise = (one: number, version: Version) => {
      pull.due[one] = Math.max(pull.due[one]!, version)
    }
    const answer: WriteAnswer = owner.write(write, 'pull')
    if (answer.kind !== 'ok' && !this.#ring.deviations.has('pullSkipsRefused')) {
      for (const one of keysOf(write.set)) {
        if (write.version > owner.bound) raise(one, write.version)
        if (answer.kind === 'promised') raise(one, owner.promises[one]!)
      }
    }
    if (promise > 0 && !this.#ring.deviations.has('pullForgetsPromise')) raise(key, promise)
    const former = pull.pages.get(message.source)
    const entries = [...(former?.entries ?? [])]
    entries[key] = write.entries[key]!
    pull.pages.set(message.source, {
      keys: (former?.keys ?? 0) | (1 << key),
      isReady: (former?.isReady ?? true) && message.isReady,
      bound: message.bound,
      entries
    })
    this.#finish(node)
  }

  #finish(node: Node): void {
    const pull = node.pull!
    const all = (1 << this.#ring.keys) - 1
    const has = (id: number) => id === node.id || pull.pages.get(id)?.keys === all
    const isEnough =
      pull.window.length > 0 &&
      pull.window.every((config) => {
        const owners = this.#ring.owners(config)
        return owners.filter(has).length >= owners.length - (owners.length >> 1)
      })
    const isCopied = [...pull.pages.values()].some(({ keys, isReady }) => keys === all && isReady)
    if (!isEnough && !isCopied) return
    if (this.dueKeys(node) !== 0) {
      this.#ring.totals.waits++
      return
    }
    for (const { keys, bound, entries } of pull.pages.values()) {
      if (keys === all) node.owner.followBound(bound, entries)
    }
    node.pull = undefined
    node.ready.add(pull.config)
    this.#ring.configs[pull.config]!.ready.add(node.id)
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
}
