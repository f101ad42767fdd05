// The identity of this process among others: what it says of itself when a peer asks, and what it does when another
// process runs under the same identity. Part of the node.
import { type Bytes, toHex } from '../bytes.js'
import type { Clock, Timer } from '../clock.js'
import type { Conditions } from '../conditions.js'
import { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { PeerId } from '../member.js'
import { INSTANCE_BYTES, type Instance, instanceStatement, isLater, twinOf } from '../network/instances.js'
import type { Network } from '../network/network.js'
import type { Me } from '../network/wire.js'
import type { Signer } from '../views/join.js'

export interface NodeIdentityDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly conditions: Pick<Conditions, 'set' | 'clear'>
  readonly network: Pick<Network, 'peerId' | 'instance'>
  readonly signer: Signer
  /** This process was started after another one that runs under its identity: it must end. */
  readonly onLater: (error: RingdError) => void
}

/** The condition ends when nobody has told of a second process for this long. */
const OVER_MS = 60_000
const LATER =
  'another process, which was started before, runs with the identity of this peer: this directory is a copy of its ' +
  'directory. Start it again to join as a new member, or end the other process first'

export class NodeIdentity {
  readonly #deps: NodeIdentityDeps
  #timer: Timer | undefined

  constructor(deps: NodeIdentityDeps) {
    this.#deps = deps
  }

  /** Throws BAD_MESSAGE. */
  async identify(challenge: Bytes): Promise<Me> {
    if (challenge.length !== INSTANCE_BYTES) throw new RingdError('BAD_MESSAGE', 'a challenge is an instance number')
    const { network, signer } = this.#deps
    const { id, startedAtMs } = network.instance
    const signature = await signer.sign(instanceStatement(network.instance, toHex(challenge)))
    return { instance: Buffer.from(id, 'hex'), startedAtMs, signature }
  }

  /** A peer tells that another process runs under this identity. What its key has not signed is ignored. */
  async meetTwin(me: Me): Promise<void> {
    const { network, signer, log, onLater } = this.#deps
    const twin = await twinOf(me, network.instance, network.peerId, (...claim) => signer.verify(...claim))
    if (twin === undefined)
      return log.warn({}, 'a peer tells of a second process of this peer without a proof; ignored')
    this.#note(network.peerId, distance(network.instance, twin))
    if (isLater(network.instance, twin)) onLater(new RingdError('IDENTITY_TWICE', LATER))
  }

  /** Two processes run under the identity of another peer. */
  sawTwins(peerId: PeerId): void {
    this.#note(peerId, 'it is a copied data directory or a cloned machine: the later one ends')
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #note(peerId: PeerId, what: string): void {
    const { conditions, clock } = this.#deps
    conditions.set('identity-twice', `two processes run with the identity of peer ${peerId}; ${what}`)
    this.#timer?.cancel()
    this.#timer = clock.after(OVER_MS, () => conditions.clear('identity-twice'))
  }
}

function distance(own: Instance, twin: Instance): string {
  const seconds = Math.round(Math.abs(own.startedAtMs - twin.startedAtMs) / 1000)
  return `the other one was started ${seconds} s ${isLater(twin, own) ? 'later' : 'before'}`
}
