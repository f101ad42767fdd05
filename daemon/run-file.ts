// `run.json` in the data directory tells how to reach the daemon that serves the directory now. The daemon writes the
// file when it serves, and removes it when it stops cleanly. A crash leaves it, so readers check that the process
// lives.
// Commands believe it only when no other user can have written it: they dial the addresses that it names.
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fromText, toText } from '../lib/bytes.js'
import { RingdError } from '../lib/errors.js'
import { KiB } from '../lib/limits.js'
import { writeFileAtomic } from '../lib/storage/data-directory.js'
import { assertOwnerWrites, readRegularFile, systemCode } from '../lib/storage/private-files.js'

export interface RunInfo {
  readonly pid: number
  readonly peerId: string
  readonly storeId: string
  /** The addresses where the daemon listens for peers and clients, with /p2p/. */
  readonly multiaddrs: readonly string[]
  /** The addresses that it gives to other peers: the same, or those of `announce`. */
  readonly announced: readonly string[]
  /** host:port for Redis clients, or null when that door is off. */
  readonly resp: string | null
  readonly version: string
}

/** A daemon that serves, as the composition root returns it. */
export interface RunningDaemon {
  runInfo(): RunInfo
  /** Answers the open requests, closes doors, links and store. Resolves when the directory may be opened again. */
  stop(): Promise<void>
  /** Resolves with the reason when the daemon cannot go on; else never. */
  readonly failed: Promise<RingdError>
  /** Resolves when the daemon has left its ring, as an operator asked. Then it may end. */
  readonly left: Promise<void>
}

const NAME = 'run.json'
/** 64 addresses of 1 KiB fit. */
const BYTES_MAX = 128 * KiB

/** Writes in one step: readers never see half a file. */
export async function writeRunFile(data: string, info: RunInfo): Promise<void> {
  await writeFileAtomic(join(data, NAME), fromText(`${JSON.stringify(info, undefined, 2)}\n`))
}

export async function removeRunFile(data: string): Promise<void> {
  await rm(join(data, NAME), { force: true })
}

/**
 * How to reach the daemon of `data`. Throws BAD_CONFIG (no directory), UNREACHABLE (not running), DATA_UNSAFE (another
 * user may have written the file), DATA_DAMAGED.
 */
export async function readRunFile(data: string): Promise<RunInfo> {
  const path = join(data, NAME)
  const directory = await stat(data).catch((cause) => {
    const why = mayNotRead(cause)
      ? 'this user may not read it; run the command as the user of the daemon, or give --peer'
      : 'there is no such directory; give the --data of a daemon'
    throw new RingdError('BAD_CONFIG', `--data ${data}: ${why}`, { cause })
  })
  let text: string
  try {
    const uid = process.geteuid?.()
    assertOwnerWrites(data, directory, uid)
    const { bytes, stats } = await readRegularFile(path, BYTES_MAX)
    assertOwnerWrites(path, stats, uid)
    text = toText(bytes)
  } catch (thrown) {
    if (thrown instanceof RingdError) throw thrown
    if (mayNotRead(thrown)) {
      const advice = 'run the command as the user of the daemon, or give --peer'
      throw new RingdError('BAD_CONFIG', `${path}: this user may not read it; ${advice}`, { cause: thrown })
    }
    throw new RingdError(
      'UNREACHABLE',
      `no daemon serves ${data}: there is no ${NAME} in it; start the daemon, or give --peer`,
      { cause: thrown }
    )
  }
  const info = parseRunInfo(text)
  if (info === undefined)
    throw new RingdError('DATA_DAMAGED', `${path} is not what a daemon writes; remove it and start the daemon`)
  if (!isAlive(info.pid)) {
    throw new RingdError('UNREACHABLE', `no daemon serves ${data}: process ${info.pid} of its ${NAME} no longer runs`)
  }
  return info
}

function mayNotRead(thrown: unknown): boolean {
  return systemCode(thrown) === 'EACCES'
}

function parseRunInfo(text: string): RunInfo | undefined {
  let content: Partial<RunInfo> | null
  try {
    content = JSON.parse(text)
  } catch {
    return undefined
  }
  const addresses = content?.multiaddrs
  const texts = Array.isArray(addresses) && addresses.every((address) => typeof address === 'string')
  // kill(2) reads 0 and negative numbers as groups of processes, so they cannot be a pid here.
  const pid = Number.isInteger(content?.pid) ? (content?.pid ?? 0) : 0
  return texts && pid > 0 ? (content as RunInfo) : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    // EPERM: the process exists, but belongs to another user.
    return (thrown as NodeJS.ErrnoException).code === 'EPERM'
  }
}
