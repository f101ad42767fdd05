// A process full of clients: puts, gets and deletes through the daemons of a campaign until stdin ends, and a line in a
// file for every attempt. Told on argv what to do (JSON of ClientPlan), on stdin which daemons to ask and when to rest.
// Invariant: every value is put once. A counter's next number is put only when the one before was acknowledged; when it
// can not be known what became of a number the counter is given up and another one begun, since a late attempt of
// an old number may still come after newer ones.
import { createWriteStream, type WriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { below, pick, type Random } from '../../lib/random.js'
import { seeded } from '../sim/sim-node.js'
import { type Answer, type Door, openDoor } from './client-door.js'
import { type Attempt, counterValue, elapsedSince } from './client-records.js'

export interface DoorPlan {
  readonly name: string
  readonly host: string
  readonly peerPort: number
  readonly respPort: number
  readonly password: string | undefined
}

export interface ClientPlan {
  /** process.hrtime.bigint() of the campaign's beginning, as text. */
  readonly originNs: string
  readonly file: string
  readonly seed: number
  /** Of the process, from 0. */
  readonly index: number
  /** Every daemon that may ever be asked. */
  readonly doors: readonly DoorPlan[]
  readonly sharedKeys: number
  /** Clients of each kind in this process. */
  readonly counters: number
  readonly readers: number
  readonly mixed: number
  /** Mean pause of a client between two operations. */
  readonly thinkMs: number
}

/** A line of stdin. */
export interface Order {
  /** Ask these from now on. */
  readonly doors?: readonly string[]
  readonly rest?: boolean
}

/** After an error; then through another daemon. */
const RETRY_MS = 50
const REST_POLL_MS = 20
/** A client changes its daemon by chance, once in so many operations. */
const MOVE_ONE_IN = 100
const CLIENTS_MAX = 1000
/** Of this many operations of a mixed client so many are puts, so many deletes; the others are gets. */
const MIX = { all: 20, puts: 8, deletes: 3 }

/** Of the puts of a mixed client to a door that can say when: one in so many expires, after so long. */
const EXPIRING_ONE_IN = 3
const TTL_MS_MIN = 200
const TTL_MS_MAX = 4000

type Asked = Pick<Attempt, 'operation' | 'client' | 'kind' | 'key' | 'value'> & {
  /** Only where the door can say so. */
  readonly ttlMs?: number
}

export class Clients {
  readonly #plan: ClientPlan
  readonly #originNs: bigint
  readonly #out: WriteStream
  readonly #doors: Map<string, Door>
  readonly #open = new Set<Omit<Attempt, 'outcome' | 'end'>>()
  /** The counter that each counting client is at. */
  readonly #counters: string[] = []
  #names: readonly string[] = []
  #resting = false
  #isOver = false
  #lastOperation = 0

  constructor(plan: ClientPlan) {
    this.#plan = plan
    this.#originNs = BigInt(plan.originNs)
    this.#out = createWriteStream(plan.file)
    this.#doors = new Map(plan.doors.map((door, index) => [door.name, openDoor(door, (index + plan.index) % 2 === 0)]))
  }

  obey({ doors, rest }: Order): void {
    this.#names = doors ?? this.#names
    this.#resting = rest ?? this.#resting
  }

  /** Resolves when `stop` was called and nothing is under way any more. */
  async run(): Promise<void> {
    const { counters, readers, mixed } = this.#plan
    const works = [
      ...Array.from({ length: counters }, (_, index) => (client: number) => this.#count(client, index)),
      ...Array.from({ length: readers }, () => (client: number) => this.#read(client)),
      ...Array.from({ length: mixed }, () => (client: number) => this.#mix(client))
    ]
    await Promise.all(works.map((work, index) => work(this.#plan.index * CLIENTS_MAX + index)))
  }

  stop(): void {
    this.#isOver = true
  }

  /** Writes down what is still under way, and ends. */
  async close(): Promise<void> {
    for (const asked of this.#open) this.#write({ ...asked, end: null, outcome: 'unknown' })
    this.#open.clear()
    for (const door of this.#doors.values()) door.close()
    await new Promise((resolve) => this.#out.end(() => resolve(undefined)))
  }

  async #count(client: number, index: number): Promise<void> {
    const via = this.#via(client)
    for (let life = 0; !this.#isOver; life++) {
      const key = `counter-${client}-${life}`
      this.#counters[index] = key
      let isKnown = true
      for (let number = 1; isKnown && !this.#isOver; number++) {
        const operation = ++this.#lastOperation
        const value = counterValue(key, number)
        let outcome: Attempt['outcome'] = 'refused'
        while (outcome === 'refused' && !this.#isOver) {
          await via.think()
          outcome = await this.#attempt({ operation, client, kind: 'put', key, value }, via)
        }
        isKnown = outcome === 'ok'
      }
    }
  }

  async #read(client: number): Promise<void> {
    const via = this.#via(client)
    while (!this.#isOver) {
      await via.think()
      const key = pick(via.random, this.#counters)
      if (key !== undefined) await this.#attempt({ operation: ++this.#lastOperation, client, kind: 'get', key }, via)
    }
  }

  async #mix(client: number): Promise<void> {
    const via = this.#via(client)
    while (!this.#isOver) {
      await via.think()
      const operation = ++this.#lastOperation
      const key = `shared-${below(via.random, this.#plan.sharedKeys)}`
      const lot = below(via.random, MIX.all)
      if (lot < MIX.puts) {
        const ttlMs = below(via.random, EXPIRING_ONE_IN) === 0 ? ttl(via.random) : {}
        await this.#attempt({ operation, client, kind: 'put', key, value: `${client}.${operation}`, ...ttlMs }, via)
      } else await this.#attempt({ operation, client, kind: lot < MIX.puts + MIX.deletes ? 'delete' : 'get', key }, via)
    }
  }

  async #attempt({ ttlMs, ...asked }: Asked, via: Via): Promise<Attempt['outcome']> {
    const door = this.#doors.get(via.name)
    if (door === undefined) return 'refused'
    const begin = elapsedSince(this.#originNs)
    const lasts = ttlMs !== undefined && door.canExpire
    const open = { ...asked, node: via.name, begin, ...(lasts ? { expiresAt: begin + ttlMs } : {}) }
    this.#open.add(open)
    const { outcome, error, found, existed } = await ask(door, asked, lasts ? Date.now() + ttlMs : undefined)
    if (!this.#open.delete(open)) return 'unknown'
    this.#write({ ...open, end: elapsedSince(this.#originNs), outcome, error, found, existed })
    if (outcome !== 'ok') {
      via.move()
      await sleep(RETRY_MS)
    }
    return outcome
  }

  #write(attempt: Attempt): void {
    this.#out.write(`${JSON.stringify(attempt)}\n`)
  }

  #via(client: number): Via {
    const { seed, thinkMs } = this.#plan
    const random = seeded(seed * CLIENTS_MAX + client)
    const isResting = () => this.#resting && !this.#isOver
    return new Via({ random, thinkMs, names: () => this.#names, isResting })
  }
}

interface ViaOptions {
  readonly random: Random
  readonly thinkMs: number
  readonly names: () => readonly string[]
  readonly isResting: () => boolean
}

/** The daemon that a client keeps to for a while, and its pace. */
class Via {
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

function ask(door: Door, { kind, key, value }: Asked, expiresAtMs: number | undefined): Promise<Answer> {
  if (kind === 'get') return door.get(key)
  return kind === 'put' ? door.put(key, value ?? '', expiresAtMs) : door.delete(key)
}

function ttl(random: Random): { readonly ttlMs: number } {
  return { ttlMs: TTL_MS_MIN + below(random, TTL_MS_MAX - TTL_MS_MIN) }
}

/** Longer than any operation takes. */
const DRAIN_MS_MAX = 15_000

async function main(plan: ClientPlan): Promise<void> {
  const clients = new Clients(plan)
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => clients.obey(JSON.parse(line)))
  lines.on('close', () => clients.stop())
  await new Promise((resolve) => lines.once('line', resolve))
  const running = clients.run()
  await new Promise((resolve) => lines.once('close', resolve))
  await Promise.race([running, sleep(DRAIN_MS_MAX)])
  await clients.close()
  process.exit(0)
}

// A terminal's Ctrl-C is for the campaign, which then ends this.
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.on('SIGINT', () => {})
  void main(JSON.parse(process.argv[2] ?? '{}'))
}
