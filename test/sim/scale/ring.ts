// Rings of hundreds of whole nodes in one process, for measurements. All first members found the ring at once; others
// join. The nodes run all actors of the product. Network and disk are lean, time is virtual, random values come from
// one seed. The facts of the first members are written and read once, by the product's code, and shared by all nodes.
// Their tokens are random, one in each of 64 equal ranges; a joiner would choose its tokens.
import { createHash } from 'node:crypto'
import { readMembership, STORE_ID, writeRecord, writeView } from '../../../lib/actors/membership/membership-records.js'
import { type Bytes, fromText, toHex } from '../../../lib/bytes.js'
import { type Clock, sleep } from '../../../lib/clock.js'
import { metaKey } from '../../../lib/entry/keys.js'
import { type Logger, silent } from '../../../lib/logger.js'
import type { Member } from '../../../lib/member.js'
import { type Metrics, noMetrics } from '../../../lib/metrics.js'
import { RingNode } from '../../../lib/node/node.js'
import { readStoreIdentity, type StoreIdentity } from '../../../lib/node/store-identity.js'
import { below, type Random } from '../../../lib/random.js'
import { ownerTable } from '../../../lib/ring/owners.js'
import { SLOTS } from '../../../lib/ring/slots.js'
import { TOKENS_PER_WEIGHT } from '../../../lib/ring/tokens.js'
import { MemoryStore } from '../../../lib/storage/memory.js'
import type { MetaWrite } from '../../../lib/storage/meta.js'
import type { StoreWrite } from '../../../lib/storage/store.js'
import type { MemberRecord, Signer } from '../../../lib/views/join.js'
import { syncCompression } from '../seams/sync-compression.js'
import { type NodeClock, VirtualClock } from '../seams/virtual-clock.js'
import { seeded } from '../sim-node.js'
import { ScaleHub, type ScaleNetwork } from './network.js'

const REPLICAS = 3
/** Nobody verifies the records that all members have from the beginning. */
const SIGNED = Uint8Array.of(1)
/** The time of one synced write on a good disk. Messages that arrive meanwhile form one batch, as in a real node. */
const FSYNC_MS = 5
/** Members start within this time, so that their timers do not run at the same moment. */
const START_SPREAD_MS = 2000
/** Earlier starts of each member: their records must have lower sequence numbers than the records of this start. */
const STARTS = 1

export interface ScaleNode {
  /** How many members it marks as down. */
  readonly down: { readonly members: number }
  readonly node: RingNode
  readonly network: ScaleNetwork
  readonly clock: NodeClock
}

export class ScaleRing {
  readonly clock = new VirtualClock()
  readonly hub = new ScaleHub(this.clock)
  readonly nodes: ScaleNode[] = []
  readonly #random: Random
  readonly #log: Logger

  constructor(seed: number, log: Logger = silent) {
    this.#random = seeded(seed)
    this.#log = log
  }

