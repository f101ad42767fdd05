// Owns the layout of `--data DIR`, and the files in it that do not belong to the store.
//
//   ringd.json       marks a data directory: {"format": 2, "createdBy": "...", "complete": true}
//   identity.key     the private key of the peer, as network/identity.ts encodes it
//   store/           the LevelDB
//   operator.secret  proves to the daemon that a command may do everything; read by commands with --data
//   reserve          no data: room for what must be written when the disk is full (ballast.ts)
//   run.json         the addresses of the daemon, while it runs
//
// Only the user of the daemon may read any of it. private-files.ts has the rules; they are applied each time that the
// directory is opened.
//
// A directory is new until `complete()`: ringd.json is written first with `complete: false`, then the store and the
// identity are made, then ringd.json is written again. A kill -9 before that leaves a directory that is still new; no
// acknowledged write is in it. After that a missing file is damage, and is never taken for an empty store.
// Must not lock: the store has a lock. So open the store before you write anything else here.
import { access, constants, type FileHandle, mkdir, open, readdir, rename, stat, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Bytes } from '../bytes.js'
import { fromText, toText } from '../bytes.js'
import { RingdError } from '../errors.js'
import { KiB } from '../limits.js'
import { Ballast } from './ballast.js'
import { ignoreMissing, openNewFile, otherWriter, PrivateFiles, readRegularFile, systemCode } from './private-files.js'

/**
 * 2: entries may be adopted, and the store holds promises (lib/entry/envelope.ts, promise-record.ts). What format 1
 * holds is read as it is.
 */
export const DATA_FORMAT = 2

const MARKER = 'ringd.json'
const IDENTITY = 'identity.key'
const STORE = 'store'
const RESERVE = 'reserve'
const TEMPORARY = '.tmp'
/** The files beside the store. No other user may read them, and no link may stand in their place. */
const OWN_FILES: readonly string[] = [MARKER, IDENTITY, 'operator.secret', RESERVE, 'run.json']
/** More than any of these files needs. */
const FILE_BYTES_MAX = 64 * KiB

/** Names that are ignored in an empty directory: a half-written first marker, and the folder of a fresh ext4 volume. */
const IGNORED_WHEN_EMPTY: readonly string[] = [MARKER + TEMPORARY, 'lost+found']

interface Marker {
  readonly format: number
  readonly createdBy: string
  readonly complete: boolean
}

export interface DataDirectoryOptions {
  /** The user that must own the directory. Undefined, the default: owners and modes are not checked. */
  readonly uid?: number | undefined
  /** True: the directory is not made, nor anything in it. Default false. */
  readonly mustExist?: boolean
}

/**
 * Opens `path`, or makes it a new data directory when it does not exist or is empty. `createdBy` names the program and
 * its version. Throws DATA_FOREIGN (a directory of another program; it was not changed), DATA_UNSAFE (other users may
 * change it), DATA_NEWER, DATA_DAMAGED, DISK_FULL, and BAD_CONFIG when it is not a directory or may not be written.
 */
export async function openDataDirectory(
  path: string,
  createdBy: string,
  { uid, mustExist = false }: DataDirectoryOptions = {}
): Promise<DataDirectory> {
  const root = resolve(path)
  return explained(root, async () => {
    if (mustExist) await assertExists(root)
    else await makeDirectory(root)
    const names = await readdir(root)
    await access(root, constants.R_OK | constants.W_OK | constants.X_OK)
    const found = names.includes(MARKER) ? parseMarker(root, await readText(join(root, MARKER))) : undefined
    if (found === undefined) refuseForeign(root, names)
    // A foreign directory was refused, so that only modes of our own files are changed.
    const mended = await secure(root, uid, found === undefined)
    const marker = found ?? { format: DATA_FORMAT, createdBy, complete: false }
    if (found === undefined) await writeMarker(root, marker)
    const directory = new DataDirectory(root, marker, mended)
    if (marker.complete) await directory.assertWhole()
    else if (!mustExist) await makeDirectory(directory.storePath)
    return directory
  })
}

