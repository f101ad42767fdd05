// Files that only the user of the daemon may read and write: how they are made, opened and checked.
// Owns the rules for modes, owners and links. Must not follow a symbolic link in place of a file, because whoever may
// put a link there would choose which file is read or replaced.
//
//   others may read       mended: the mode becomes 0700 for a directory and 0600 for a file
//   others may write      refused with DATA_UNSAFE: what they wrote cannot be told from our own
//   of another user       refused with DATA_UNSAFE: that user may change the mode at any time
import { constants, type Stats } from 'node:fs'
import { chmod, type FileHandle, lstat, open, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'

const DIRECTORY_MODE = 0o700
const FILE_MODE = 0o600
const OTHERS_WRITE = 0o022
const OTHERS = 0o077
const MODE = 0o777

/** Opens a file that does not exist yet, for writing. The leftover of a crash is removed; a link is never followed. */
export async function openNewFile(path: string): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    return await open(path, flags, FILE_MODE)
  } catch (thrown) {
    if (systemCode(thrown) !== 'EEXIST') throw thrown
  }
  await unlink(path).catch(ignoreMissing)
  return open(path, flags, FILE_MODE).catch((thrown) => {
    throw systemCode(thrown) === 'EEXIST' ? otherWriter(path) : thrown
  })
}

/** Two processes write one file: each takes the draft of the other for the leftover of a crash. */
export function otherWriter(path: string): RingdError {
  return new RingdError('DATA_LOCKED', `another process writes ${path}; stop it or choose another directory`)
}

/** What a file holds, and what the system says of it. */
export interface ReadFile {
  readonly bytes: Bytes
  readonly stats: Stats
}

/**
 * Reads a regular file of at most `bytesMax` bytes. Throws DATA_UNSAFE for a link, DATA_DAMAGED for anything else that
 * is no such file, and errors of the system.
 */
export async function readRegularFile(path: string, bytesMax: number): Promise<ReadFile> {
  // Without O_NONBLOCK, opening a pipe would wait for its other end.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, flags).catch((thrown) => {
    throw systemCode(thrown) === 'ELOOP' ? isLink(path) : thrown
  })
  try {
    const stats = await file.stat()
    assertRegular(path, stats)
    if (stats.size > bytesMax) throw new RingdError('DATA_DAMAGED', `${path} is larger than ${bytesMax} bytes`)
    return { bytes: await file.readFile(), stats }
  } finally {
    await file.close()
  }
}

/** Checks the files of one data directory, and takes from others the right to read them. */
export class PrivateFiles {
  /** The user who must own the files; undefined on a system without users, where nothing is checked. */
  readonly #uid: number | undefined
  /** The paths whose mode was mended. */
  readonly mended: string[] = []

  constructor(uid: number | undefined) {
    this.#uid = uid
  }

  /** The directory itself may be reached by a link. When it is `empty`, nobody has written there yet. */
  async directory(path: string, { empty = false } = {}): Promise<void> {
    await this.#secure(path, await stat(path), DIRECTORY_MODE, empty ? 0 : OTHERS_WRITE)
  }

  /** The files of the directory `path` with these names. Names of missing files are skipped. */
  async files(path: string, names: readonly string[]): Promise<void> {
    for (const name of names) {
      const file = join(path, name)
      const stats = await lstat(file).catch(ignoreMissing)
      if (stats === undefined) continue
      assertRegular(file, stats)
      await this.#secure(file, stats, FILE_MODE, OTHERS_WRITE)
    }
  }

  /** The directory `path` and everything in it. */
  async tree(path: string): Promise<void> {
    await this.directory(path)
    const entries = await readdir(path, { withFileTypes: true })
    await this.files(
      path,
      entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
    )
    for (const entry of entries) if (entry.isDirectory()) await this.tree(join(path, entry.name))
  }

  async #secure(path: string, stats: Stats, mode: number, refused: number): Promise<void> {
    if (this.#uid === undefined) return
    if (stats.uid !== this.#uid) {
      throw new RingdError(
        'DATA_UNSAFE',
        `${path} belongs to the user ${stats.uid}, and ringd runs as ${this.#uid}; run it as the owner, or choose a ` +
          'directory that does not exist yet: ringd makes it'
      )
    }
    if ((stats.mode & refused) !== 0) throw othersMayWrite(path, stats)
    if ((stats.mode & OTHERS) === 0) return
    await chmod(path, mode)
    this.mended.push(path)
  }
}

/**
 * Throws DATA_UNSAFE unless only the owner may write `path`, and the owner is `uid` or the superuser. The superuser
 * believes the files of any owner. Undefined: a system without users.
 */
export function assertOwnerWrites(path: string, stats: Stats, uid: number | undefined): void {
  if (uid === undefined) return
  if ((stats.mode & OTHERS_WRITE) !== 0) throw othersMayWrite(path, stats)
  if (uid === 0 || stats.uid === uid || stats.uid === 0) return
  throw new RingdError('DATA_UNSAFE', `${path} belongs to the user ${stats.uid}; give --peer MULTIADDR instead`)
}

function assertRegular(path: string, stats: Stats): void {
  if (stats.isSymbolicLink()) throw isLink(path)
  if (!stats.isFile()) throw new RingdError('DATA_DAMAGED', `${path} is not a regular file; move it away`)
}

function isLink(path: string): RingdError {
  return new RingdError('DATA_UNSAFE', `${path} is a symbolic link; put the file itself there`)
}

function othersMayWrite(path: string, { mode }: Stats): RingdError {
  const shown = (mode & MODE).toString(8)
  return new RingdError(
    'DATA_UNSAFE',
    `other users may write ${path} (mode ${shown}); when nobody has changed anything there, run: chmod -R go-rwx PATH`
  )
}

export function systemCode(thrown: unknown): unknown {
  return thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
}

export function ignoreMissing(thrown: unknown): undefined {
  if (systemCode(thrown) !== 'ENOENT') throw thrown
}
