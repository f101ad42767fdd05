// The parts of a LevelDB, as its MANIFEST names them: its tables, and the oldest log that it needs. Pure. Never throws.
// Source: LevelDB, db/version_edit.cc and doc/impl.md.
import { type Bytes, toText } from '../bytes.js'
import { logRecords } from './level-log.js'
import { VarintReader } from './varint.js'

export interface Manifest {
  /** The size in bytes of each table, by its number. */
  readonly tables: ReadonlyMap<number, number>
  /** Logs with a lower number are not needed. 0: no log was ever begun. */
  readonly logNumber: number
}

const COMPARATOR = 1
const LOG_NUMBER = 2
const NEXT_FILE = 3
const LAST_SEQUENCE = 4
const COMPACT_POINTER = 5
const DELETED_FILE = 6
const NEW_FILE = 7
const PREVIOUS_LOG = 9

/** The contents of the file, or a description of its damage. A torn end is no damage. */
export function readManifest(bytes: Bytes): Manifest | string {
  const { records, damagedAt } = logRecords(bytes)
  if (damagedAt !== undefined) return `is damaged at byte ${damagedAt}`
  const tables = new Map<number, number>()
  let logNumber: number | undefined
  for (const record of records) {
    const reader = new VarintReader(record)
    while (!reader.isAtEnd && reader.isGood) logNumber = readField(reader, tables) ?? logNumber
    if (!reader.isGood) return 'holds a field that cannot be read'
  }
  return logNumber === undefined ? 'was cut' : { tables, logNumber }
}

/** Reads one field. Returns the log number when the field is that, otherwise undefined. */
function readField(reader: VarintReader, tables: Map<number, number>): number | undefined {
  switch (reader.number()) {
    case COMPARATOR:
      if (toText(reader.string()) !== 'leveldb.BytewiseComparator') reader.isGood = false
      return undefined
    case LOG_NUMBER:
      return reader.number()
    case NEXT_FILE:
    case LAST_SEQUENCE:
    case PREVIOUS_LOG:
      reader.number()
      return undefined
    case COMPACT_POINTER:
      reader.number()
      reader.string()
      return undefined
    case DELETED_FILE:
      reader.number()
      tables.delete(reader.number())
      return undefined
    case NEW_FILE: {
      reader.number()
      const number = reader.number()
      tables.set(number, reader.number())
      reader.string()
      reader.string()
      return undefined
    }
    default:
      reader.isGood = false
      return undefined
  }
}
