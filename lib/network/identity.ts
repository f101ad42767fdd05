// The Ed25519 key of a peer: its bytes on disk, the peer id that follows from it, signatures. Pure, and synchronous.
// The public key is part of the peer id, so whoever knows a peer's name can check its signatures.
import { generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import type { Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import type { Random } from '../random.js'

/** Never logged. */
export type PrivateKey = Ed25519PrivateKey

const SEED_BYTES = 32

/** A new key from 32 unpredictable bytes. The same bytes give the same key. */
export function newPrivateKey(random: Random): Promise<PrivateKey> {
  return generateKeyPairFromSeed('Ed25519', random.bytes(SEED_BYTES))
}

/** libp2p's own format, which other tools read, too. */
export function privateKeyToBytes(key: PrivateKey): Bytes {
  return privateKeyToProtobuf(key)
}

/** Throws DATA_DAMAGED when the bytes are no Ed25519 key. */
export function privateKeyFromBytes(bytes: Bytes): PrivateKey {
  try {
    const key = privateKeyFromProtobuf(bytes)
    if (key.type === 'Ed25519') return key
  } catch (thrown) {
    throw new RingdError('DATA_DAMAGED', 'the private key cannot be read', { cause: thrown })
  }
  throw new RingdError('DATA_DAMAGED', 'the private key is of another kind than Ed25519')
}

export function peerIdOf(key: PrivateKey): PeerId {
  return peerIdFromPrivateKey(key).toString()
}

/** 64 bytes. About 50 us. */
export function sign(key: PrivateKey, bytes: Bytes): Bytes {
  return synchronous(key.sign(bytes))
}

/** Whether the peer of this id signed these bytes. False, too, when id or signature are malformed. About 100 us. */
export function verify(peerId: PeerId, bytes: Bytes, signature: Bytes): boolean {
  try {
    const peer = peerIdFromString(peerId)
    return peer.type === 'Ed25519' && synchronous(peer.publicKey.verify(bytes, signature))
  } catch {
    return false
  }
}

/** On Node the library answers at once; its types allow for browsers, where it cannot. */
function synchronous<T>(result: T | Promise<T>): T {
  if (result instanceof Promise) throw new RingdError('INTERNAL', 'signatures are expected to be synchronous')
  return result
}
