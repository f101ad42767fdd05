// The first message on every stream: it names the peer, and shows whether the two ends may talk. Pure.
// A peer without a ring (a joiner, a client) sends an empty ring id. It is accepted on streams that need no ring.
import { fromHex, toHex } from '../bytes.js'
import { RingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import { type Instance, instanceIdOf, NO_INSTANCE, startOf } from './instances.js'
import type { Link } from './network.js'
import { WIRE_VERSION } from './network.js'
import type { Hello } from './wire.js'

/** Rings and stores are named by 16 random bytes. */
const ID_BYTES = 16

/** The identity that this peer sends in its hellos. Ids are hex; '' for none. */
export interface Identity {
  readonly ringId: string
  readonly storeId: string
  readonly wireVersion: number
  /** The ring that this peer is to join, while it belongs to none. Undefined: any ring. */
  readonly wantedRing?: string | undefined
  readonly instance: Instance
  /** While this peer is in no ring: how many empty peers must meet before one of them founds a ring. 0: none. */
  readonly expects: number
}

export const NOBODY: Identity = {
  ringId: '',
  storeId: '',
  wireVersion: WIRE_VERSION,
  instance: NO_INSTANCE,
  expects: 0
}

export function helloOf(identity: Identity): Hello {
  return {
    wireVersion: identity.wireVersion,
    ringId: new Uint8Array(fromHex(identity.ringId)),
    storeId: new Uint8Array(fromHex(identity.storeId)),
    instance: new Uint8Array(fromHex(identity.instance.id)),
    startedAtMs: identity.instance.startedAtMs,
    expects: identity.expects
  }
}

/** The link to the other end, from its hello. Throws WRONG_VERSION, WRONG_RING or BAD_MESSAGE. */
export function meet(peerId: PeerId, hello: Hello, self: Identity): Link {
  if (hello.wireVersion !== self.wireVersion) {
    throw new RingdError(
      'WRONG_VERSION',
      `this peer speaks wire version ${self.wireVersion}, the other version ${hello.wireVersion}; upgrade the older`
    )
  }
  const link = {
    peerId,
    ringId: idOf(hello.ringId),
    storeId: idOf(hello.storeId),
    instance: { id: instanceIdOf(hello.instance), startedAtMs: startOf(hello.startedAtMs) },
    expects: hello.expects
  }
  const conflict = ringConflict(link, self)
  if (conflict !== undefined) throw conflict
  return link
}

/**
 * WRONG_RING when the two belong to different rings; undefined otherwise. A peer without a ring may talk to any, unless
 * it is to join one ring only.
 */
export function ringConflict(link: Link, self: Identity): RingdError | undefined {
  const own = self.ringId === '' ? (self.wantedRing ?? '') : self.ringId
  if (link.ringId === '' || own === '' || link.ringId === own) return undefined
  return new RingdError(
    'WRONG_RING',
    `this peer belongs to ring ${own.slice(0, 8)}, the other one to ring ${link.ringId.slice(0, 8)}`
  )
}

function idOf(bytes: Uint8Array): string {
  if (bytes.length !== 0 && bytes.length !== ID_BYTES) {
    throw new RingdError('BAD_MESSAGE', `an id in a hello has 0 or ${ID_BYTES} bytes, not ${bytes.length}`)
  }
  return toHex(bytes)
}
