// The handshake of every connection: noise, with a secret that both ends have bound into its prologue. A stranger fails
// before any stream is opened, and so before any handler. Later bytes cost the same as with noise alone.
//
// Each role has a protocol of its own, so the `encryption` of a connection tells the role of its initiator. First the
// initiator sends a count and the ids of its secrets (8 bytes each). The responder answers with the id that it prefers
// among those that it has too, or with zeros, and then ends. An id is no proof: the proof is the handshake, which both
// ends begin from the hash of the prologue (The Noise Protocol Framework, section 6).
import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { byteStream } from '@libp2p/utils'
import { type Bytes, sameBytes, toHex } from '../bytes.js'
import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import { type HandshakeKey, KEY_ID_BYTES, type Keyring, ROLES, type Role, SECRETS_MAX } from './secrets.js'

type NoiseMaker = ReturnType<typeof noise>
type NoiseComponents = Parameters<NoiseMaker>[0]

/** From the first byte of the exchange until noise is done. */
export const HANDSHAKE_TIMEOUT_MS = 5000
/** How long the responder waits for the initiator to read that it was refused. */
const FAREWELL_MS = 500
/** The exchange is shorter than 80 bytes, and neither end may send more before it is over. */
const BUFFER_BYTES_MAX = 1024
const NO_KEY: Bytes = new Uint8Array(KEY_ID_BYTES)

/** The message of the error when the two ends have no secret in common. libp2p hands on nothing but the message. */
export const NO_COMMON_SECRET = 'the two ends have no secret in common'

export function roleProtocol(role: Role): string {
  return `/ringd/noise/${role}/1.0.0`
}

const ROLE_OF_PROTOCOL: ReadonlyMap<string, Role> = new Map(ROLES.map((role) => [roleProtocol(role), role]))

/** The role of the end that dialled, from the `encryption` of a connection. Undefined: it was not admitted by us. */
export function roleOf(connection: { readonly encryption?: string | undefined }): Role | undefined {
  return ROLE_OF_PROTOCOL.get(connection.encryption ?? '')
}

export interface SecuredNoiseDeps {
  readonly clock: Clock
  readonly keyring: Keyring
  /** An initiator of `role` at `address` had no secret that is accepted here. */
  readonly onRefused?: (role: Role, address: string) => void
}

export interface SecuredNoiseOptions {
  readonly role: Role
  /** False: this node accepts the role, but never speaks it. So it is the role of a client. */
  readonly initiates: boolean
}

/** For `connectionEncrypters` of libp2p. */
export function securedNoise(deps: SecuredNoiseDeps, options: SecuredNoiseOptions) {
  return (components: NoiseComponents): ConnectionEncrypter => new SecuredNoise(deps, options, components)
}

class SecuredNoise implements ConnectionEncrypter {
  readonly protocol: string
  readonly #deps: SecuredNoiseDeps
  readonly #options: SecuredNoiseOptions
  readonly #components: NoiseComponents
  /** One for each secret in use, by its prologue: each has a static key, which is slow to make. */
  readonly #noises = new Map<string, ConnectionEncrypter>()
  /** The open connections of clients, with the prologue of their secret. */
  readonly #clients = new Map<MessageStream, string>()

  constructor(deps: SecuredNoiseDeps, options: SecuredNoiseOptions, components: NoiseComponents) {
    this.protocol = roleProtocol(options.role)
    this.#deps = deps
    this.#options = options
    this.#components = components
    if (!options.initiates) deps.keyring.onChange(() => this.#endFormerClients())
  }

  async secureOutbound(stream: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    const { role, initiates } = this.#options
    if (!initiates) throw new RingdError('NOT_ALLOWED', `this peer does not connect as ${role}`)
    return this.#withinTime(options, async (bounded) => {
      const key = await offer(stream, this.#deps.keyring.keys(role), bounded)
      return this.#noise(key).secureOutbound(stream, bounded)
    })
  }

