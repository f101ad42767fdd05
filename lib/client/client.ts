// The TypeScript client: any peer of a ring, by multiaddr. Owns one link; when it breaks, the next call dials again.
// It never repeats a request by itself: after UNREACHABLE or TIMEOUT a write may or may not have happened, and only the
// caller knows whether doing it again is right. Every error is a RingdError.
import { type Bytes, fromHex, fromText } from '../bytes.js'
import { isErrorCode, RingdError, toRingdError } from '../errors.js'
import type { Consistency } from '../key-value.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../limits.js'
import type { MemberId } from '../member.js'
import type { Body } from '../network/network.js'
import type { ClientDepart } from '../network/wire.js'
import type { SlotRange } from '../ring/slots.js'
import type { RepairReport, Reports, Topic } from './reports.js'

/** An open connection to one peer. `request` rejects with UNREACHABLE, TIMEOUT or the refusal of the peer. */
export interface ClientLink {
  request(body: Body, timeoutMs: number): Promise<Body>
  close(): Promise<void>
}

/** Opens a link to a multiaddr within `timeoutMs`. Rejects with BAD_ADDRESS, UNREACHABLE, TIMEOUT or WRONG_VERSION. */
export type Dial = (address: string, timeoutMs: number) => Promise<ClientLink>

export interface ClientOptions {
  /** How links are opened. */
  readonly dial: Dial
  /** For each dial and for each request. Default 15 000: longer than a peer waits for a quorum. */
  readonly timeoutMs?: number
  /** How many owners must answer, where a call does not say. Default: what the peer is configured for. */
  readonly consistency?: Consistency
}

export const CLIENT_TIMEOUT_MS = 15_000

/** Keys and values as bytes, or as text in UTF-8. */
export type Content = Bytes | string

export interface FoundValue {
  readonly value: Bytes
  /** Undefined: it stays. */
  readonly expiresInMs: number | undefined
}

export class RingdClient {
  readonly #addresses: readonly string[]
  readonly #dial: Dial
  readonly #timeoutMs: number
  readonly #consistency: Consistency | ''
  /** Pending or open; undefined after a break, until the next call. */
  #link: Promise<ClientLink> | undefined
  #closed = false

  private constructor(addresses: readonly string[], options: ClientOptions) {
    this.#addresses = addresses
    this.#dial = options.dial
    this.#timeoutMs = options.timeoutMs ?? CLIENT_TIMEOUT_MS
    this.#consistency = options.consistency ?? ''
  }

  /** A client with a link to the first of `addresses` that answers. Rejects with the error of the last one tried. */
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

  /** The value and how long it has to live, or undefined when there is none. */
  async find(key: Content, consistency?: Consistency): Promise<FoundValue | undefined> {
    const body = { clientGet: { key: keyBytes(key), consistency: consistency ?? this.#consistency } }
    const { clientValue } = await this.#request(body)
    if (clientValue === undefined) throw unexpected('clientGet')
    const { value, expiresInMs } = clientValue
    return value && { value, expiresInMs }
  }

  /**
   * Resolves when enough owners have the value on disk. With `ttlMs`, whole and from 1 up, it expires so long after the
   * peer has got the request.
   */
  async put(key: Content, value: Content, consistency?: Consistency, ttlMs?: number): Promise<void> {
    const clientPut = { key: keyBytes(key), value: valueBytes(value), consistency: consistency ?? this.#consistency }
    const { done } = await this.#request({ clientPut: ttlMs === undefined ? clientPut : { ...clientPut, ttlMs } })
    if (done === undefined) throw unexpected('clientPut')
  }

  /** Resolves when enough owners have the deletion on disk, with whether there was a value. */
  async delete(key: Content, consistency?: Consistency): Promise<boolean> {
    const body = { clientDelete: { key: keyBytes(key), consistency: consistency ?? this.#consistency } }
    const { clientDeleted } = await this.#request(body)
    if (clientDeleted === undefined) throw unexpected('clientDelete')
    return clientDeleted.existed
  }

  /** Members, health and movement, as this peer sees them. */
  status(): Promise<Reports['status']> {
    return this.#report('status')
  }

  /** Who owns which slots. */
  ring(): Promise<Reports['ring']> {
    return this.#report('ring')
  }

  /** Who holds `key`. */
  where(key: Content): Promise<Reports['where']> {
    return this.#report('where', keyBytes(key))
  }

  /** Who this peer is. */
  id(): Promise<Reports['id']> {
    return this.#report('id')
  }

  /** What the peer counts, in the text format of Prometheus. */
  async metrics(): Promise<string> {
    const { text } = await this.#report('metrics')
    return text
  }

  /** Has this peer leave its ring. Resolves when the wish is taken; the peer ends when all is handed over. */
  leave(options: { readonly force: boolean }): Promise<void> {
    return this.#depart({ force: options.force })
  }

  /** Has the ring go on without a member that is dead for good. Resolves when the wish is on its way. */
  remove(member: MemberId, options: { readonly force: boolean }): Promise<void> {
    return this.#depart({ storeId: fromHex(member) as WireBytes, force: options.force })
  }

  async #depart(clientDepart: ClientDepart): Promise<void> {
    const { done } = await this.#request({ clientDepart })
    if (done === undefined) throw unexpected('clientDepart')
  }

  /**
   * Has the peer compare these slots with all their owners and heal them; without a range, tells how far that is.
   * Resolves at once: ask again until it is not running. Throws OVERLOADED while another one is under way.
   */
  async repair(range?: SlotRange): Promise<RepairReport> {
    const clientRepair = { start: range !== undefined, first: range?.first ?? 0, last: range?.last ?? 0 }
    const { clientReport } = await this.#request({ clientRepair })
    if (clientReport === undefined) throw unexpected('clientRepair')
    return parsed<RepairReport>('repair', clientReport.json)
  }

  /** The JSON of a report as the peer wrote it; `argument` is the key for `where`. */
  async report(topic: Topic, argument: Content = ''): Promise<string> {
    const { clientReport } = await this.#request({ clientQuery: { topic, argument: bytesOf(argument) } })
    if (clientReport === undefined) throw unexpected('clientQuery')
    return clientReport.json
  }

  /** Requests on their way fail. The client cannot be used again. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    const link = this.#link
    this.#link = undefined
    await link?.then((open) => open.close()).catch(() => {})
  }

  async #report<T extends Topic>(topic: T, argument: Content = ''): Promise<Reports[T]> {
    return parsed<Reports[T]>(topic, await this.report(topic, argument))
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
      // Others may have dialled a new link meanwhile: only the broken one is dropped.
      if (broken && this.#link === connected) {
        this.#link = undefined
        void link.close().catch(() => {})
      }
      throw error
    }
    const { refusal } = answer
    if (refusal === undefined) return answer
    throw new RingdError(isErrorCode(refusal.code) ? refusal.code : 'BAD_MESSAGE', refusal.message)
  }

  /** The open link, or a new one. Calls that come meanwhile wait for the same dial. */
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

/** As the generated wire types want them: over memory that no other thread shares. */
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
    throw new RingdError('BAD_MESSAGE', `the report ${topic} of the peer is not JSON`, { cause })
  }
}

function unexpected(request: string): RingdError {
  return new RingdError('BAD_MESSAGE', `the peer answered ${request} with something else`)
}
