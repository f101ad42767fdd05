// The files that hold secrets: the ring secret of a daemon, the secret of a client, and `operator.secret` in a data
// directory. Refuses a file that other users may read: its secret may be known already. Never prints a secret.
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { fromText } from '../lib/bytes.js'
import { RingdError } from '../lib/errors.js'
import { KiB } from '../lib/limits.js'
import type { Logger } from '../lib/logger.js'
import {
  type ClientSecrets,
  clientSecretText,
  daemonSecrets,
  Keyring,
  newSecret,
  OPEN_SECRET,
  parseClientSecrets,
  parseSecrets,
  type Secret
} from '../lib/network/secrets.js'
import type { Random } from '../lib/random.js'
import { writeFileAtomic } from '../lib/storage/data-directory.js'

export interface SecretFile {
  readonly path: string
  /** A credential of systemd. Its group bits are a mask of the access list that systemd sets, so they are no leak. */
  readonly isCredential: boolean
}

const OPERATOR_SECRET = 'operator.secret'
const FILE_BYTES_MAX = 64 * KiB
const SHARED_BITS = 0o077

/** Reads a whole file with secrets. Throws BAD_CONFIG. */
async function readSecretText({ path, isCredential }: SecretFile): Promise<string> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const { mode } = await file.stat()
    if (!isCredential && (mode & SHARED_BITS) !== 0) {
      throw new RingdError('BAD_CONFIG', `other users may read it or write to it; run: chmod 600 ${path}`)
    }
    const buffer = Buffer.alloc(FILE_BYTES_MAX + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length)
      length += bytesRead
      if (bytesRead === 0 || length === buffer.length) break
    }
    if (length > FILE_BYTES_MAX) throw new RingdError('BAD_CONFIG', `it is larger than ${FILE_BYTES_MAX} bytes`)
    return buffer.toString('utf8', 0, length)
  } catch (thrown) {
    throw inFile(path, thrown)
  } finally {
    await file?.close()
  }
}

function inFile(path: string, thrown: unknown): RingdError {
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  return new RingdError('BAD_CONFIG', `secret file ${path}: ${reason}`, { cause: thrown })
}

async function parsedFile<T>(file: SecretFile, parse: (text: string) => T): Promise<T> {
  const text = await readSecretText(file)
  try {
    return parse(text)
  } catch (thrown) {
    throw inFile(file.path, thrown)
  }
}

/** The ring secrets of a file, the preferred one first. Throws BAD_CONFIG. */
export function readRingSecrets(file: SecretFile): Promise<readonly Secret[]> {
  return parsedFile(file, parseSecrets)
}

/** The secrets for a client. A file with ring secrets will do too. Throws BAD_CONFIG. */
export function readClientSecrets(path: string): Promise<ClientSecrets> {
  return parsedFile({ path, isCredential: false }, parseClientSecrets)
}

/** The secret with which commands on this machine reach the daemon of `data`. Throws BAD_CONFIG. */
export function readOperatorSecret(data: string): Promise<ClientSecrets> {
  return readClientSecrets(join(data, OPERATOR_SECRET))
}

/**
 * The operator secret of a data directory, which the daemon makes at its first start. A file that others could read, or
 * that holds no secret, is replaced by a new one.
 */
export async function makeOperatorSecret(data: string, random: Random, log: Logger): Promise<Secret> {
  const path = join(data, OPERATOR_SECRET)
  try {
    const { right, secrets } = await readOperatorSecret(data)
    if (right === 'operator') return secrets[0]!
    log.warn({ file: path }, 'the operator secret is of another right; a new one replaces it')
  } catch (thrown) {
    const { cause } = thrown as RingdError
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
    if (!isMissing) log.warn({ file: path, err: thrown }, 'the operator secret cannot be used; a new one replaces it')
  }
  const secret = newSecret(random)
  await writeFileAtomic(path, fromText(`${clientSecretText('operator', secret)}\n`))
  return secret
}

/** The secrets of one daemon, from its first start to its end. */
export class DaemonSecrets {
  readonly keyring = new Keyring(daemonSecrets([]))
  readonly #file: SecretFile | undefined
  #ring: readonly Secret[] = []
  #operator: Secret | undefined
  #loading: Promise<unknown> = Promise.resolve()

  /** Without a file, the daemon has the open secret. */
  constructor(file: SecretFile | undefined) {
    this.#file = file
  }

  /** Reads the file, again when the daemon runs. Returns the number of ring secrets. Throws BAD_CONFIG: no change. */
  load(): Promise<number> {
    // One after the other: what was read last stays.
    const loaded = this.#loading.then(() => this.#load())
    this.#loading = loaded.catch(() => {})
    return loaded
  }

  async #load(): Promise<number> {
    this.#ring = this.#file === undefined ? [OPEN_SECRET] : await readRingSecrets(this.#file)
    this.#apply()
    return this.#file === undefined ? 0 : this.#ring.length
  }

  async loadOperator(data: string, random: Random, log: Logger): Promise<void> {
    this.#operator = await makeOperatorSecret(data, random, log)
    this.#apply()
  }

  #apply(): void {
    this.keyring.set(daemonSecrets(this.#ring, this.#operator))
  }
}
