// The first words on every stream: who is there, and whether the two ends may talk at all. Pure.
// A peer of no ring yet (a joiner, a client) says an empty ring id, and is welcome wherever no ring is needed.
import { fromHex, toHex } from '../bytes.js'
import { RingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import type { Link } from './network.js'
import { WIRE_VERSION } from './network.js'
import type { Hello } from './wire.js'

/** Rings and stores are named by 16 random bytes. */
const ID_BYTES = 16

/** What this peer says of itself: hex, '' for none. */
export interface Identity {
  readonly ringId: string
  readonly storeId: string
  readonly wireVersion: number
}

export const NOBODY: Identity = { ringId: '', storeId: '', wireVersion: WIRE_VERSION }

export function helloOf(identity: Identity): Hello {
  return {
    wireVersion: identity.wireVersion,
    ringId: new Uint8Array(fromHex(identity.ringId)),
    storeId: new Uint8Array(fromHex(identity.storeId))
  }
}

/** The other end, as its hello describes it. Throws WRONG_VERSION, WRONG_RING or BAD_MESSAGE. */
export function meet(peerId: PeerId, hello: Hello, self: Identity): Link {
  if (hello.wireVersion !== self.wireVersion) {
    throw new RingdError(
      'WRONG_VERSION',
      `wire version ${self.wireVersion} was met by version ${hello.wireVersion}; all peers of a ring need the same`
    )
  }
  const link = { peerId, ringId: idOf(hello.ringId), storeId: idOf(hello.storeId) }
  const conflict = ringConflict(link, self)
  if (conflict !== undefined) throw conflict
  return link
}

/** WRONG_RING when the two belong to different rings. A peer of no ring talks to all. */
export function ringConflict(link: Link, self: Identity): RingdError | undefined {
  if (link.ringId === '' || self.ringId === '' || link.ringId === self.ringId) return undefined
  return new RingdError(
    'WRONG_RING',
    `a peer of ring ${self.ringId.slice(0, 8)} was met by one of ring ${link.ringId.slice(0, 8)}`
  )
}

function idOf(bytes: Uint8Array): string {
  if (bytes.length !== 0 && bytes.length !== ID_BYTES) {
    throw new RingdError('BAD_MESSAGE', `an id of ${bytes.length} bytes in a hello`)
  }
  return toHex(bytes)
}
