// A client of one daemon, over RESP or libp2p. For each operation it returns what is known of the outcome.
// Must not retry by itself, and must not report an outcome as known when it is not.
import { Redis } from 'ioredis'
import { RingdClient } from '../../lib/client/client.js'
import { type ErrorCode, toRingdError } from '../../lib/errors.js'
import { connectClient } from '../../lib/network/client-link.js'
import { type ClientSecrets, parseClientSecrets } from '../../lib/network/secrets.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import type { Attempt } from './client-records.js'

export interface DoorPlan {
  readonly name: string
  readonly host: string
  readonly peerPort: number
  readonly respPort: number
  readonly password: string | undefined
  /** The ring secret, from which the secret of clients follows. */
  readonly secret: string
}

export type Answer = Pick<Attempt, 'outcome' | 'error' | 'found' | 'existed'>

export interface Door {
  /** Whether puts can carry an expiry, exact to the ms. */
  readonly canExpire: boolean
  get(key: string): Promise<Answer>
  /** `expiresAtMs` since the epoch; only when `canExpire`. */
  put(key: string, value: string, expiresAtMs?: number): Promise<Answer>
  delete(key: string): Promise<Answer>
  close(): void
}

/** A daemon answers within 10 s, with success or an error. */
const TIMEOUT_MS = 12_000
const CONNECT_MS = 3000
const REDIAL_MS_MAX = 500

/** Opens a door over RESP or libp2p. It connects again by itself. */
export function openDoor(plan: DoorPlan, isResp: boolean): Door {
  return isResp ? new RespDoor(plan) : new PeerDoor(plan)
}

class RespDoor implements Door {
  readonly canExpire = true
  readonly #redis: Redis

  constructor({ host, respPort, password }: DoorPlan) {
    this.#redis = new Redis({
      ...{ host, port: respPort, ...(password === undefined ? {} : { password }) },
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      commandTimeout: TIMEOUT_MS,
      connectTimeout: CONNECT_MS,
      retryStrategy: (times) => Math.min(50 * times, REDIAL_MS_MAX)
    })
    this.#redis.on('error', () => {})
  }

  get(key: string): Promise<Answer> {
    return this.#ask(async () => ({ outcome: 'ok', found: (await this.#redis.get(key)) ?? undefined }))
  }

  put(key: string, value: string, expiresAtMs?: number): Promise<Answer> {
    return this.#ask(async () => {
      if (expiresAtMs === undefined) await this.#redis.set(key, value)
      else await this.#redis.set(key, value, 'PXAT', expiresAtMs)
      return { outcome: 'ok' }
    })
  }

  delete(key: string): Promise<Answer> {
    return this.#ask(async () => ({ outcome: 'ok', existed: (await this.#redis.del(key)) === 1 }))
  }

  close(): void {
    this.#redis.disconnect()
  }

  async #ask(work: () => Promise<Answer>): Promise<Answer> {
    if (this.#redis.status !== 'ready') return { outcome: 'refused', error: 'not connected' }
    try {
      return await work()
    } catch (thrown) {
      const { name, message } = thrown as Error
      // Only after an error reply it is known that the daemon does nothing more.
      if (name === 'ReplyError') return { outcome: 'refused', error: message.split(' ')[0] }
      return { outcome: 'unknown', error: message.slice(0, 40) }
    }
  }
}

/** Errors that the client itself can raise. After them the daemon may still perform the operation. */
const UNKNOWN: readonly ErrorCode[] = ['TIMEOUT', 'UNREACHABLE', 'STOPPED', 'BAD_MESSAGE', 'INTERNAL']

class PeerDoor implements Door {
  readonly canExpire = false
  readonly #address: string
  readonly #secret: ClientSecrets
  #client: RingdClient | undefined
  #dialling: Promise<RingdClient> | undefined
  #isClosed = false

  constructor({ host, peerPort, secret }: DoorPlan) {
    this.#secret = parseClientSecrets(secret)
    this.#address = `/ip4/${host}/tcp/${peerPort}`
  }

  get(key: string): Promise<Answer> {
    return this.#ask(async (client) => {
      const found = await client.get(key)
      return { outcome: 'ok', found: found === undefined ? undefined : Buffer.from(found).toString() }
    })
  }

  put(key: string, value: string): Promise<Answer> {
    return this.#ask(async (client) => {
      await client.put(key, value)
      return { outcome: 'ok' }
    })
  }

  delete(key: string): Promise<Answer> {
    return this.#ask(async (client) => ({ outcome: 'ok', existed: await client.delete(key) }))
  }

  close(): void {
    this.#isClosed = true
    void this.#client?.close()
  }

  async #ask(work: (client: RingdClient) => Promise<Answer>): Promise<Answer> {
    let client: RingdClient
    try {
      client = this.#client ?? (await this.#dial())
    } catch (thrown) {
      return { outcome: 'refused', error: `dial ${toRingdError(thrown).code}` }
    }
    try {
      return await work(client)
    } catch (thrown) {
      const { code } = toRingdError(thrown)
      return { outcome: UNKNOWN.includes(code) ? 'unknown' : 'refused', error: code }
    }
  }

  /** One dial at a time; all waiting operations share it. */
  #dial(): Promise<RingdClient> {
    const seams = { clock: systemClock, random: systemRandom }
    const dial = (address: string) => connectClient(seams, { address, timeoutMs: CONNECT_MS, secret: this.#secret })
    this.#dialling ??= RingdClient.connect([this.#address], { dial, timeoutMs: TIMEOUT_MS })
      .then((client) => {
        if (this.#isClosed) void client.close()
        else this.#client = client
        return client
      })
      .finally(() => {
        this.#dialling = undefined
      })
    return this.#dialling
  }
}
