// The TypeScript client: connects to any peer of a ring, by multiaddr. Owns one link; when it breaks, the next call
// dials again. The client never repeats a request. A change that was sent and not answered ends with UNKNOWN_OUTCOME;
// only the caller knows whether it may be done again. Every error is a RingdError.
import { type Bytes, fromHex, fromText } from '../bytes.js'
import { fitsInt64, NO_INTEGER } from '../decisions.js'
import { type ErrorCode, isErrorCode, RingdError, toRingdError } from '../errors.js'
import type { Consistency } from '../key-value.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../limits.js'
import type { MemberId } from '../member.js'
import type { Body } from '../network/network.js'
import type { ClientDepart } from '../network/wire.js'
import { printable } from '../printable.js'
import type { SlotRange } from '../ring/slots.js'
import { checkLimit } from '../views/move-limit.js'
import type { LimitReport, RepairReport, Reports, Topic, VerifyReport } from './reports.js'

/** An open connection to one peer. `request` rejects with UNREACHABLE, TIMEOUT or the refusal of the peer. */
export interface ClientLink {
  request(body: Body, timeoutMs: number): Promise<Body>
  close(): Promise<void>
}

/** Opens a link to a multiaddr in `timeoutMs`. Rejects with BAD_ADDRESS, UNREACHABLE, WRONG_SECRET, WRONG_VERSION. */
export type Dial = (address: string, timeoutMs: number) => Promise<ClientLink>

export interface ClientOptions {
  /** Opens a link. */
  readonly dial: Dial
  /** For each dial and for each request. Default 15 000: longer than a peer waits for a quorum. */
  readonly timeoutMs?: number
  /** The owners that must answer, for calls without a consistency. Default: the configuration of the peer. */
  readonly consistency?: Consistency
}

export const CLIENT_TIMEOUT_MS = 15_000
/** After these it is not known whether the peer has received the request. */
const NO_ANSWER: ReadonlySet<ErrorCode> = new Set(['UNREACHABLE', 'TIMEOUT', 'STOPPED', 'BAD_MESSAGE'])

/** Keys and values as bytes, or as text in UTF-8. */
export type Content = Bytes | string

export interface FoundValue {
  readonly value: Bytes
  /** Undefined: the value does not expire. */
  readonly expiresInMs: number | undefined
  /** Names the write that stored the value, for `putIf`. 16 bytes. */
  readonly version: Bytes
}

/** Only when there is no value; or only when the value is still that of the version. */
export type PutCondition = 'absent' | { readonly version: Bytes }

export class RingdClient {
  readonly #addresses: readonly string[]
  readonly #dial: Dial
  readonly #timeoutMs: number
  readonly #consistency: Consistency | ''
  /** The open link, or the dial for it. Undefined after a link broke, until the next call. */
  #link: Promise<ClientLink> | undefined
  #closed = false

  private constructor(addresses: readonly string[], options: ClientOptions) {
    this.#addresses = addresses
    this.#dial = options.dial
    this.#timeoutMs = options.timeoutMs ?? CLIENT_TIMEOUT_MS
    this.#consistency = options.consistency ?? ''
  }

  /** A client with a link to the first of `addresses` that answers. Rejects with the error of the last address. */
  static async connect(addresses: readonly string[], options: ClientOptions): Promise<RingdClient> {
    if (addresses.length === 0) throw new RingdError('BAD_ADDRESS', 'no address to connect to')
    const client = new RingdClient(addresses, options)
    await client.#connected()
    return client
  }

  /** The value, or undefined when there is none. */
  async get(key: Content, consistency?: Consistency): Promise<Bytes | undefined> {
    return (await this.find(key, consistency))?.value
  }

