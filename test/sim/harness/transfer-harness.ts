// Replica actors of several peers, joined by a network that carries transfers unchanged, or changed by the test.
import type { ReplicaMessage } from '../../../lib/actors/replica/replica-messages.js'
import { RingdError } from '../../../lib/errors.js'
import type { Answer, Body, Network } from '../../../lib/network/network.js'
import { VirtualClock } from '../seams/virtual-clock.js'
import { ReplicaHarness, stored } from './replica-harness.js'
import { idOf, linkOf } from './ring-views.js'

type Tamper = (answer: Body, to: string, count: number) => Answer

export class TransferHarness {
  readonly clock = new VirtualClock()
  /** The replica of each peer, by letter. Its own member id does not matter here. */
  readonly replicas = new Map<string, ReplicaHarness>()
  /** The requests so far: the letter of the peer and the kind, such as `b pull`. */
  readonly asked: string[] = []
  readonly unlinked = new Set<string>()
  /** Changes the `count`th answer (from 1). */
  tamper: Tamper = (answer) => answer
  readonly network: Network

  constructor(letters: string) {
    for (const letter of letters) this.replicas.set(letter, new ReplicaHarness(this.clock))
    const request: Network['request'] = (to, _stream, body, _timeoutMs, done) => this.#request(to, body, done)
    const link: Network['link'] = (peerId) => {
      const letter = peerId.slice(-1)
      return this.unlinked.has(letter) ? undefined : { peerId, ringId: '', storeId: idOf(letter) }
    }
    this.network = { request, link } as Partial<Network> as Network
  }

  replica(letter: string): ReplicaHarness {
    return this.replicas.get(letter)!
  }

  /** Writes entries directly to the disk of a peer. `ms` is the time in their version. */
  async fill(letter: string, keys: readonly string[], ms: number, value: string): Promise<void> {
    const replica = this.replica(letter)
    const entries = keys.map((key) => ({ dataKey: stored(key), envelope: replica.envelope(key, ms, value) }))
    await replica.disk.disk.write(
      entries.map(({ dataKey, envelope }) => ({ type: 'put', key: dataKey, value: envelope }))
    )
  }

  /** Returns the requests so far, and forgets them. */
  takeAsked(): string[] {
    return this.asked.splice(0)
  }

  #request(to: string, body: Body, done: (answer: Answer) => void): void {
    const letter = to.slice(-1)
    this.asked.push(`${letter} ${body.pull !== undefined ? (body.pull.versionsOnly ? 'versions' : 'pull') : 'fetch'}`)
    const count = this.asked.length
    const reply = (field: 'pullBlock' | 'fetched') => (result: unknown) => {
      const answer = result instanceof RingdError ? result : this.tamper({ [field]: result } as Body, letter, count)
      this.clock.after(1, () => done(answer))
    }
    if (this.unlinked.has(letter)) this.clock.defer(() => done(new RingdError('UNREACHABLE')))
    else if (body.pull !== undefined) {
      const { view, config, ranges, after, versionsOnly } = body.pull
      const rest = { view, config, ranges, after, versionsOnly, from: linkOf('d') }
      this.replica(letter).ref.tell({ type: 'pull', ...rest, reply: reply('pullBlock') } as ReplicaMessage)
    } else {
      const { view, config, keys } = body.fetch!
      const rest = { view, config, keys, from: linkOf('d') }
      this.replica(letter).ref.tell({ type: 'fetch', ...rest, reply: reply('fetched') } as ReplicaMessage)
    }
  }
}
