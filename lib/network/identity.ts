// The Ed25519 key of a peer: its bytes on disk, the peer id that follows from it, and signatures. Pure and synchronous.
// The public key is part of the peer id, so the peer id is enough to verify the peer's signatures.
import { generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import type { Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import type { Random } from '../random.js'

/** Must never be logged. */
export type PrivateKey = Ed25519PrivateKey

const SEED_BYTES = 32

/** A new key from 32 unpredictable bytes. The same bytes give the same key. */
export function newPrivateKey(random: Random): Promise<PrivateKey> {
  return generateKeyPairFromSeed('Ed25519', random.bytes(SEED_BYTES))
}

/** The key in libp2p's format, which other programs can read too. */
export function privateKeyToBytes(key: PrivateKey): Bytes {
  return privateKeyToProtobuf(key)
}

/** The inverse of `privateKeyToBytes`. Throws DATA_DAMAGED when the bytes are no Ed25519 key. */
export function privateKeyFromBytes(bytes: Bytes): PrivateKey {
  try {
    const key = privateKeyFromProtobuf(bytes)
    if (key.type === 'Ed25519') return key
  } catch (thrown) {
    throw new RingdError('DATA_DAMAGED', 'the private key cannot be read', { cause: thrown })
  }
  throw new RingdError('DATA_DAMAGED', 'the private key is not an Ed25519 key')
}

export function peerIdOf(key: PrivateKey): PeerId {
  return peerIdFromPrivateKey(key).toString()
}

/** The signature: 64 bytes. Takes about 50 us. */
export function sign(key: PrivateKey, bytes: Bytes): Bytes {
  return synchronous(key.sign(bytes))
}

/** Whether the peer signed these bytes. Also false when the id or the signature is malformed. Takes about 100 us. */
export function verify(peerId: PeerId, bytes: Bytes, signature: Bytes): boolean {
  try {
    const peer = peerIdFromString(peerId)
    return peer.type === 'Ed25519' && synchronous(peer.publicKey.verify(bytes, signature))
  } catch {
    return false
  }
}

/** On Node the library returns the result at once. Its types also allow a promise, for browsers. */
function synchronous<T>(result: T | Promise<T>): T {
  if (result instanceof Promise) throw new RingdError('INTERNAL', 'signatures are expected to be synchronous')
  return result
}
