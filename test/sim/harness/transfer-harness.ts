// Replica actors of several peers, joined by a network that carries pull streams unchanged, or changed by the test.
import type { Paced } from '../../../lib/actors/migration/pace.js'
import { headOf, PULLED, toFrame } from '../../../lib/actors/migration/pull-frames.js'
import { servePull } from '../../../lib/actors/migration/source-stream.js'
import { sleep } from '../../../lib/clock.js'
import type { Compression } from '../../../lib/compression.js'
import { RingdError } from '../../../lib/errors.js'
import type { BlockFrame, BlockStream, Link, Network } from '../../../lib/network/network.js'
import type { PullHead } from '../../../lib/network/wire.js'
import { GuardedStore } from '../../../lib/storage/guarded-store.js'
import { blockPair } from '../seams/block-pair.js'
import { syncCompression } from '../seams/sync-compression.js'
import { VirtualClock } from '../seams/virtual-clock.js'
import { ReplicaHarness, stored } from './replica-harness.js'
import { idOf, linkOf } from './ring-views.js'

/** A frame of a source, decoded. */
export interface SentFrame {
  readonly head: PullHead
  readonly body: Uint8Array
}

/** What arrives instead of the frame; an error breaks the stream. `count`: the frames of sources so far, from 1. */
type Tamper = (frame: SentFrame, to: string, count: number) => SentFrame | RingdError

export class TransferHarness {
  readonly clock = new VirtualClock()
  /** The replica of each peer, by letter. Its own member id does not matter here. */
  readonly replicas = new Map<string, ReplicaHarness>()
  /** The asks so far: the letter of the source and what was asked for, such as `b entries`. */
  readonly asked: string[] = []
  /** What the parts hold that have arrived, and what they took on the wire; bytes. */
  partBytes = 0
  wireBytes = 0
  compression: Compression = syncCompression
  readonly unlinked = new Set<string>()
  tamper: Tamper = (frame) => frame
  /** The pace of all sources. */
  sourcePace: Paced | undefined
  readonly network: Network
  #frames = 0

  constructor(letters: string) {
    for (const letter of letters) this.replicas.set(letter, new ReplicaHarness(this.clock))
    const openBlocks: Network['openBlocks'] = async (to) => this.#open(to.slice(-1))
    const link: Network['link'] = (peerId) => {
      const letter = peerId.slice(-1)
      return this.unlinked.has(letter) ? undefined : this.#link(letter)
    }
    this.network = { openBlocks, link } as Partial<Network> as Network
  }

  replica(letter: string): ReplicaHarness {
    return this.replicas.get(letter)!
  }

  /** Writes entries directly to the disk of a peer, and has them counted. `ms` is the time in their version. */
  async fill(letter: string, keys: readonly string[], ms: number, value: string): Promise<void> {
    const replica = this.replica(letter)
    const entries = keys.map((key) => ({ dataKey: stored(key), envelope: replica.envelope(key, ms, value) }))
    await replica.disk.disk.write(
      entries.map(({ dataKey, envelope }) => ({ type: 'put', key: dataKey, value: envelope }))
    )
    await replica.slotStats.countAll(new GuardedStore(replica.disk))
  }

  /** Returns the asks so far, and forgets them. */
  takeAsked(): string[] {
    return this.asked.splice(0)
  }

  #link(letter: string): Link {
    return { peerId: `peer-${letter}`, ringId: '', storeId: idOf(letter) }
  }

  #open(letter: string): BlockStream {
    if (this.unlinked.has(letter)) throw new RingdError('UNREACHABLE')
    const { opened, served } = blockPair({
      opener: linkOf('d'),
      server: this.#link(letter),
      delay: () => sleep(this.clock, 1),
      toServer: (frame) => this.#note(frame, letter),
      toOpener: (frame) => this.#pass(frame, letter)
    })
    const { clock, compression, sourcePace: pace } = this
    const replica = this.replica(letter).ref
    servePull({ clock, replica, compression, refusal: () => undefined, pace }, served)
    return opened
  }

  /** A frame of the puller. */
  #note(frame: BlockFrame, letter: string): BlockFrame {
    const { ask } = headOf(frame)
    if (ask !== undefined) this.asked.push(`${letter} ${PULLED[ask.what]}`)
    return frame
  }

  /** A frame of the source. */
  #pass(frame: BlockFrame, letter: string): BlockFrame {
    this.#frames += 1
    const changed = this.tamper({ head: headOf(frame), body: frame.body }, letter, this.#frames)
    if (changed instanceof RingdError) throw changed
    if (changed.head.part !== undefined) {
      this.partBytes += changed.head.part.holds || changed.body.length
      this.wireBytes += changed.body.length
    }
    return toFrame(changed.head, changed.body)
  }
}
