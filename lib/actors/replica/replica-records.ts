// The named records that the replica keeps on disk about its slots. Pure: the replica does the writing.
// The names on disk are older than the names in code: `retired` holds the releases.
import type { Bytes } from '../../bytes.js'
import { allPromises, decodePromise, parsePromiseKey } from '../../entry/promise-record.js'
import type { Version } from '../../entry/version.js'
import { RingdError, toRingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import { SLOTS } from '../../ring/slots.js'
import { chunks } from '../../storage/chunks.js'
import type { MetaReader, MetaWrite } from '../../storage/meta.js'
import type { Store } from '../../storage/store.js'
import { decodeSlotTable, encodeSlotTable } from '../../views/slot-table.js'
import type { StandingPromise } from './replica-messages.js'

/** The records that a restarted replica finds. One number per slot in each table. */
export interface ReplicaRecords {
  /** The config at which this member released the slot; 0: never. */
  readonly released: Uint32Array
  /** The moments below which it refuses new writes, and has closed the slot (lib/entry/purge-bounds.ts). */
  readonly closing: Uint32Array
  readonly closed: Uint32Array
  /** 1: entries of the slot were dropped for a pull that may not have ended. */
  readonly incomplete: Uint32Array
}

const RELEASED = 'retired'
const CLOSING = 'closing'
const CLOSED = 'closed'
const INCOMPLETE = 'incomplete'
/** All records of the replica: a store that ends its membership deletes them. */
export const REPLICA_RECORDS: readonly string[] = [RELEASED, CLOSING, CLOSED, INCOMPLETE]

export function writeReleased(released: Uint32Array): MetaWrite {
  return { name: RELEASED, value: encodeSlotTable(released) }
}

export function writeClosing(closing: Uint32Array): MetaWrite {
  return { name: CLOSING, value: encodeSlotTable(closing) }
}

export function writeClosed(closed: Uint32Array): MetaWrite {
  return { name: CLOSED, value: encodeSlotTable(closed) }
}

export function writeIncomplete(incomplete: Uint32Array): MetaWrite {
  return { name: INCOMPLETE, value: encodeSlotTable(incomplete) }
}

/** Throws DATA_DAMAGED when a record cannot be read: such a store must not serve again. */
export function readReplicaRecords(meta: Pick<MetaReader, 'get'>): ReplicaRecords {
  const read = (name: string) => {
    const bytes = meta.get(name)
    return bytes === undefined ? new Uint32Array(SLOTS) : decodeSlotTable(bytes)
  }
  try {
    return { released: read(RELEASED), closing: read(CLOSING), closed: read(CLOSED), incomplete: read(INCOMPLETE) }
  } catch (thrown) {
    const { message } = toRingdError(thrown)
    throw new RingdError('DATA_DAMAGED', `the slot records in the store are damaged: ${message}`, { cause: thrown })
  }
}

/**
 * The promises on disk. Instead of a damaged one `highest` counts: it is not below any that may have been given, so it
 * keeps out all that the lost one did, and more. Throws DATA_DAMAGED when it is not known for which key one was given.
 */
export async function readPromises(store: Pick<Store, 'scan'>, highest: Version): Promise<readonly StandingPromise[]> {
  const promises: StandingPromise[] = []
  for await (const chunk of chunks(store.scan(allPromises()), MiB)) {
    for (const [key, value] of chunk) {
      const storedKey = parsePromiseKey(key)
      if (storedKey === undefined) throw new RingdError('DATA_DAMAGED', 'the key of a promise in the store is damaged')
      promises.push({ storedKey, ballot: decodePromise(storedKey, value) ?? highest })
    }
  }
  return promises
}

/** The keys of all records of promises, also of damaged ones. */
export async function promiseKeys(store: Pick<Store, 'scan'>): Promise<readonly Bytes[]> {
  const keys: Bytes[] = []
  for await (const chunk of chunks(store.scan(allPromises()), MiB)) keys.push(...chunk.map(([key]) => key))
  return keys
}
