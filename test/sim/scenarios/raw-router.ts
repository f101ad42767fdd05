// A router that a scenario plays by hand: it sends each message of a round to one owner, when the scenario says so.
// Versions are named by their ms after the moment when it was made.
import { type Envelope, encodeEnvelope } from '../../../lib/entry/envelope.js'
import { makeVersion, type Version, versionMs } from '../../../lib/entry/version.js'
import { RingdError } from '../../../lib/errors.js'
import type { Answer, Body } from '../../../lib/network/network.js'
import type { PrepareReply } from '../../../lib/network/wire.js'
import type { ScenarioCluster } from './scenario-cluster.js'

const TIMEOUT_MS = 5000

/** What an owner tells of one operation: `30* 20 ?`, each version with a star when it is shown. */
export type Told = string

export interface RawEntry {
  readonly at: number
  /** Adopted: the first version of the operation. */
  readonly origin?: number
  readonly value: string
}

export class RawRouter {
  readonly #cluster: ScenarioCluster
  readonly #startMs: number
  readonly #member: Uint8Array

  /** `letter` tells the versions of two raw routers apart. */
  constructor(cluster: ScenarioCluster, letter = 'r') {
    this.#cluster = cluster
    this.#startMs = cluster.ring.clock.now()
    this.#member = new Uint8Array(8).fill(letter.charCodeAt(0))
  }

  version(at: number): Version {
    return makeVersion(this.#startMs + at, 0, this.#member)
  }

  /** Asks the owners for the ballot. Resolves with the number of them that have promised. */
  async prepare(owners: readonly string[], key: string, at: number): Promise<number> {
    let promised = 0
    for (const owner of owners) {
      const { preparedKey } = await this.#ask(owner, this.#prepareBody(owner, key, at, []))
      if (preparedKey !== undefined && preparedKey.refusedBy === undefined) promised += 1
    }
    return promised
  }

  /** A prepare that is not waited for. */
  begin(owner: string, key: string, at: number): { answer: Answer | undefined } {
    const kept: { answer: Answer | undefined } = { answer: undefined }
    void this.#send(owner, this.#prepareBody(owner, key, at, [])).then((answer) => {
      kept.answer = answer
    })
    return kept
  }

  /** What the owner tells of the operations with these first versions. */
  async asks(owner: string, key: string, at: number, origins: readonly number[]): Promise<readonly Told[]> {
    const { preparedKey } = await this.#ask(owner, this.#prepareBody(owner, key, at, origins))
    this.#cluster.reached(preparedKey !== undefined && preparedKey.refusedBy === undefined, `${owner} has promised`)
    return preparedKey!.tellings.map((telling) => this.#told(telling))
  }

  /** Sends the entry. Resolves with the number of owners that hold it now. */
  async write(owners: readonly string[], key: string, entry: RawEntry): Promise<number> {
    let taken = 0
    for (const owner of owners) {
      const view = this.#cluster.viewNumber(this.#via(owner))
      const envelope = this.#envelope(key, entry)
      const { written } = await this.#ask(owner, { write: { view, key: Buffer.from(key), envelope } })
      if (written !== undefined && written.newerVersion === undefined && written.promised === undefined) taken += 1
    }
    return taken
  }

  #envelope(key: string, { at, origin, value }: RawEntry): Envelope {
    const version = this.version(at)
    const first = origin === undefined ? undefined : this.version(origin)
    return encodeEnvelope(Buffer.from(key), { version, origin: first, tombstone: false, value: Buffer.from(value) })
  }

  #prepareBody(owner: string, key: string, at: number, origins: readonly number[]): Body {
    const view = this.#cluster.viewNumber(this.#via(owner))
    const asked = origins.map((origin) => this.version(origin))
    return { prepareKey: { view, key: Buffer.from(key), ballot: this.version(at), origins: asked } }
  }

  #told({ versions, isUnknown }: PrepareReply['tellings'][number]): Told {
    const names = versions.map((told) => {
      const ms = versionMs(told.version as Version) - this.#startMs
      return `${ms}${told.isShown ? '*' : ''}`
    })
    return [...names, ...(isUnknown ? ['?'] : [])].join(' ')
  }

  /** The answer, or no field when the owner refuses. */
  async #ask(owner: string, body: Body): Promise<Body> {
    const answer = await this.#cluster.ring.wait(this.#send(owner, body))
    return answer instanceof RingdError ? {} : answer
  }

  #send(owner: string, body: Body): Promise<Answer> {
    const { network } = this.#cluster.node(this.#via(owner))
    return new Promise((resolve) => network.request(owner, 'operations', body, TIMEOUT_MS, resolve))
  }

  /** The node whose link is used. */
  #via(owner: string): string {
    return owner === 'n1' ? 'n2' : 'n1'
  }
}