async function assertExists(root: string): Promise<void> {
  const marker = await stat(join(root, MARKER)).catch(ignoreMissing)
  if (marker === undefined) throw new RingdError('BAD_CONFIG', `${root} is not a data directory of ringd`)
}

/** Checks owners and modes of the directory and its files. Returns the paths that others could read until now. */
async function secure(root: string, uid: number | undefined, empty: boolean): Promise<readonly string[]> {
  const files = new PrivateFiles(uid)
  await files.directory(root, { empty })
  await files.files(root, OWN_FILES)
  const store = join(root, STORE)
  if ((await stat(store).catch(ignoreMissing)) !== undefined) await files.tree(store)
  return files.mended
}

export class DataDirectory {
  /** Absolute. */
  readonly path: string
  /** The folder of the LevelDB. */
  readonly storePath: string
  /** The paths in it that other users could read until it was opened now. */
  readonly mended: readonly string[]
  #marker: Marker

  constructor(path: string, marker: Marker, mended: readonly string[] = []) {
    this.path = path
    this.mended = mended
    this.storePath = join(path, STORE)
    this.#marker = marker
  }

  /** True until `complete()`: the store may be created, and holds no acknowledged write. */
  get isNew(): boolean {
    return !this.#marker.complete
  }

  /** The identity; undefined only in a new directory. Throws DATA_DAMAGED. */
  async readIdentity(): Promise<Bytes | undefined> {
    return explained(this.path, async () => {
      const identity = await readIfThere(join(this.path, IDENTITY))
      if (identity === undefined && !this.isNew) throw damaged(this.path, `${IDENTITY} is missing`)
      return identity
    })
  }

  /**
   * Call it once, in a new directory and with the store open. Throws DATA_DAMAGED when there is an identity already: a
   * peer whose key is overwritten cannot come back.
   */
  async writeIdentity(identity: Bytes): Promise<void> {
    if ((await this.readIdentity()) !== undefined) throw damaged(this.path, `there is an ${IDENTITY} already`)
    await writeFileAtomic(join(this.path, IDENTITY), identity)
  }

  /** Replaces the identity of a peer that becomes a new member. A crash leaves the old one or the new one. */
  async replaceIdentity(identity: Bytes): Promise<void> {
    await writeFileAtomic(join(this.path, IDENTITY), identity)
  }

