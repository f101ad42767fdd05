// The good client beside an attack: it reads and writes keys of its own through all daemons, at a steady modest rate,
// and times each operation. Invariant: one writer per key, which writes ascending numbers, so a read that returns less
// than the last acknowledged number shows a lost or hidden write.
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

export interface Door {
  readonly name: string
  readonly port: number
  readonly password: string
}

/** The figures since the last call of `take`. */
export interface GoodFigures {
  /** The duration of each operation, ms; Infinity for one that failed. */
  readonly times: readonly number[]
  /** Failures by reason. */
  readonly failures: Readonly<Record<string, number>>
  /** Attempts to connect, log in and read, over a new connection: how many, and how many failed. */
  readonly visits: number
  readonly visitsFailed: number
  /** Reads that returned less than was acknowledged before they began. */
  readonly stale: readonly string[]
}

const KEYS = 120
const GAP_MS = 12
const VISIT_GAP_MS = 500
const COMMAND_MS_MAX = 5000
const VERIFY_MS_MAX = 30_000
const PADDING = '.'.repeat(200)

interface Written {
  /** The last number whose write was acknowledged, and the last that was sent. */
  acknowledged: number
  sent: number
}

export class GoodClient {
  readonly #doors: readonly Door[]
  readonly #clients: readonly Redis[]
  readonly #written: Written[] = Array.from({ length: KEYS }, () => ({ acknowledged: 0, sent: 0 }))
  #times: number[] = []
  #failures: Record<string, number> = {}
  #stale: string[] = []
  #visits = 0
  #visitsFailed = 0
  #stopping = false
  readonly #loops: Promise<unknown>

  constructor(doors: readonly Door[]) {
    this.#doors = doors
    this.#clients = doors.map(clientOf)
    this.#loops = Promise.all([this.#work(0), this.#work(1), this.#visit()])
  }

  take(): GoodFigures {
    const figures = {
      times: this.#times,
      failures: this.#failures,
      ...{ visits: this.#visits, visitsFailed: this.#visitsFailed, stale: this.#stale }
    }
    this.#times = []
    this.#failures = {}
    this.#stale = []
    this.#visits = 0
    this.#visitsFailed = 0
    return figures
  }

  /** Reads every key through every door, again and again until each answers. Returns the writes that were not found. */
  async verify(): Promise<string[]> {
    const lost: string[] = []
    const deadline = performance.now() + VERIFY_MS_MAX
    for (const [at, client] of this.#clients.entries()) {
      const name = this.#doors[at]!.name
      for (let key = 0; key < KEYS; key++) {
        const { acknowledged } = this.#written[key]!
        const found = await readUntil(client, keyOf(key), deadline)
        if (found === undefined) lost.push(`${keyOf(key)} cannot be read through ${name}`)
        else if (found < acknowledged)
          lost.push(`${keyOf(key)} through ${name}: ${found}, acknowledged ${acknowledged}`)
        if (performance.now() > deadline) return lost
      }
    }
    return lost
  }

  async stop(): Promise<void> {
    this.#stopping = true
    for (const client of this.#clients) client.disconnect()
    await this.#loops
  }

  /** Writes a key through one door and reads it through the next one. Two such loops share out the keys. */
  async #work(half: number): Promise<void> {
    for (let turn = 0; !this.#stopping; turn++) {
      const key = (2 * turn + half) % KEYS
      const written = this.#written[key]!
      const writer = this.#clients[turn % this.#clients.length]!
      const number = ++written.sent
      await this.#timed(async () => {
        await writer.set(keyOf(key), `${number} ${PADDING}`)
        written.acknowledged = number
      })
      await sleep(GAP_MS)
      const reader = this.#clients[(turn + 1) % this.#clients.length]!
      const before = written.acknowledged
      await this.#timed(async () => {
        const found = numberOf(await reader.get(keyOf(key)))
        if (found < before) this.#stale.push(`${keyOf(key)}: ${found}, acknowledged ${before}`)
      })
      await sleep(GAP_MS)
    }
  }

  /** A newcomer: connects, logs in, reads one key, leaves. */
  async #visit(): Promise<void> {
    for (let turn = 0; !this.#stopping; turn++) {
      await sleep(VISIT_GAP_MS)
      if (this.#stopping) return
      const client = clientOf(this.#doors[turn % this.#doors.length]!)
      this.#visits += 1
      try {
        await client.get(keyOf(turn % KEYS))
      } catch {
        if (!this.#stopping) this.#visitsFailed += 1
      } finally {
        client.disconnect()
      }
    }
  }

  async #timed(operation: () => Promise<void>): Promise<void> {
    const began = performance.now()
    try {
      await operation()
      this.#times.push(performance.now() - began)
    } catch (thrown) {
      if (this.#stopping) return
      this.#times.push(Number.POSITIVE_INFINITY)
      const reason = (thrown instanceof Error ? thrown.message : String(thrown)).slice(0, 40)
      this.#failures[reason] = (this.#failures[reason] ?? 0) + 1
    }
  }
}

function clientOf({ port, password }: Door): Redis {
  const client = new Redis({
    ...{ host: '127.0.0.1', port, password, commandTimeout: COMMAND_MS_MAX, connectTimeout: COMMAND_MS_MAX },
    ...{ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 },
    retryStrategy: (times) => Math.min(50 * times, 500)
  })
  client.on('error', () => {})
  return client
}

function keyOf(key: number): string {
  return `good:${key}`
}

function numberOf(value: string | null): number {
  return value === null ? 0 : Number(value.split(' ')[0])
}

async function readUntil(client: Redis, key: string, deadline: number): Promise<number | undefined> {
  do {
    try {
      return numberOf(await client.get(key))
    } catch {
      await sleep(200)
    }
  } while (performance.now() < deadline)
  return undefined
}
