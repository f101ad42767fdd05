// Purges: all owners of a slot agree on what lies at a bound and below it; then tombstones go.
import type { Version } from './entries.js'
import type { Config, Message, Node } from './messages.js'

/** What purges need of the ring. */
export interface PurgeRing {
  readonly nodes: readonly Node[]
  readonly configs: readonly Config[]
  readonly totals: { purges: number }
  newToken(): number
  owners(config: number): readonly number[]
  send(to: Node, message: Message): void
}

interface Purge {
  readonly config: number
  readonly heard: Map<number, string | undefined>
}

export class Purges {
  readonly #ring: PurgeRing
  readonly #purges = new Map<number, Purge>()

  constructor(ring: PurgeRing) {
    this.#ring = ring
  }

  /** A purge of all that all owners of the newest config agree on below the bound. */
  start(bound: Version): void {
    const token = this.#ring.newToken()
    const config = this.#ring.configs.length - 1
    this.#purges.set(token, { config, heard: new Map() })
    for (const id of this.#ring.owners(config))
      this.#ring.send(this.#ring.nodes[id]!, { kind: 'seal', token, bound, config })
  }

  handle(node: Node, message: Extract<Message, { kind: 'seal' | 'sealed' | 'endPurge' }>): void {
    const { token } = message
    const { owner } = node
    if (message.kind === 'seal') {
      const { config, bound } = message
      const isOwner = node.known === config && node.base === config && node.ready.has(config)
      const versions = isOwner && bound > owner.bound ? owner.prepareSeal(token, bound) : undefined
      // The driver of the purge is any node; here the message goes to its table by way of this node.
      this.#ring.send(node, { kind: 'sealed', token, node: node.id, versions })
    } else if (message.kind === 'sealed') {
      const purge = this.#purges.get(token)
      if (purge === undefined) return
      purge.heard.set(message.node, message.versions)
      const owners = this.#ring.owners(purge.config)
      if (purge.heard.size < owners.length) return
      this.#purges.delete(token)
      const lists = [...purge.heard.values()]
      const isCommitted = lists[0] !== undefined && lists.every((list) => list === lists[0])
      if (isCommitted) this.#ring.totals.purges++
      for (const id of owners)
        this.#ring.send(this.#ring.nodes[id]!, { kind: 'endPurge', token, config: purge.config, isCommitted })
    } else if (owner.seal?.token === token) {
      if (message.isCommitted && node.known === message.config) owner.commitPurge()
      else owner.seal = undefined
    }
  }
}
