// The daemon that one client uses for a while, and the pace of the client.
import { setTimeout as sleep } from 'node:timers/promises'
import { below, pick, type Random } from '../../lib/random.js'

const REST_POLL_MS = 20
/** A client changes its daemon at random, once in this number of operations. */
const MOVE_ONE_IN = 100

export interface ViaOptions {
  readonly random: Random
  readonly thinkMs: number
  readonly names: () => readonly string[]
  readonly isResting: () => boolean
}

export class Via {
  readonly random: Random
  readonly #options: ViaOptions
  #name: string | undefined

  constructor(options: ViaOptions) {
    this.#options = options
    this.random = options.random
  }

  get name(): string {
    if (this.#name === undefined || !this.#options.names().includes(this.#name)) this.move()
    return this.#name ?? ''
  }

  move(): void {
    this.#name = pick(this.random, this.#options.names())
  }

  async think(): Promise<void> {
    await sleep(2 * this.random.next() * this.#options.thinkMs)
    while (this.#options.isResting()) await sleep(REST_POLL_MS)
    if (below(this.random, MOVE_ONE_IN) === 0) this.move()
  }
}
