// Whether the write-ahead logs of a LevelDB hold every batch that was acknowledged. LevelDB itself does not say:
// from a log with a flipped bit it silently drops the batches around it, up to 32 KiB, and goes on with those
// behind it, so that the number of the last batch looks right. Called before a store is opened; reads files,
// changes nothing. Rule: only the end may be missing. A process that died in the middle of a write leaves a torn
// end of the newest log, which nobody was told of; anything bad with something good behind it, or a gap in the
// numbers, is damage. What the end held is found missing by the number of the last batch, which the peers have
// heard of (actors/witness.ts). Source: LevelDB, doc/log_format.md and db/write_batch.cc.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bytes } from '../bytes.js'
import { asBuffer } from '../bytes.js'
import { maskedCrc32c } from './crc32c.js'

/** Records do not cross blocks: longer ones are cut into fragments. */
const BLOCK_BYTES = 32_768
/** crc u32 | length u16 | type u8, little-endian. */
const HEADER_BYTES = 7
/** A batch begins with sequence u64 | count u32. */
const BATCH_HEADER_BYTES = 12
const FULL = 1
const FIRST = 2
const LAST = 4

/** What is wrong with the logs of the LevelDB in `folder`, in words; undefined: nothing. Rejects as `readdir` does. */
export async function logDamage(folder: string): Promise<string | undefined> {
  const names = (await readdir(folder)).filter((name) => /^\d+\.log$/.test(name))
  names.sort((one, other) => Number.parseInt(one, 10) - Number.parseInt(other, 10))
  let expected: number | undefined
  let torn: string | undefined
  for (const name of names) {
    const bytes = await readFile(join(folder, name))
    const log = readLog(bytes)
    if (log.damagedAt !== undefined) return `${name} is damaged at byte ${log.damagedAt}`
    if (log.first === undefined) continue
    if (torn !== undefined) return `the end of ${torn} is missing, and ${name} comes after it`
    if (expected !== undefined && log.first !== expected)
      return `what lay between ${name} and the log before is missing`
    expected = log.next
    if (log.isTorn) torn = name
  }
  return undefined
}

export interface LogContent {
  /** Where something is bad that something good comes after. */
  readonly damagedAt: number | undefined
  /** Its last record is not whole. */
  readonly isTorn: boolean
  /** The number of the first write in it, and the one after the last. Undefined: it holds none. */
  readonly first: number | undefined
  readonly next: number | undefined
}

/** Reads one log. Pure; never throws. O(length), some 5 ms for each MiB. */
export function readLog(bytes: Bytes): LogContent {
  const log = asBuffer(bytes)
  let first: number | undefined
  let next: number | undefined
  let batch: Buffer | undefined
  let at = 0
  const bad = (where: number): LogContent => {
    const isDamaged = hasRecordAfter(log, where)
    return { damagedAt: isDamaged ? where : undefined, isTorn: !isDamaged, first, next }
  }
  for (;;) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES)
    if (left < HEADER_BYTES) at += left
    if (at >= log.length) return { damagedAt: undefined, isTorn: batch !== undefined, first, next }
    const record = recordAt(log, at)
    if (record === undefined) return bad(at)
    const begins = record.type === FULL || record.type === FIRST
    // The fragments of a record follow each other.
    if (begins !== (batch === undefined)) return { damagedAt: at, isTorn: false, first, next }
    // Where a block is nearly full, even the head of a batch is cut.
    if (batch === undefined) batch = record.data
    else if (batch.length < BATCH_HEADER_BYTES) batch = Buffer.concat([batch, record.data])
    if (record.type === FULL || record.type === LAST) {
      if (batch.length < BATCH_HEADER_BYTES) return bad(at)
      const sequence = Number(batch.readBigUInt64LE(0))
      if (next !== undefined && sequence !== next) return { damagedAt: at, isTorn: false, first, next }
      first ??= sequence
      next = sequence + batch.readUInt32LE(8)
      batch = undefined
    }
    at = record.end
  }
}

export interface LogRecords {
  /** In their order, each whole. */
  readonly records: readonly Bytes[]
  /** Where something is bad that something good comes after. */
  readonly damagedAt: number | undefined
}

/** What a file holds that is written like a log. Pure; never throws. */
export function logRecords(bytes: Bytes): LogRecords {
  const log = asBuffer(bytes)
  const records: Bytes[] = []
  let parts: Buffer[] = []
  let at = 0
  for (;;) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES)
    if (left < HEADER_BYTES) at += left
    if (at >= log.length) return { records, damagedAt: undefined }
    const record = recordAt(log, at)
    if (record === undefined) return { records, damagedAt: hasRecordAfter(log, at) ? at : undefined }
    const begins = record.type === FULL || record.type === FIRST
    if (begins !== (parts.length === 0)) return { records, damagedAt: at }
    parts.push(record.data)
    if (record.type === FULL || record.type === LAST) {
      records.push(Buffer.concat(parts))
      parts = []
    }
    at = record.end
  }
}

interface LogRecord {
  readonly type: number
  readonly data: Buffer
  readonly end: number
}

/** The whole and unharmed record, or fragment, at `at`. */
function recordAt(log: Buffer, at: number): LogRecord | undefined {
  if (at + HEADER_BYTES > log.length) return undefined
  const length = log.readUInt16LE(at + 4)
  const type = log[at + 6]!
  const end = at + HEADER_BYTES + length
  if (type < FULL || type > LAST || end > log.length) return undefined
  if ((at % BLOCK_BYTES) + HEADER_BYTES + length > BLOCK_BYTES) return undefined
  if (log.readUInt32LE(at) !== maskedCrc32c(log, at + 6, end)) return undefined
  return { type, data: log.subarray(at + HEADER_BYTES, end), end }
}

/** In the rest of the block that holds `bad`, or at the beginning of a later one. */
function hasRecordAfter(log: Buffer, bad: number): boolean {
  const blockEnd = bad - (bad % BLOCK_BYTES) + BLOCK_BYTES
  for (let at = bad + 1; at < blockEnd && at < log.length; at++) if (recordAt(log, at) !== undefined) return true
  for (let at = blockEnd; at < log.length; at += BLOCK_BYTES) if (recordAt(log, at) !== undefined) return true
  return false
}
