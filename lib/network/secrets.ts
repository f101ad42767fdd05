// The secrets of a ring: 32 random bytes, in files one line of 64 hex digits each. Pure.
// A ring secret admits members. The secrets of clients follow from it by HKDF (RFC 5869), so a daemon that has the ring
// secret accepts them, and a client secret never leads back to the ring secret.
// A secret must never be logged, and never becomes part of an error message.
import { hkdfSync } from 'node:crypto'
import { type BrandedBytes, type Bytes, fromHex, sameBytes, toHex } from '../bytes.js'
import { RingdError } from '../errors.js'
import type { Random } from '../random.js'

export type Secret = BrandedBytes<'secret'>

/** What a client may do: `data` reads and writes keys, `operator` also changes the ring. */
export type Right = 'data' | 'operator'
/** The part that the initiator of a connection plays. Members and joiners speak `member`. */
export type Role = 'member' | Right

export const RIGHTS: readonly Right[] = ['data', 'operator']
export const ROLES: readonly Role[] = ['member', 'operator', 'data']

export const SECRET_BYTES = 32
/** A change of secrets needs two. More than a few are a mistake. */
export const SECRETS_MAX = 8

/** Takes the place of a ring secret where there is none. Everybody knows it. */
export const OPEN_SECRET = new Uint8Array(SECRET_BYTES) as Bytes as Secret

/** The secrets that one client presents: all for one right. */
export interface ClientSecrets {
  readonly right: Right
  /** The first is preferred. */
  readonly secrets: readonly Secret[]
}

/** The secrets of each role that one end presents or accepts. The first is preferred. */
export type RoleSecrets = Readonly<Record<Role, readonly Secret[]>>

/** What a secret is for a handshake of one role: its public name, and the bytes that both ends must share. */
export interface HandshakeKey {
  /** 8 bytes. Tells which secret is meant, and nothing about the secret. */
  readonly id: Bytes
  /** 32 bytes: the prologue of the noise handshake. */
  readonly prologue: Bytes
}

export const KEY_ID_BYTES = 8
const PROLOGUE_BYTES = 32

export function newSecret(random: Random): Secret {
  return random.bytes(SECRET_BYTES) as Bytes as Secret
}

/** The line of a file. */
export function secretText(secret: Secret): string {
  return toHex(secret)
}

export function clientSecretText(right: Right, secret: Secret): string {
  return `${right} ${toHex(secret)}`
}

/** The secret of clients with this right, in a ring with this secret. */
export function clientSecret(ringSecret: Secret, right: Right): Secret {
  return derive(ringSecret, `client ${right}`, SECRET_BYTES) as Secret
}

/** For a client that was given no secret: it reaches daemons without a ring secret, with every right. */
export const OPEN_CLIENT: ClientSecrets = { right: 'operator', secrets: [clientSecret(OPEN_SECRET, 'operator')] }

/** What a daemon accepts. `operatorSecret` is the secret of its own data directory. */
export function daemonSecrets(ringSecrets: readonly Secret[], operatorSecret?: Secret): RoleSecrets {
  const own = operatorSecret === undefined ? [] : [operatorSecret]
  return {
    member: ringSecrets,
    operator: [...ringSecrets.map((secret) => clientSecret(secret, 'operator')), ...own],
    data: ringSecrets.map((secret) => clientSecret(secret, 'data'))
  }
}

export function clientRoleSecrets({ right, secrets }: ClientSecrets): RoleSecrets {
  return { member: [], operator: [], data: [], [right]: secrets }
}

export function handshakeKey(secret: Secret, role: Role): HandshakeKey {
  return {
    id: derive(secret, `${role} id`, KEY_ID_BYTES),
    prologue: derive(secret, `${role} prologue`, PROLOGUE_BYTES)
  }
}

/** The secrets of one node. They may change while it runs: each handshake uses those of the moment when it begins. */
export class Keyring {
  #keys: Readonly<Record<Role, readonly HandshakeKey[]>>
  readonly #listeners: (() => void)[] = []

  constructor(secrets: RoleSecrets) {
    this.#keys = keysOf(secrets)
  }

  /** Replaces all secrets. */
  set(secrets: RoleSecrets): void {
    this.#keys = keysOf(secrets)
    for (const listener of this.#listeners) listener()
  }

  keys(role: Role): readonly HandshakeKey[] {
    return this.#keys[role]
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }
}

function keysOf(secrets: RoleSecrets): Readonly<Record<Role, readonly HandshakeKey[]>> {
  const of = (role: Role) => secrets[role].map((secret) => handshakeKey(secret, role))
  return { member: of('member'), operator: of('operator'), data: of('data') }
}

/** The ring secrets of a file, the preferred one first. Throws BAD_CONFIG; the message names the line. */
export function parseSecrets(text: string): readonly Secret[] {
  return parseLines(text).map(({ right, secret, line }) => {
    if (right === undefined) return secret
    throw bad(line, `a ${right} secret is for clients; a peer needs the ring secret (ringd secret new)`)
  })
}

/**
 * The secrets of a client's file: lines like `data 0123...`, all with the same right. A ring secret stands for the
 * operator secret that follows from it. Throws BAD_CONFIG; the message names the line.
 */
export function parseClientSecrets(text: string): ClientSecrets {
  const lines = parseLines(text).map(({ right, secret, line }) => {
    return right === undefined
      ? { right: 'operator' as const, secret: clientSecret(secret, 'operator'), line }
      : { right, secret, line }
  })
  const right = lines[0]!.right
  for (const other of lines) {
    if (other.right !== right)
      throw bad(other.line, `this file has ${right} secrets; keep ${other.right} secrets apart`)
  }
  return { right, secrets: lines.map(({ secret }) => secret) }
}

interface SecretLine {
  /** Undefined: a ring secret. */
  readonly right: Right | undefined
  readonly secret: Secret
  /** From 1. */
  readonly line: number
}

/** At least one. Blank lines, and lines that begin with #, do not count. */
function parseLines(text: string): SecretLine[] {
  const found: SecretLine[] = []
  for (const [index, whole] of text.split('\n').entries()) {
    const line = whole.trim()
    if (line === '' || line.startsWith('#')) continue
    if (found.length === SECRETS_MAX) throw bad(index + 1, `a file has at most ${SECRETS_MAX} secrets`)
    found.push(parseLine(line, index + 1))
  }
  if (found.length === 0) throw new RingdError('BAD_CONFIG', 'there is no secret in it; ringd secret new prints one')
  return found
}

/** The text of a wrong line is not repeated: it may be a secret with a slip. */
function parseLine(text: string, line: number): SecretLine {
  const match = /^(?:([a-z]+) +)?([0-9a-fA-F]{64})$/.exec(text)
  const right = RIGHTS.find((name) => name === match?.[1])
  if (match?.[2] === undefined || (match[1] !== undefined && right === undefined)) {
    throw bad(line, 'expected 64 hex digits, for clients after the word data or operator')
  }
  const secret = fromHex(match[2]) as Secret
  if (sameBytes(secret, OPEN_SECRET)) throw bad(line, 'zeros are no secret, everybody can guess them')
  return { right, secret, line }
}

function bad(line: number, reason: string): RingdError {
  return new RingdError('BAD_CONFIG', `line ${line}: ${reason}`)
}

function derive(secret: Secret, purpose: string, length: number): Bytes {
  return new Uint8Array(hkdfSync('sha256', secret, 'ringd 1', purpose, length))
}
