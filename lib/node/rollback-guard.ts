// Decides, after a restart, whether this store may be trusted. An old copy of a data directory looks like a sound one;
// only other members can tell. Owns what this peer has heard of the stores of others, and what they said of this one.
// Rule: every pong tells the number of the last batch on the sender's disk, signed by the sender. Each peer remembers
// the highest number that it heard of each member, with the signature. A store that was started before serves nothing
// and votes on nothing until a majority of the members, itself included, has told that none of them heard of a later
// batch than the store was opened with.
// Invariant: a later batch counts only with the signature of this store's own peer. So no other member, nor all of them
// together, can declare a sound store an old copy.
// See rollback.md.
import { type Bytes, EMPTY_BYTES, fromText } from '../bytes.js'
import type { Logger } from '../logger.js'
import type { MemberId, PeerId } from '../member.js'
import type { Pong } from '../network/wire.js'
import { quorum } from '../views/chain.js'
import type { Signer } from '../views/join.js'
import type { RingView } from '../views/ring-view.js'

export interface RollbackGuardDeps {
  readonly signer: Signer
  readonly log: Logger
  readonly peerId: PeerId
  readonly storeId: MemberId
}

export interface OpenedStore {
  /** The number of the last batch when the store was opened. */
  readonly openedWith: number
  /** It was never started before. */
  readonly isNew: boolean
}

/** What a member said of its store. */
export interface HeardBatch {
  readonly batch: number
  readonly signature: Bytes
}

const NOTHING_HEARD: HeardBatch = { batch: 0, signature: EMPTY_BYTES }
/** An Ed25519 signature has 64 bytes. */
const SIGNATURE_BYTES_MAX = 128

export class RollbackGuard {
  readonly #deps: RollbackGuardDeps
  readonly #openedWith: number
  /** The highest batch that was heard of each member's store. */
  readonly #heard = new Map<MemberId, HeardBatch>()
  /** Members that told that they know of no later batch of this store. */
  readonly #confirming = new Set<MemberId>()
  /** Members that told of a later batch which this store has not signed. */
  readonly #lying = new Set<MemberId>()
  /** The last batch of this store that was signed. */
  #signed: { readonly batch: number; readonly signature: Promise<Bytes> } | undefined
  #isTrusted: boolean

  constructor(deps: RollbackGuardDeps, { openedWith, isNew }: OpenedStore) {
    this.#deps = deps
    this.#openedWith = openedWith
    this.#isTrusted = isNew
  }

  get isTrusted(): boolean {
    return this.#isTrusted
  }

  /** The highest batch that was heard of the member's store. */
  heardOf(member: MemberId): HeardBatch {
    return this.#heard.get(member) ?? NOTHING_HEARD
  }

  /**
   * What this store tells of itself. Nothing while it is not trusted: others must keep what they heard before its
   * restart. Each batch is signed once.
   */
  async statement(batch: number): Promise<HeardBatch> {
    if (!this.#isTrusted) return NOTHING_HEARD
    const { signer, storeId } = this.#deps
    if (this.#signed?.batch !== batch) this.#signed = { batch, signature: signer.sign(signedBatch(storeId, batch)) }
    return { batch, signature: await this.#signed.signature }
  }

  /** Remembers what a member's pong says of its store and of this one. False: this store is an old copy. */
  async hear(member: MemberId, { batch, signature, highestBatchHeard, heardSignature }: Pong): Promise<boolean> {
    if (batch > this.heardOf(member).batch && signature.length <= SIGNATURE_BYTES_MAX) {
      this.#heard.set(member, { batch, signature })
    }
    if (this.#isTrusted) return true
    if (highestBatchHeard <= this.#openedWith) {
      this.#confirming.add(member)
      return true
    }
    if (await this.#hasSigned(highestBatchHeard, heardSignature)) return false
    if (!this.#lying.has(member)) {
      this.#lying.add(member)
      this.#deps.log.warn(
        { member, batch: highestBatchHeard },
        'a member tells of a batch of this store that this store never signed; ignored'
      )
    }
    return true
  }

  /**
   * Trusts the store once a majority of the members of the view has confirmed it. Forgets the stores of those who are
   * not members.
   */
  count({ members, self }: RingView): void {
    for (const heard of [this.#heard, this.#confirming, this.#lying]) {
      for (const id of heard.keys()) if (!members.has(id)) heard.delete(id)
    }
    if (this.#isTrusted) return
    let confirming = 0
    for (const id of members.keys()) if (id === self || this.#confirming.has(id)) confirming += 1
    this.#isTrusted = confirming >= quorum(members.size)
  }

  async #hasSigned(batch: number, signature: Bytes): Promise<boolean> {
    const { signer, peerId, storeId } = this.#deps
    return signature.length <= SIGNATURE_BYTES_MAX && signer.verify(peerId, signedBatch(storeId, batch), signature)
  }
}

/** The bytes that a peer signs. They begin differently from everything else that peers sign. */
function signedBatch(storeId: MemberId, batch: number): Bytes {
  return fromText(`ringd batch ${storeId} ${batch}`)
}
