// Transfers as bytes: on disk, where the last ones that have ended are kept, and in the answer to another member. Pure.
//
//   record = crc32 u32 (big-endian) | Transfer of wire.proto
//
// Invariant: bytes that cannot be read are refused here. A record on disk that is damaged costs that record only: no
// promise depends on a receipt, so it must never keep a peer from starting.
import { crc32 } from 'node:zlib'
import { asBuffer, type Bytes, fromHex } from '../../bytes.js'
import { RingdError } from '../../errors.js'
import type { MemberId } from '../../member.js'
import { Transfer as WireTransfer } from '../../network/wire.js'
import { SlotSet } from '../../ring/slot-set.js'
import { SLOTS } from '../../ring/slots.js'
import type { MetaReader, MetaWrite } from '../../storage/meta.js'
import { MOVE_CAUSES, type MoveCause } from '../../views/move-cause.js'
import { idFromWire } from '../../views/wire-codec.js'

/**
 * running; done: everything of it that this member needed is here; overtaken: a newer config of its slots began before;
 * cut: the process ended before, so the rest was taken by another transfer.
 */
export const TRANSFER_STATES = ['running', 'done', 'overtaken', 'cut'] as const
export type TransferState = (typeof TRANSFER_STATES)[number]

/** The order of wire.proto. */
export const HOLDERS = ['source', 'disk', 'clients', 'limit'] as const
/** What a transfer waits for: its source, the disk or the clients of the puller, or the limit of the operator. */
export type Holder = (typeof HOLDERS)[number]

export interface Receipt {
  /** Slots of the jobs that are done. */
  readonly slots: SlotSet
  /** Entries of asks that ended with the same count and checksum at both ends. They are on disk. */
  readonly entries: number
  /** The sum of their checksums modulo 2^32 (`BlockTally`). */
  readonly checksum: number
}

export interface TransferRecord {
  /** Counts up in one store. */
  readonly number: number
  readonly cause: MoveCause
  readonly source: MemberId
  readonly puller: MemberId
  /** By its first view; 0 for repair. */
  readonly config: number
  readonly state: TransferState
  /** Everything that came, also what no receipt counts yet. */
  readonly entries: number
  readonly bytes: number
  readonly receipt: Receipt
  /** Wall clock, ms since the epoch. */
  readonly beganAtMs: number
  readonly endedAtMs: number
}

export interface RunningTransfer extends TransferRecord {
  /** Slots that it is to take, as far as that is known. */
  readonly slotsInAll: number
  readonly bytesPerS: number
  readonly heldBy: Holder
}

/** Transfers that have ended and are kept. */
export const ENDED_MAX = 100
const PREFIX = 'transfer/'
const CRC_BYTES = 4
/** The slots have at most 2049 bytes, all other fields about 130. */
export const RECORD_BYTES_MAX = 2400

export function transferToWire(transfer: TransferRecord | RunningTransfer): WireTransfer {
  const { number, cause, source, puller, config, state, entries, bytes, receipt, beganAtMs, endedAtMs } = transfer
  const running = 'heldBy' in transfer ? transfer : { slotsInAll: 0, bytesPerS: 0, heldBy: HOLDERS[0] }
  return {
    number,
    cause: MOVE_CAUSES.indexOf(cause),
    source: fromHex(source),
    puller: fromHex(puller),
    config,
    state: TRANSFER_STATES.indexOf(state),
    entries,
    bytes,
    slots: receipt.slots.encode(),
    receiptEntries: receipt.entries,
    receiptChecksum: receipt.checksum,
    beganAtMs,
    endedAtMs,
    slotsInAll: running.slotsInAll,
    bytesPerS: running.bytesPerS,
    heldBy: HOLDERS.indexOf(running.heldBy)
  } as WireTransfer
}

/** Throws BAD_MESSAGE. */
export function transferFromWire(wire: WireTransfer): RunningTransfer {
  const { number, config, entries, bytes, receiptEntries, beganAtMs, endedAtMs, slotsInAll, bytesPerS } = wire
  const counts = [number, config, entries, bytes, receiptEntries, beganAtMs, endedAtMs, slotsInAll, bytesPerS]
  const cause = MOVE_CAUSES[wire.cause]
  const state = TRANSFER_STATES[wire.state]
  const heldBy = HOLDERS[wire.heldBy]
  const areCounts = counts.every((count) => Number.isSafeInteger(count) && count >= 0)
  if (cause === undefined || state === undefined || heldBy === undefined || !areCounts || slotsInAll > SLOTS) {
    throw new RingdError('BAD_MESSAGE', 'a transfer cannot be read')
  }
  const receipt = { slots: SlotSet.decode(wire.slots), entries: receiptEntries, checksum: wire.receiptChecksum }
  const ends = { source: idFromWire(wire.source), puller: idFromWire(wire.puller) }
  const taken = { state, entries, bytes, receipt, beganAtMs, endedAtMs }
  return { number, cause, ...ends, config, ...taken, slotsInAll, bytesPerS, heldBy }
}

/** Overwrites the record of the transfer that is ENDED_MAX older. */
export function writeTransfer(transfer: TransferRecord): MetaWrite {
  const body = WireTransfer.encode(transferToWire(transfer))
  const value = Buffer.alloc(CRC_BYTES + body.length)
  value.writeUInt32BE(crc32(body))
  value.set(body, CRC_BYTES)
  return { name: nameOf(transfer.number), value }
}

/** Throws BAD_MESSAGE for bytes that are no record of a transfer. */
export function decodeTransfer(value: Bytes): TransferRecord {
  const body = asBuffer(value).subarray(CRC_BYTES)
  if (value.length < CRC_BYTES || value.length > RECORD_BYTES_MAX || asBuffer(value).readUInt32BE() !== crc32(body)) {
    throw new RingdError('BAD_MESSAGE', 'the record of a transfer does not match its checksum')
  }
  let wire: WireTransfer
  try {
    wire = WireTransfer.decode(body)
  } catch (cause) {
    throw new RingdError('BAD_MESSAGE', 'the record of a transfer cannot be read', { cause })
  }
  const { slotsInAll: _slots, bytesPerS: _rate, heldBy: _holder, ...transfer } = transferFromWire(wire)
  return transfer
}

export interface KeptTransfers {
  /** Ascending by number. */
  readonly ended: readonly TransferRecord[]
  /** Records that could not be read. They are overwritten in time. */
  readonly damaged: number
}

export const NO_TRANSFERS: KeptTransfers = { ended: [], damaged: 0 }

/** The transfers that the store has kept. Never throws: a damaged record is left out and counted. */
export function readTransfers(meta: Pick<MetaReader, 'get'>): KeptTransfers {
  const ended: TransferRecord[] = []
  let damaged = 0
  for (let place = 0; place < ENDED_MAX; place++) {
    const value = meta.get(nameOf(place))
    if (value === undefined) continue
    try {
      const transfer = decodeTransfer(value)
      if (transfer.number % ENDED_MAX === place && transfer.state !== 'running') ended.push(transfer)
      else damaged += 1
    } catch {
      damaged += 1
    }
  }
  return { ended: ended.sort((one, other) => one.number - other.number), damaged }
}

function nameOf(number: number): string {
  return `${PREFIX}${String(number % ENDED_MAX).padStart(2, '0')}`
}