  async secureInbound(stream: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    const { role, initiates } = this.#options
    return this.#withinTime(options, async (bounded) => {
      const key = await choose(stream, this.#deps.keyring.keys(role), bounded)
      if (key !== undefined) {
        const secured = await this.#noise(key).secureInbound(stream, bounded)
        if (!initiates) this.#remember(stream, key)
        return secured
      }
      this.#deps.onRefused?.(role, addressOf(stream))
      await this.#farewell(stream)
      throw new RingdError('WRONG_SECRET', NO_COMMON_SECRET)
    })
  }

  /** Throws WRONG_SECRET when the secret was taken away during the handshake. */
  #remember(stream: MessageStream, key: HandshakeKey): void {
    if (!this.#accepted().has(toHex(key.prologue))) throw new RingdError('WRONG_SECRET', NO_COMMON_SECRET)
    if (stream.status !== 'open') return
    this.#clients.set(stream, toHex(key.prologue))
    stream.addEventListener('close', () => this.#clients.delete(stream))
  }

  /** The prologues of the secrets that are accepted now. */
  #accepted(): ReadonlySet<string> {
    return new Set(this.#deps.keyring.keys(this.#options.role).map(({ prologue }) => toHex(prologue)))
  }

  /**
   * Ends the connections of clients whose secret is not accepted any more: they dial again with another. Those of
   * members stay, so that a change of the ring secret interrupts nothing.
   */
  #endFormerClients(): void {
    const current = this.#accepted()
    for (const [stream, prologue] of [...this.#clients]) {
      if (!current.has(prologue)) stream.abort(new RingdError('WRONG_SECRET', 'the secret is not accepted any more'))
    }
  }

  async #withinTime<T>(
    options: SecureConnectionOptions = {},
    work: (bounded: SecureConnectionOptions & { readonly signal: AbortSignal }) => Promise<T>
  ): Promise<T> {
    const abort = new AbortController()
    const late = new RingdError('TIMEOUT', `the handshake took longer than ${HANDSHAKE_TIMEOUT_MS} ms`)
    const timer = this.#deps.clock.after(HANDSHAKE_TIMEOUT_MS, () => abort.abort(late))
    const { signal } = options
    try {
      return await work({ ...options, signal: signal ? AbortSignal.any([signal, abort.signal]) : abort.signal })
    } finally {
      timer.cancel()
    }
  }

  /** Closes in order, so that the other end gets the refusal, and not only a reset. */
  async #farewell(stream: MessageStream): Promise<void> {
    const abort = new AbortController()
    const timer = this.#deps.clock.after(FAREWELL_MS, () => abort.abort())
    await stream.close({ signal: abort.signal }).catch(() => {})
    timer.cancel()
  }

  #noise(key: HandshakeKey): ConnectionEncrypter {
    const name = toHex(key.prologue)
    let made = this.#noises.get(name)
    if (made === undefined) {
      const current = this.#accepted()
      for (const old of this.#noises.keys()) if (!current.has(old)) this.#noises.delete(old)
      made = noise({ prologueBytes: key.prologue as Uint8Array<ArrayBuffer> })(this.#components) as ConnectionEncrypter
      this.#noises.set(name, made)
    }
    return made
  }
}

/** The initiator's side. Throws WRONG_SECRET when the responder has none of the keys. */
async function offer(
  stream: MessageStream,
  keys: readonly HandshakeKey[],
  options: SecureConnectionOptions
): Promise<HandshakeKey> {
  const offered = keys.slice(0, SECRETS_MAX)
  const bytes = byteStream(stream, { maxBufferSize: BUFFER_BYTES_MAX })
  await bytes.write(Buffer.concat([Uint8Array.of(offered.length), ...offered.map(({ id }) => id)]), options)
  const answer = (await bytes.read({ ...options, bytes: KEY_ID_BYTES })).subarray()
  bytes.unwrap()
  const key = offered.find(({ id }) => sameBytes(id, answer))
  if (key === undefined) throw new RingdError('WRONG_SECRET', NO_COMMON_SECRET)
  return key
}

/** The responder's side. Undefined: there is no common key, and the initiator was told so. */
async function choose(
  stream: MessageStream,
  keys: readonly HandshakeKey[],
  options: SecureConnectionOptions
): Promise<HandshakeKey | undefined> {
  const bytes = byteStream(stream, { maxBufferSize: BUFFER_BYTES_MAX })
  const count = (await bytes.read({ ...options, bytes: 1 })).get(0)
  if (count < 1 || count > SECRETS_MAX) {
    throw new RingdError('BAD_MESSAGE', `a handshake names 1 to ${SECRETS_MAX} secrets, not ${count}`)
  }
  const ids = (await bytes.read({ ...options, bytes: count * KEY_ID_BYTES })).subarray()
  const offered = new Set<string>()
  for (let at = 0; at < ids.length; at += KEY_ID_BYTES) offered.add(toHex(ids.subarray(at, at + KEY_ID_BYTES)))
  const key = keys.find(({ id }) => offered.has(toHex(id)))
  await bytes.write(new Uint8Array(key?.id ?? NO_KEY), options)
  bytes.unwrap()
  return key
}

/** Connections of libp2p know the address of their other end; its type for encrypters does not say so. */
function addressOf(stream: MessageStream & { readonly remoteAddr?: unknown }): string {
  return String(stream.remoteAddr ?? 'an unknown address')
}
