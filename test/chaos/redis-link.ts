// One connection of one client to one daemon, for commands and transactions. A transaction belongs to its connection, so
// clients do not share links. For each request it returns what is known of the outcome. Must not retry by itself.
import { Redis } from 'ioredis'
import type { DoorPlan } from './client-door.js'

/** What a daemon replies: a text, a number, nothing, or the replies of a transaction. */
export type Reply = string | number | null | readonly unknown[]

export type LinkAnswer =
  | { readonly outcome: 'ok'; readonly reply: Reply }
  /** The daemon does nothing more for it. */
  | { readonly outcome: 'refused'; readonly error: string }
  /** It may have happened, or may happen later. */
  | { readonly outcome: 'unknown'; readonly error: string }

export type Command = readonly (string | number)[]

/** The error of a daemon that does not know a command. */
export const UNKNOWN_COMMAND = 'unknown command'
/** The first word of a reply that says that the outcome is unknown. */
const UNKNOWN_OUTCOME = 'UNKNOWN'
/** A daemon answers within 10 s, with success or an error. */
const TIMEOUT_MS = 12_000
const CONNECT_MS = 3000

export class RedisLink {
  readonly name: string
  readonly #redis: Redis

  constructor({ name, host, respPort, password }: DoorPlan) {
    this.name = name
    this.#redis = new Redis({
      ...{ host, port: respPort, ...(password === undefined ? {} : { password }) },
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      commandTimeout: TIMEOUT_MS,
      connectTimeout: CONNECT_MS,
      retryStrategy: () => null
    })
    this.#redis.on('error', () => {})
  }

  /** Whether it is connected now. A link connects once; later it is only closed. */
  async open(): Promise<boolean> {
    if (this.#redis.status === 'wait') await this.#redis.connect().catch(() => {})
    return this.#redis.status === 'ready'
  }

  async send([name, ...args]: Command): Promise<LinkAnswer> {
    if (this.#redis.status !== 'ready') return { outcome: 'refused', error: 'not connected' }
    try {
      return { outcome: 'ok', reply: (await this.#redis.call(String(name), ...args.map(String))) as Reply }
    } catch (thrown) {
      return failureOf(thrown as Error)
    }
  }

  /**
   * MULTI, the commands, EXEC. The reply of EXEC is null when a watched key has changed. When the connection ends before
   * EXEC was sent, nothing happens.
   */
  async transact(commands: readonly Command[]): Promise<LinkAnswer> {
    for (const command of [['MULTI'], ...commands]) {
      const answer = await this.send(command)
      if (answer.outcome === 'ok') continue
      if (answer.error !== UNKNOWN_COMMAND) this.close()
      else await this.send(['DISCARD'])
      return { outcome: 'refused', error: answer.error }
    }
    const answer = await this.send(['EXEC'])
    const failed =
      answer.outcome === 'ok' && Array.isArray(answer.reply) && answer.reply.find((one) => one instanceof Error)
    return failed ? { outcome: 'unknown', error: String(failed) } : answer
  }

  close(): void {
    this.#redis.disconnect()
  }
}

function failureOf({ name, message }: Error): LinkAnswer {
  const [word = ''] = message.split(' ')
  if (name !== 'ReplyError' || word === UNKNOWN_OUTCOME) return { outcome: 'unknown', error: message.slice(0, 40) }
  const isUnknown = /^ERR (?:unknown command|SET with NX, XX or GET is not supported)/.test(message)
  return { outcome: 'refused', error: isUnknown ? UNKNOWN_COMMAND : word }
}