  /** The value and the time until it expires, or undefined when there is no value. */
  async find(key: Content, consistency?: Consistency): Promise<FoundValue | undefined> {
    const body = { clientGet: { key: keyBytes(key), consistency: consistency ?? this.#consistency } }
    const { clientValue } = await this.#request(body)
    if (clientValue === undefined) throw unexpected('clientGet')
    const { value, expiresInMs, version } = clientValue
    if (value === undefined) return undefined
    if (version === undefined) throw unexpected('clientGet')
    return { value, expiresInMs, version }
  }

  /**
   * Resolves when enough owners have the value on disk. With `ttlMs`, a whole number from 1, the value expires this
   * long after the peer has received the request.
   */
  async put(key: Content, value: Content, consistency?: Consistency, ttlMs?: number): Promise<void> {
    const clientPut = { key: keyBytes(key), value: valueBytes(value), consistency: consistency ?? this.#consistency }
    const { done } = await this.#change({ clientPut: ttlMs === undefined ? clientPut : { ...clientPut, ttlMs } })
    if (done === undefined) throw unexpected('clientPut')
  }

  /** As `put`, when the condition is true. False: it was not, and nothing has changed. */
  async putIf(
    condition: PutCondition,
    key: Content,
    value: Content,
    consistency?: Consistency,
    ttlMs?: number
  ): Promise<boolean> {
    const clientPut = {
      key: keyBytes(key),
      value: valueBytes(value),
      consistency: consistency ?? this.#consistency,
      ttlMs,
      ...(condition === 'absent' ? { ifAbsent: true } : { ifVersion: condition.version as WireBytes })
    }
    const { clientWritten } = await this.#change({ clientPut })
    if (clientWritten === undefined) throw unexpected('clientPut')
    return clientWritten.isDone
  }

  /**
   * Adds to the integer that is stored as decimal text; a missing value counts as 0. Resolves with the sum when enough
   * owners have it on disk. BAD_REQUEST when the value is no integer, or the sum does not fit 64 bits.
   */
  async increment(key: Content, by: bigint | number = 1n, consistency?: Consistency): Promise<bigint> {
    const amount = BigInt(by)
    if (!fitsInt64(amount)) throw NO_INTEGER
    const clientIncrement = { key: keyBytes(key), by: amount, consistency: consistency ?? this.#consistency }
    const { clientIncremented } = await this.#change({ clientIncrement })
    if (clientIncremented === undefined) throw unexpected('clientIncrement')
    return clientIncremented.sum
  }

  /** Resolves when enough owners have the deletion on disk. True when there was a value. */
  async delete(key: Content, consistency?: Consistency): Promise<boolean> {
    const body = { clientDelete: { key: keyBytes(key), consistency: consistency ?? this.#consistency } }
    const { clientDeleted } = await this.#change(body)
    if (clientDeleted === undefined) throw unexpected('clientDelete')
    return clientDeleted.existed
  }

  /** Members, health and movement, as this peer sees them. */
  status(): Promise<Reports['status']> {
    return this.#report('status')
  }

  /** The owners of all slots. */
  ring(): Promise<Reports['ring']> {
    return this.#report('ring')
  }

  /** The owners of `key`. */
  where(key: Content): Promise<Reports['where']> {
    return this.#report('where', keyBytes(key))
  }

  /** The identity of this peer. */
  id(): Promise<Reports['id']> {
    return this.#report('id')
  }

  /** What every slot holds, as its owners tell. It costs each member of the ring a request. */
  load(): Promise<Reports['load']> {
    return this.#report('load')
  }

  /** The limit for moving data, as this peer knows it. */
  limit(): Promise<Reports['limit']> {
    return this.#report('limit')
  }

  /**
   * Sets the limit for moving data of the whole ring, bytes in a second; 0: none. Resolves when it is on the disk of
   * this peer. Throws BAD_REQUEST when it is too small or too large.
   */
  async setLimit(bytesPerS: number): Promise<LimitReport> {
    checkLimit(bytesPerS)
    const { clientReport } = await this.#request({ clientLimit: { bytesPerS } })
    if (clientReport === undefined) throw unexpected('clientLimit')
    return parsed<LimitReport>('limit', clientReport.json)
  }

  /**
   * By which members take data, of the whole ring; without `withEnded` only those that are running. It costs each
   * member a request.
   */
  transfers({ withEnded }: { readonly withEnded: boolean } = { withEnded: true }): Promise<Reports['transfers']> {
    return this.#report('transfers', withEnded ? '' : 'running')
  }

  /** The metrics of the peer, in the text format of Prometheus. */
  async metrics(): Promise<string> {
    const { text } = await this.#report('metrics')
    return text
  }

  /**
   * Asks this peer to leave its ring. Resolves when it has taken the request; it ends after it has handed over its
   * data.
   */
  leave(options: { readonly force: boolean }): Promise<void> {
    return this.#depart({ force: options.force })
  }

  /** Asks the ring to remove a member that is dead for good. Resolves when the peer has taken the request. */
  remove(member: MemberId, options: { readonly force: boolean }): Promise<void> {
    return this.#depart({ storeId: fromHex(member) as WireBytes, force: options.force })
  }

  async #depart(clientDepart: ClientDepart): Promise<void> {
    const { done } = await this.#request({ clientDepart })
    if (done === undefined) throw unexpected('clientDepart')
  }

  /**
   * Asks the peer to compare these slots with all their owners and repair them; without a range, only for the progress.
   * Resolves at once: ask again until `running` is false. Throws OVERLOADED while another repair is running.
   */
  async repair(range?: SlotRange): Promise<RepairReport> {
    const clientRepair = { start: range !== undefined, first: range?.first ?? 0, last: range?.last ?? 0 }
    const { clientReport } = await this.#request({ clientRepair })
    if (clientReport === undefined) throw unexpected('clientRepair')
    return parsed<RepairReport>('repair', clientReport.json)
  }

  /**
   * Asks the peer to compare all owners of these slots; without an order, only for the progress. Resolves at once: ask
   * again until `running` is false. Throws OVERLOADED while another comparison is running.
   */
  async verify(order?: { readonly range: SlotRange; readonly once: boolean }): Promise<VerifyReport> {
    const { first, last } = order?.range ?? { first: 0, last: 0 }
    const clientVerify = { start: order !== undefined, first, last, once: order?.once === true }
    const { clientReport } = await this.#request({ clientVerify })
    if (clientReport === undefined) throw unexpected('clientVerify')
    return parsed<VerifyReport>('verify', clientReport.json)
  }

  /** The JSON of a report, as the peer wrote it. `argument` is the key for `where`. */
  async report(topic: Topic, argument: Content = ''): Promise<string> {
    const { clientReport } = await this.#request({ clientQuery: { topic, argument: bytesOf(argument) } })
    if (clientReport === undefined) throw unexpected('clientQuery')
    return clientReport.json
  }

  /** Closes the link. Pending requests fail, and the client cannot be used again. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    const link = this.#link
    this.#link = undefined
    await link?.then((open) => open.close()).catch(() => {})
  }

  async #report<T extends Topic>(topic: T, argument: Content = ''): Promise<Reports[T]> {
    return parsed<Reports[T]>(topic, await this.report(topic, argument))
  }

  /** A request that changes a key. UNKNOWN_OUTCOME when it was sent, and no answer came. */
  async #change(body: Body): Promise<Body> {
    await this.#connected()
    try {
      return await this.#request(body)
    } catch (thrown) {
      const error = toRingdError(thrown)
      if (!NO_ANSWER.has(error.code)) throw error
      const message = `the peer did not answer, so the change may or may not have taken effect: ${error.message}`
      throw new RingdError('UNKNOWN_OUTCOME', message, { cause: error })
    }
  }

  async #request(body: Body): Promise<Body> {
    const connected = this.#connected()
    const link = await connected
    let answer: Body
    try {
      answer = await link.request(body, this.#timeoutMs)
    } catch (thrown) {
      const error = toRingdError(thrown)
      const broken = error.code === 'UNREACHABLE' || error.code === 'STOPPED'
      // Another call may have dialled a new link meanwhile: only the broken one is dropped.
      if (broken && this.#link === connected) {
        this.#link = undefined
        void link.close().catch(() => {})
      }
      throw error
    }
    const { refusal } = answer
    if (refusal === undefined) return answer
    // The message of an error is one line. The peer chooses these words.
    throw new RingdError(isErrorCode(refusal.code) ? refusal.code : 'BAD_MESSAGE', printable(refusal.message))
  }

  /** The open link, or a new one. Calls during a dial wait for that dial. */
  #connected(): Promise<ClientLink> {
    if (this.#closed) return Promise.reject(new RingdError('STOPPED', 'this client is closed'))
    if (this.#link === undefined) {
      const dialling = this.#dialInTurn()
      this.#link = dialling
      dialling.catch(() => {
        if (this.#link === dialling) this.#link = undefined
      })
    }
    return this.#link
  }

  async #dialInTurn(): Promise<ClientLink> {
    let last = new RingdError('UNREACHABLE')
    for (const address of this.#addresses) {
      try {
        return await this.#dial(address, this.#timeoutMs)
      } catch (thrown) {
        last = toRingdError(thrown)
      }
    }
    throw last
  }
}

/** The type of bytes that the generated wire types need: over memory that no other thread shares. */
type WireBytes = Uint8Array<ArrayBuffer>

function bytesOf(content: Content): WireBytes {
  return (typeof content === 'string' ? fromText(content) : content) as WireBytes
}

function keyBytes(key: Content): WireBytes {
  const bytes = bytesOf(key)
  if (bytes.length <= KEY_BYTES_MAX) return bytes
  throw new RingdError('KEY_TOO_LARGE', `the key has ${bytes.length} bytes; at most ${KEY_BYTES_MAX} fit`)
}

function valueBytes(value: Content): WireBytes {
  const bytes = bytesOf(value)
  if (bytes.length <= VALUE_BYTES_MAX) return bytes
  throw new RingdError('VALUE_TOO_LARGE', `the value has ${bytes.length} bytes; at most ${VALUE_BYTES_MAX} fit`)
}

function parsed<T>(topic: string, json: string): T {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new RingdError('BAD_MESSAGE', `the peer sent a ${topic} report that is not JSON`, { cause })
  }
}

function unexpected(request: string): RingdError {
  return new RingdError('BAD_MESSAGE', `the peer's answer to ${request} is of another kind`)
}
