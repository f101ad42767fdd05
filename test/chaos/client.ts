// A process of clients. They put, get and delete through the daemons of a campaign until stdin ends, and write a line
// to a file for every attempt. argv holds the ClientPlan as JSON; each line of stdin is an Order.
// Invariant: every value is put only once. A counter puts its next number only after the one before was acknowledged.
// When the outcome of a number is unknown, the client abandons the counter and starts another one, because the old
// number may still take effect after newer ones.
import { createWriteStream, type WriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { below, pick, type Random } from '../../lib/random.js'
import { seeded } from '../sim/sim-node.js'
import { AtomicClient, atomicKindOf, type Told } from './atomic-clients.js'
import { type Answer, type Door, type DoorPlan, openDoor } from './client-door.js'
import { type Attempt, counterValue, elapsedSince } from './client-records.js'
import { RedisLink } from './redis-link.js'
import { Via } from './via.js'

export interface ClientPlan {
  /** process.hrtime.bigint() at the start of the campaign, as text. */
  readonly originNs: string
  readonly file: string
  readonly seed: number
  /** The number of the process, from 0. */
  readonly index: number
  /** Every daemon that clients may use during the campaign. */
  readonly doors: readonly DoorPlan[]
  readonly sharedKeys: number
  /** Clients of each kind in this process. */
  readonly counters: number
  readonly readers: number
  readonly mixed: number
  /** Clients of atomic operations in this process; each kind in turn. */
  readonly atomic: number
  /** Mean pause of a client between two operations, ms. */
  readonly thinkMs: number
}

/** A line of stdin. */
export interface Order {
  /** The daemons to use from now on. */
  readonly doors?: readonly string[]
  /** Whether to pause. */
  readonly rest?: boolean
}

/** Pause after an error; the next attempt uses another daemon. */
const RETRY_MS = 50
const CLIENTS_MAX = 1000
/** Of `all` operations of a mixed client, `puts` are puts and `deletes` are deletes; the others are gets. */
const MIX = { all: 20, puts: 8, deletes: 3 }

/** One in this number of puts of a mixed client expires, when its door can carry an expiry. */
const EXPIRING_ONE_IN = 3
const TTL_MS_MIN = 200
const TTL_MS_MAX = 4000

type Asked = Pick<Attempt, 'operation' | 'client' | 'kind' | 'key' | 'value'> & {
  /** Used only when the door can carry an expiry. */
  readonly ttlMs?: number
}

export class Clients {
  readonly #plan: ClientPlan
  readonly #originNs: bigint
  readonly #out: WriteStream
  readonly #doors: Map<string, Door>
  readonly #open = new Set<Omit<Attempt, 'outcome' | 'end'>>()
  /** The current counter of each counting client. */
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

  /** Resolves when `stop` was called and all operations have ended. */
  async run(): Promise<void> {
    const { counters, readers, mixed, atomic } = this.#plan
    const works = [
      ...Array.from({ length: counters }, (_, index) => (client: number) => this.#count(client, index)),
      ...Array.from({ length: readers }, () => (client: number) => this.#read(client)),
      ...Array.from({ length: mixed }, () => (client: number) => this.#mix(client)),
      ...Array.from({ length: atomic }, (_, index) => (client: number) => this.#workAtomically(client, index))
    ]
    await Promise.all(works.map((work, index) => work(this.#plan.index * CLIENTS_MAX + index)))
  }

  stop(): void {
    this.#isOver = true
  }

  /** Records the operations that are still under way as unknown, and closes the file. */
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

  #workAtomically(client: number, index: number): Promise<void> {
    const doors = new Map(this.#plan.doors.map((door) => [door.name, door]))
    const deps = {
      ...{ kind: atomicKindOf(index), client, via: this.#via(client) },
      open: (name: string) => {
        const door = doors.get(name)
        return door === undefined ? undefined : new RedisLink(door)
      },
      now: () => elapsedSince(this.#originNs),
      isOver: () => this.#isOver,
      nextOperation: () => ++this.#lastOperation,
      begin: (attempt: Omit<Attempt, 'outcome' | 'end'>) => void this.#open.add(attempt),
      end: (attempt: Omit<Attempt, 'outcome' | 'end'>, answer: Pick<Attempt, 'outcome' | 'error'>, told: Told) => {
        if (!this.#open.delete(attempt)) return
        const { outcome, error } = answer
        this.#write({ ...attempt, end: elapsedSince(this.#originNs), outcome, error, ...told })
      }
    }
    return new AtomicClient(deps).run()
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

// Ctrl-C in a terminal is for the campaign, which then ends this process.
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.on('SIGINT', () => {})
  void main(JSON.parse(process.argv[2] ?? '{}'))
}