  /**
   * Ends the state `isNew`, and names the newest format, durably: from then on no older ringd opens the directory. Call
   * it when store and identity exist, before anything else is written and before any message to another peer.
   */
  async complete(): Promise<void> {
    await explained(this.path, async () => {
      await this.assertWhole()
      const marker = { ...this.#marker, format: DATA_FORMAT, complete: true }
      await writeMarker(this.path, marker)
      this.#marker = marker
    })
  }

  /** The file that keeps room beside the store. */
  ballast(): Promise<Ballast> {
    return Ballast.open(join(this.path, RESERVE))
  }

  /** The bytes that this process may still write to the disk of the directory. */
  async freeBytes(): Promise<number> {
    return explained(this.path, async () => {
      const { bavail, bsize } = await statfs(this.path)
      return bavail * bsize
    })
  }

  /** Throws DATA_DAMAGED when a file that must exist is missing. */
  async assertWhole(): Promise<void> {
    for (const name of [IDENTITY, STORE, join(STORE, 'CURRENT')]) {
      const found = await stat(join(this.path, name)).catch(ignoreMissing)
      if (found === undefined) throw damaged(this.path, `${name} is missing`)
    }
  }
}

/**
 * Replaces a file with `bytes`, with mode 0600. The file is on disk when the promise resolves. A crash leaves the old
 * file or the new one. One writer at a time; of two, one may get DATA_LOCKED. Throws DISK_FULL, BAD_CONFIG or
 * STORE_FAILED too.
 */
export async function writeFileAtomic(path: string, bytes: Bytes): Promise<void> {
  await explained(dirname(path), async () => {
    const file = await openNewFile(path + TEMPORARY)
    await closingAfter(file, async () => {
      await file.writeFile(bytes)
      await file.sync()
    })
    await rename(path + TEMPORARY, path).catch((thrown) => {
      throw systemCode(thrown) === 'ENOENT' ? otherWriter(path) : thrown
    })
    await syncDirectory(dirname(path))
  })
}

function writeMarker(root: string, marker: Marker): Promise<void> {
  return writeFileAtomic(join(root, MARKER), fromText(`${JSON.stringify(marker, null, 2)}\n`))
}

/**
 * The marker of the directory `root`. A directory of an older format is as good as one of `newestFormat`, which is what
 * this program reads. Throws DATA_NEWER or DATA_DAMAGED.
 */
export function parseMarker(root: string, text: string, newestFormat = DATA_FORMAT): Marker {
  let found: unknown
  try {
    found = JSON.parse(text)
  } catch (thrown) {
    throw damaged(root, `${MARKER} cannot be read`, thrown)
  }
  const { format, createdBy, complete } = (found ?? {}) as Partial<Record<keyof Marker, unknown>>
  const isFormat = typeof format === 'number' && Number.isInteger(format) && format >= 1
  if (isFormat && format > newestFormat) {
    const known = `its format is ${format}, this ringd reads up to ${newestFormat}`
    throw new RingdError('DATA_NEWER', `${root} was written by a newer ringd: ${known}; upgrade ringd`)
  }
  if (!isFormat || typeof createdBy !== 'string' || typeof complete !== 'boolean') {
    throw damaged(root, `${MARKER} lacks a field, or a field has a wrong type`)
  }
  return { format, createdBy, complete }
}

function refuseForeign(root: string, names: readonly string[]): void {
  if (names.every((name) => IGNORED_WHEN_EMPTY.includes(name))) return
  const reason = `it is not empty and has no ${MARKER}`
  throw new RingdError('DATA_FOREIGN', `${root} is not a data directory of ringd: ${reason}; choose another directory`)
}

/** A DATA_DAMAGED error that says what the operator can do. */
export function damaged(root: string, what: string, cause?: unknown): RingdError {
  const advice = 'restore it, or move the directory away and start with an empty one to fetch the data from the ring'
  return new RingdError('DATA_DAMAGED', `${root} is damaged: ${what}; ${advice}`, { cause })
}

async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made))
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  await closingAfter(directory, () => directory.sync())
}

async function closingAfter(file: FileHandle, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } finally {
    await file.close()
  }
}

async function readIfThere(path: string): Promise<Bytes | undefined> {
  return (await readRegularFile(path, FILE_BYTES_MAX).catch(ignoreMissing))?.bytes
}

async function readText(path: string): Promise<string> {
  return toText((await readRegularFile(path, FILE_BYTES_MAX)).bytes)
}

/** Runs `work`, and turns an error of the system into a RingdError that names the directory. */
async function explained<T>(root: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (thrown instanceof RingdError) throw thrown
    const cause = { cause: thrown }
    switch (systemCode(thrown)) {
      case 'ENOSPC':
      case 'EDQUOT':
        throw new RingdError('DISK_FULL', `no space left in ${root}`, cause)
      case 'EEXIST':
      case 'ENOTDIR':
        throw new RingdError('BAD_CONFIG', `${root} is not a directory; choose another data directory`, cause)
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        throw new RingdError('BAD_CONFIG', `${root} may not be read and written by this user`, cause)
      default:
        throw new RingdError('STORE_FAILED', `${root}: ${thrown instanceof Error ? thrown.message : thrown}`, cause)
    }
  }
}
