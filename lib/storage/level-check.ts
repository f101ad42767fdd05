// Checks that a LevelDB is whole, before it is opened. LevelDB opens most damaged stores without an error, and first
// deletes the files that its MANIFEST does not name. So this code only reads.
// Invariant: a store that passes holds each entry that was in its tables and logs, in the version that was written,
// except for the entries in `damaged`.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bytes } from '../bytes.js'
import { toText } from '../bytes.js'
import { logDamage } from './level-log.js'
import { type Manifest, readManifest } from './level-manifest.js'
import { readTable } from './level-table.js'

export interface StoreCheck {
  /** A description of the damage that loses or hides entries; undefined: none. */
  readonly damage: string | undefined
  /** The stored keys of entries whose values are damaged. */
  readonly damaged: readonly Bytes[]
}

/** Tables that are read at once, so that the disk works while this process computes. A table has a few MiB. */
const READS_AT_ONCE = 3
const NAME_DIGITS = 6

/**
 * Reads the whole LevelDB in `folder`, which no process has open. A folder without CURRENT passes, since it may be new.
 * A read error of the disk (EIO) counts as damage; with any other error of the system it rejects. Costs about 1 s of
 * one core for each GiB, and the time of the disk.
 */
export function checkStore(folder: string): Promise<StoreCheck> {
  return readAll(folder).catch(unreadable)
}

/**
 * Reads the tables of a LevelDB that is open. Resolves with a description of damage that may hide entries, or
 * undefined. A table that was deleted meanwhile counts as sound: a compaction has replaced it. Awaits `between` after
 * each table.
 */
export async function checkTables(folder: string, between: () => Promise<void>): Promise<string | undefined> {
  const manifestName = toText(await readFile(join(folder, 'CURRENT'))).trimEnd()
  const manifest = readManifest(await readFile(join(folder, manifestName)))
  if (typeof manifest === 'string') return `${manifestName} ${manifest}`
  const names = await readdir(folder)
  for (const [number, size] of manifest.tables) {
    const name = tableName(number, names)
    const { damage } = name === undefined ? SOUND : await readTableFile(folder, name, size).catch(soundIfDeleted)
    if (damage !== undefined) return damage
    await between()
  }
  return undefined
}

function soundIfDeleted(thrown: unknown): StoreCheck {
  if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return SOUND
  throw thrown
}

async function readAll(folder: string): Promise<StoreCheck> {
  const names = await readdir(folder)
  if (!names.includes('CURRENT')) return SOUND
  const manifestName = toText(await readFile(join(folder, 'CURRENT'))).trimEnd()
  if (!names.includes(manifestName)) return bad(`${manifestName || 'the file that CURRENT names'} is missing`)
  const manifest = readManifest(await readFile(join(folder, manifestName)))
  if (typeof manifest === 'string') return bad(`${manifestName} ${manifest}`)
  const missing = missingFile(manifest, names)
  if (missing !== undefined) return bad(`${missing} is missing`)
  const damage = await logDamage(folder)
  return damage === undefined ? readTables(folder, manifest, names) : bad(damage)
}

const SOUND: StoreCheck = { damage: undefined, damaged: [] }

function bad(damage: string): StoreCheck {
  return { damage, damaged: [] }
}

/**
 * The name of a needed file that is missing. The tables are needed, and the log `logNumber`. LevelDB deletes a log only
 * when a MANIFEST on disk names a later one. So when this log is missing, the end of the MANIFEST is lost.
 */
function missingFile({ tables, logNumber }: Manifest, names: readonly string[]): string | undefined {
  for (const number of tables.keys()) if (tableName(number, names) === undefined) return `${digitsOf(number)}.ldb`
  const log = `${digitsOf(logNumber)}.log`
  return logNumber === 0 || names.includes(log) ? undefined : log
}

function tableName(number: number, names: readonly string[]): string | undefined {
  const digits = digitsOf(number)
  return [`${digits}.ldb`, `${digits}.sst`].find((name) => names.includes(name))
}

function digitsOf(number: number): string {
  return String(number).padStart(NAME_DIGITS, '0')
}

async function readTableFile(folder: string, name: string, size: number): Promise<StoreCheck> {
  const bytes = await readFile(join(folder, name)).catch(unreadable)
  if (!(bytes instanceof Uint8Array)) return bad(`${name}: ${bytes.damage}`)
  if (bytes.length !== size) return bad(`${name}: it has ${bytes.length} bytes instead of ${size}`)
  const { damage, damaged } = readTable(bytes)
  return damage === undefined ? { damage, damaged } : bad(`${name}: ${damage}`)
}

/** A read error of the disk (EIO) is damage. Any other error is thrown again. */
function unreadable(thrown: unknown): StoreCheck {
  if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EIO') return bad(thrown.message)
  throw thrown
}

async function readTables(folder: string, { tables }: Manifest, names: readonly string[]): Promise<StoreCheck> {
  const waiting = [...tables]
  const damaged: Bytes[] = []
  let damage: string | undefined
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined && damage === undefined; next = waiting.shift()) {
      const [number, size] = next
      const name = tableName(number, names)!
      const found = await readTableFile(folder, name, size)
      damage ??= found.damage
      damaged.push(...found.damaged)
    }
  }
  await Promise.all(Array.from({ length: READS_AT_ONCE }, work))
  return { damage, damaged }
}