  /** Makes a ring of `count` members that are linked, settled and idle. */
  async found(count: number): Promise<void> {
    const members = Array.from({ length: count }, (_, index) => this.#newMember(index))
    const founding = { ringId: toHex(this.#random.bytes(16)), replicas: REPLICAS }
    const ready = readyTables(members)
    const sequence = STARTS * 2 ** 20 + 1
    const record = ({ storeId, peerId }: Member, index: number): MemberRecord => {
      return {
        storeId,
        peerId,
        sequence,
        addresses: [`${addressOf(index)}/p2p/${peerId}`],
        ready: ready[index]!,
        signature: SIGNED
      }
    }
    const writes = [
      writeView({ number: 1, joins: members, removals: [], founding }),
      ...members.map(record).map(writeRecord)
    ]
    const durable = await readMembership(readerOf(writes))
    this.hub.isStill = true
    for (const [index, member] of members.entries()) {
      const own = durable.ring.records.get(member.storeId)!
      // The first announcement raises the sequence to that of the record which the others already have.
      const records = new Map(durable.ring.records).set(member.storeId, { ...own, sequence: sequence - 1 })
      const ring = { ...durable.ring, records }
      const membership = { ...durable, ring, member, ready: own.ready, starts: STARTS }
      await this.#start(index, { ...(await this.#newFacts(member.storeId)), membership }, [])
      this.nodes.at(-1)!.network.introduce(founding.ringId, member.storeId)
      await this.clock.advance(START_SPREAD_MS / count)
    }
    this.hub.linkAll(this.nodes.map(({ network }) => network))
    await this.clock.settle()
    this.hub.isStill = false
  }

  /** Starts `count` new peers. Each knows the address of one member. */
  async join(count: number): Promise<void> {
    for (let joined = 0; joined < count; joined++) {
      const door = this.nodes[below(this.#random, this.nodes.length - joined)]!
      await this.#start(this.nodes.length, await this.#newFacts(undefined), door.network.addresses())
    }
  }

  /** Like pulling the cable of a random member: no peer notices. Returns the others. */
  silence(): ScaleNode[] {
    const at = below(this.#random, this.nodes.length)
    const { clock, network } = this.nodes[at]!
    clock.kill()
    network.vanish()
    return this.nodes.filter((_, other) => other !== at)
  }

  async #start(index: number, identity: StoreIdentity, join: readonly string[]): Promise<void> {
    const clock = this.clock.forNode()
    const random = seeded(below(this.#random, 2 ** 31))
    const peerId = peerIdOf(index)
    const network = this.hub.network(peerId, addressOf(index))
    const store = new SlowStore(clock)
    const down = { members: 0 }
    const metrics = countingDown(down)
    const parts = { store, identity, network, compression: syncCompression, signer: signerOf(peerId) }
    const deps = { clock, random, log: this.#log, metrics, ...parts }
    const node = new RingNode(deps, { join, zone: '', weight: 1, replicas: REPLICAS, version: 'sim' })
    this.nodes.push({ node, network, clock, down })
    void node.start()
    await this.clock.settle()
  }

  async #newFacts(storeId: string | undefined): Promise<StoreIdentity> {
    const store = new MemoryStore()
    if (storeId !== undefined) {
      await store.write([{ type: 'put', key: metaKey(STORE_ID), value: fromText(storeId) }])
    }
    return readStoreIdentity(store, this.clock, this.#random)
  }

  #newMember(index: number): Member {
    const stretch = SLOTS / TOKENS_PER_WEIGHT
    const tokens = Array.from({ length: TOKENS_PER_WEIGHT }, (_, at) => at * stretch + below(this.#random, stretch))
    return { storeId: toHex(this.#random.bytes(16)), peerId: peerIdOf(index), tokens, zone: '', weight: 1 }
  }
}

/** Metrics that keep only the gauge of members that are down. */
function countingDown(down: { members: number }): Metrics {
  const set = (members: number) => {
    down.members = members
  }
  const { gauge } = noMetrics
  return {
    ...noMetrics,
    gauge: (name, ...rest) => (name === 'ringd_detector_down_members' ? { set } : gauge(name, ...rest))
  }
}

/** A disk that needs FSYNC_MS to sync. It keeps no records of other members, because no node starts again here. */
class SlowStore extends MemoryStore {
  readonly #clock: Clock

  constructor(clock: Clock) {
    super()
    this.#clock = clock
  }

  override async write(writes: readonly StoreWrite[]): Promise<void> {
    await sleep(this.#clock, FSYNC_MS)
    await super.write(writes.filter(({ key }) => !isRecord(key)))
  }
}

const RECORD_KEY = metaKey('record/')

function isRecord(key: Bytes): boolean {
  return RECORD_KEY.every((byte, at) => key[at] === byte)
}

/** Readiness tables: each member is ready for view 1 in the slots that it owns. */
function readyTables(members: readonly Member[]): Uint32Array[] {
  const { sets, ofSlot } = ownerTable(members, REPLICAS)
  const tables = new Map(members.map(({ storeId }) => [storeId, new Uint32Array(SLOTS)]))
  ofSlot.forEach((set, slot) => {
    for (const owner of sets[set]!) tables.get(owner)![slot] = 1
  })
  return [...tables.values()]
}

function readerOf(writes: readonly MetaWrite[]) {
  const identity = new Map(writes.map(({ name, value }) => [name, value]))
  return {
    get: (name: string) => identity.get(name),
    names: async (prefix: string) => [...identity.keys()].filter((name) => name.startsWith(prefix))
  }
}

/** Peer ids have the length of real ones. */
function peerIdOf(index: number): string {
  return `12D3KooW${createHash('sha256').update(`peer/${index}`).digest('hex').slice(0, 44)}`
}

function addressOf(index: number): string {
  return `/ip4/10.0.${index >> 8}.${index & 0xff}/tcp/4710`
}

/** Signatures of the real length that only name the signer. */
function signerOf(peerId: string): Signer {
  const sign = (id: string, bytes: Bytes) => createHash('sha512').update(id).update(bytes).digest()
  return {
    sign: async (bytes) => sign(peerId, bytes),
    verify: async (id, bytes, signature) => sign(id, bytes).equals(signature)
  }
}
