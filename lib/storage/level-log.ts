// Checks that the write-ahead logs of a LevelDB hold every acknowledged batch. LevelDB does not report it: when a bit
// in a log is flipped, it silently drops the batches around it, up to 32 KiB, and reads the later ones, so that the
// number of the last batch looks right. Called before a store is opened. Only reads files.
// Rule: only the end may be missing. A process that dies during a write leaves a torn end of the newest log; that write
// was not acknowledged. A bad record with a good one after it, or a gap in the numbers, is damage. When the missing end
// did hold acknowledged batches, the rollback guard finds out, because the peers know the number of the last batch
// (lib/node/rollback-guard.ts).
// Source: LevelDB, doc/log_format.md and db/write_batch.cc.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bytes } from '../bytes.js'
import { asBuffer } from '../bytes.js'
import { maskedCrc32c } from './crc32c.js'

/** A record does not cross a block. A longer one is divided into fragments. */
const BLOCK_BYTES = 32_768
/** crc u32 | length u16 | type u8, little-endian. */
const HEADER_BYTES = 7
/** A batch begins with sequence u64 | count u32. */
const BATCH_HEADER_BYTES = 12
const FULL = 1
const FIRST = 2
const LAST = 4

/**
 * A description of the damage in the logs of the LevelDB in `folder`; undefined: none. Rejects when `readdir` rejects.
 */
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
      return `a part between ${name} and the log before it is missing`
    expected = log.next
    if (log.isTorn) torn = name
  }
  return undefined
}

export interface LogContent {
  /** The byte of a bad record with a good record after it. */
  readonly damagedAt: number | undefined
  /** The last record is not whole. */
  readonly isTorn: boolean
  /** The number of the first write in the log, and the number after the last. Undefined: the log holds no write. */
  readonly first: number | undefined
  readonly next: number | undefined
}

/** Reads one log. Pure; never throws. O(length), about 5 ms for each MiB. */
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
    // The fragments of a record come one after the other, without another record between them.
    if (begins !== (batch === undefined)) return { damagedAt: at, isTorn: false, first, next }
    // When a block is nearly full, even the header of a batch is divided.
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
  /** The whole records, in their order. */
  readonly records: readonly Bytes[]
  /** The byte of a bad record with a good record after it. */
  readonly damagedAt: number | undefined
}

/** The records of a file in the format of a log, such as a MANIFEST. Pure; never throws. */
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

/** The record or fragment at `at`; undefined unless it is whole and undamaged. */
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

/** Whether a sound record lies in the rest of the block that holds `bad`, or at the beginning of a later block. */
function hasRecordAfter(log: Buffer, bad: number): boolean {
  const blockEnd = bad - (bad % BLOCK_BYTES) + BLOCK_BYTES
  for (let at = bad + 1; at < blockEnd && at < log.length; at++) if (recordAt(log, at) !== undefined) return true
  for (let at = blockEnd; at < log.length; at += BLOCK_BYTES) if (recordAt(log, at) !== undefined) return true
  return false
}
