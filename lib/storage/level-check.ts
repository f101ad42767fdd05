// Whether a LevelDB is whole, before it is opened. LevelDB itself opens most damage without a word, and begins by
// deleting files that it does not know of any more; so nothing but reading happens here.
// Invariant: a store that passes holds every entry that was in its tables and logs, in the version that was written,
// or names the entries that it does not.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bytes } from '../bytes.js'
import { toText } from '../bytes.js'
import { logDamage } from './level-log.js'
import { type Manifest, readManifest } from './level-manifest.js'
import { readTable } from './level-table.js'

export interface StoreCheck {
  /** What is missing or hides entries, in words; undefined: nothing. */
  readonly damage: string | undefined
  /** Stored keys of entries that are there and damaged. */
  readonly damaged: readonly Bytes[]
}

/** Read at once: the disk works while this process adds up. Tables have some MiB. */
const READS_AT_ONCE = 3
const NAME_DIGITS = 6

/**
 * Reads all of the LevelDB in `folder`, which nobody has open; one without CURRENT passes, since it may be new. Rejects
 * as reading files does, but for what the disk cannot read. Costs about 1 s of one core for each GiB, beside what the
 * disk takes.
 */
export async function checkStore(folder: string): Promise<StoreCheck> {
  try {
    return await readAll(folder)
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EIO')) throw thrown
    return bad(thrown.message)
  }
}

async function readAll(folder: string): Promise<StoreCheck> {
  const names = await readdir(folder)
  if (!names.includes('CURRENT')) return { damage: undefined, damaged: [] }
  const manifestName = toText(await readFile(join(folder, 'CURRENT'))).trimEnd()
  if (!names.includes(manifestName)) return bad(`${manifestName || 'what CURRENT names'} is missing`)
  const manifest = readManifest(await readFile(join(folder, manifestName)))
  if (typeof manifest === 'string') return bad(`${manifestName} ${manifest}`)
  const missing = missingFile(manifest, names)
  if (missing !== undefined) return bad(`${missing} is missing`)
  const damage = await logDamage(folder)
  return damage === undefined ? readTables(folder, manifest, names) : bad(damage)
}

function bad(damage: string): StoreCheck {
  return { damage, damaged: [] }
}

/**
 * Tables, and the log from which on all logs are needed: one is deleted only when the MANIFEST names a later one, on
 * disk, so that where it is missing, the end of the MANIFEST is.
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

async function readTables(folder: string, { tables }: Manifest, names: readonly string[]): Promise<StoreCheck> {
  const waiting = [...tables]
  const damaged: Bytes[] = []
  let damage: string | undefined
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined && damage === undefined; next = waiting.shift()) {
      const [number, size] = next
      const name = tableName(number, names)!
      const bytes = await readFile(join(folder, name))
      const found = bytes.length === size ? readTable(bytes) : bad(`it has ${bytes.length} bytes instead of ${size}`)
      if (found.damage !== undefined) damage ??= `${name}: ${found.damage}`
      damaged.push(...found.damaged)
    }
  }
  await Promise.all(Array.from({ length: READS_AT_ONCE }, work))
  return { damage, damaged }
}
