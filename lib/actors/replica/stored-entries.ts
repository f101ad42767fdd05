// Entries as the store holds them, with the types of their parts. Owns nothing. Checksums are not verified here.
import type { Bytes } from '../../bytes.js'
import type { Envelope } from '../../entry/envelope.js'
import type { StoredKey } from '../../entry/keys.js'
import { chunks } from '../../storage/chunks.js'
import type { Scan } from '../../storage/store.js'

/** Some entries of a scan, in the order of their stored keys. */
export type EntryChunk = ReadonlyArray<readonly [storedKey: StoredKey, envelope: Envelope]>

/** `chunks` of an open scan over slots: every key there is a stored key, and every value an envelope. */
export function entryChunks(scan: Scan, bytesMax: number): AsyncGenerator<EntryChunk, void, void> {
  return chunks(scan, bytesMax) as AsyncGenerator<EntryChunk, void, void>
}

/** The envelope under a stored key, if there is one. */
export function storedEnvelope(
  store: { get(key: Bytes): Bytes | undefined },
  storedKey: StoredKey
): Envelope | undefined {
  return store.get(storedKey) as Envelope | undefined
}
