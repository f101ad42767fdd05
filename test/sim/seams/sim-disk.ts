// The disk of one simulated node, which outlives the node's processes: slow, forgetful in a power cut, faulty as told.
// Owns what is durable. A process works on a store that `open` gives it and that ends with `crash`.
// Invariants: a batch is durable, and seen by reads, from the moment in which its promise resolves; a batch under way
// at a crash is there as a whole or not at all; what others are told of the disk is what a reader of its bytes would
// find.
//
// A disk that once ran full has a hole in its log: what is written after it is acknowledged and readable, and gone at
// the next open, as LevelDB does it.
import { type Bytes, toHex, toText } from '../../../lib/bytes.js'
import type { Clock } from '../../../lib/clock.js'
import { checkEnvelope, decodeEnvelope } from '../../../lib/entry/envelope.js'
import { readU48 } from '../../../lib/entry/integers.js'
import { metaKey, parseDataKey } from '../../../lib/entry/keys.js'
import { type ErrorCode, RingdError } from '../../../lib/errors.js'
import type { MemberId } from '../../../lib/member.js'
import { below, type Random } from '../../../lib/random.js'
import { MemoryStore } from '../../../lib/storage/memory.js'
import type { Scan, ScanRange, Store, StoreWrite } from '../../../lib/storage/store.js'
import type { DiskImage, Observation, Stored } from '../run/observation.js'
import { heavyTail } from './memory-network.js'

export interface DiskOptions {
  /** How long a synced batch takes, drawn uniformly. 0 and 0: no time at all. */
  readonly syncMsMin: number
  readonly syncMsMax: number
  /** Share of batches that take longer, and how long as a rule. */
  readonly tailShare: number
  readonly tailMs: number
}

export const QUICK_DISK: DiskOptions = { syncMsMin: 0, syncMsMax: 0, tailShare: 0, tailMs: 0 }

export interface DiskDeps {
  /** The time of the run. */
  readonly clock: Clock
  readonly random: Random
  readonly observe: (observation: Observation) => void
}

/** Everything on a disk at one moment: stored keys, one character for each byte, and their values. */
export type DiskCopy = ReadonlyMap<string, Bytes>

/** The number of the last batch of a copy. */
export function batchOf(copy: DiskCopy): number {
  const bytes = copy.get(SEQUENCE_KEY)
  return bytes === undefined ? 0 : readU48(bytes, 2)
}

type Image = DiskImage['entries'] extends ReadonlyMap<string, infer E> ? Map<string, E> : never

const STORE_ID_KEY = nameOf(metaKey('store-id'))
const SEQUENCE_KEY = Buffer.from(metaKey('sequence')).toString('latin1')
const REOPEN_MS = 20

export class SimDisk {
  readonly #deps: DiskDeps
  readonly #options: DiskOptions
  /** What a process that opens the disk finds. */
  #durable = new Map<string, Bytes>()
  /** What the process that has it open reads. */
  #live = new MemoryStore()
  #process: DiskProcess | undefined
  #hasHole = false
  /** Added to every sync. */
  lagMs = 0
  isFull = false
  /** It has lost some of what its member acknowledged. */
  isDamaged = false
  /** How often a fault took something from it that had been acknowledged. */
  losses = 0
  /** The next batch fails; `isWritten` says whether it is on the disk all the same. */
  failNext: { readonly code: ErrorCode; readonly isWritten: boolean } | undefined

  constructor(deps: DiskDeps, options: DiskOptions = QUICK_DISK) {
    this.#deps = deps
    this.#options = options
  }

  /** Whose disk it is; undefined while it is new. */
  get member(): MemberId | undefined {
    const id = this.#durable.get(STORE_ID_KEY)
    return id && toText(id)
  }

  /** The store for a new process, whose clock is `clock`. */
  async open(clock: Clock): Promise<Store> {
    this.crash(false)
    await this.#recover()
    this.#process = new DiskProcess(this, clock)
    return this.#process
  }

  /** The process is gone. The batch under way is on the disk, or not. */
  crash(isWritten: boolean): void {
    const writes = this.#process?.end()
    this.#process = undefined
    if (writes !== undefined && isWritten) this.apply(writes)
  }

  copy(): DiskCopy {
    return new Map(this.#durable)
  }

  /** Puts an older copy back. Only while no process has it open. */
  restore(copy: DiskCopy): void {
    this.#lost()
    this.isDamaged = true
    this.#durable = new Map(copy)
    this.#hasHole = true
    this.#show()
  }

  /** Empties it. Only while no process has it open. */
  wipe(): void {
    this.#lost()
    this.isDamaged = false
    this.#durable = new Map()
    this.#hasHole = true
  }

  /** Flips one bit of the value of a random entry, which is lost by it. False when there is none. */
  flip(): boolean {
    const { random } = this.#deps
    const names = [...this.#durable.keys()].filter((name) => entryOf(name, this.#durable.get(name)!) !== undefined)
    const name = names[below(random, names.length)]
    if (name === undefined) return false
    const value = Buffer.from(this.#durable.get(name)!)
    const at = below(random, value.length)
    value[at] = value[at]! ^ (1 << below(random, 8))
    this.#lost()
    this.isDamaged = true
    this.#put([{ type: 'put', key: Buffer.from(name, 'latin1'), value }])
    this.#show()
    return true
  }

  // ---- for the process ----

  get live(): MemoryStore {
    return this.#live
  }

  after(delayMs: number, task: () => void): void {
    this.#deps.clock.after(delayMs, task)
  }

  syncMs(): number {
    const { syncMsMin, syncMsMax, tailShare, tailMs } = this.#options
    const { random } = this.#deps
    const isLate = tailShare > 0 && random.next() < tailShare
    const lateMs = isLate ? heavyTail(random) * tailMs : 0
    return this.lagMs + syncMsMin + (syncMsMax > 0 ? random.next() * (syncMsMax - syncMsMin) : 0) + lateMs
  }

  /** What the end of a sync says; undefined: it is durable. */
  commit(writes: readonly StoreWrite[]): RingdError | undefined {
    if (this.isFull) {
      this.#hasHole = true
      return new RingdError('DISK_FULL')
    }
    const failure = this.failNext
    this.failNext = undefined
    if (failure === undefined || failure.isWritten) this.apply(writes)
    return failure && new RingdError(failure.code)
  }

  async reopen(): Promise<void> {
    await this.#recover()
    // A new log and a new manifest need room, too; sometimes there is just enough.
    if (this.isFull && this.#deps.random.next() < 0.5) throw new RingdError('DISK_FULL')
  }

  apply(writes: readonly StoreWrite[]): void {
    const before = this.member
    this.#put(writes)
    const member = this.member
    if (before !== undefined && member !== before) {
      this.isDamaged = false
      this.#tell({ type: 'lost', at: this.#now(), member: before })
      this.#show()
    }
    if (member !== undefined) for (const write of writes) this.#told(member, write)
  }

  // ---- inside ----

  #put(writes: readonly StoreWrite[]): void {
    void this.#live.write(writes)
    if (this.#hasHole) return
    for (const write of writes) {
      const name = nameOf(write.key)
      if (write.type === 'put') this.#durable.set(name, Buffer.from(write.value))
      else this.#durable.delete(name)
    }
  }

  /** Reads see what is durable again. */
  async #recover(): Promise<void> {
    if (!this.#hasHole) return
    this.#hasHole = false
    this.#live = new MemoryStore()
    await this.#live.write(
      Array.from(this.#durable, ([name, value]) => ({ type: 'put', key: Buffer.from(name, 'latin1'), value }))
    )
    this.#show()
  }

  #lost(): void {
    const { member } = this
    this.losses += 1
    if (member !== undefined) this.#tell({ type: 'lost', at: this.#now(), member })
  }

  #show(): void {
    const { member } = this
    if (member === undefined) return
    const entries: Image = new Map()
    for (const [name, value] of this.#durable) {
      const entry = entryOf(name, value)
      if (entry !== undefined) entries.set(entry.key, { version: entry.version, value: entry.value })
    }
    this.#tell({ type: 'image', at: this.#now(), member, entries })
  }

  #told(member: MemberId, write: StoreWrite): void {
    const at = this.#now()
    if (write.type === 'del') {
      const parsed = parseDataKey(write.key)
      if (parsed !== undefined) this.#tell({ type: 'erased', at, member, key: toText(parsed.key) })
      return
    }
    const entry = entryOf(nameOf(write.key), write.value)
    if (entry !== undefined) this.#tell({ type: 'stored', at, member, ...entry })
  }

  #tell(observation: Observation): void {
    this.#deps.observe(observation)
  }

  #now(): number {
    return this.#deps.clock.elapsed()
  }
}

/** The store as one process has it. */
class DiskProcess implements Store {
  readonly #disk: SimDisk
  readonly #clock: Clock
  #isOpen = true
  #isOver = false
  #underWay: readonly StoreWrite[] | undefined

  constructor(disk: SimDisk, clock: Clock) {
    this.#disk = disk
    this.#clock = clock
  }

  get(key: Bytes): Bytes | undefined {
    this.#assertOpen()
    return this.#disk.live.get(key)
  }

  async write(writes: readonly StoreWrite[]): Promise<void> {
    this.#assertOpen()
    this.#underWay = writes.map((write) =>
      write.type === 'put'
        ? { type: 'put', key: Buffer.from(write.key), value: Buffer.from(write.value) }
        : { type: 'del', key: Buffer.from(write.key) }
    )
    await this.#wait(this.#disk.syncMs(), () => {
      const batch = this.#underWay!
      this.#underWay = undefined
      return this.#disk.commit(batch)
    })
  }

  scan(range: ScanRange): Scan {
    this.#assertOpen()
    return this.#disk.live.scan(range)
  }

  async reopen(): Promise<void> {
    this.#isOpen = false
    await this.#wait(REOPEN_MS, () => undefined)
    await this.#disk.reopen()
    this.#isOpen = true
  }

  async close(): Promise<void> {
    this.#isOpen = false
  }

  /** Nothing of it is heard any more. Returns the batch that was under way. */
  end(): readonly StoreWrite[] | undefined {
    this.#isOver = true
    this.#isOpen = false
    const writes = this.#underWay
    this.#underWay = undefined
    return writes
  }

  /** Time passes on the disk also while the process is paused; the process hears of the end when it runs. */
  #wait(ms: number, done: () => RingdError | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#disk.after(ms, () => {
        if (this.#isOver) return
        const error = done()
        this.#clock.defer(() => (error === undefined ? resolve() : reject(error)))
      })
    })
  }

  #assertOpen(): void {
    if (!this.#isOpen) throw new RingdError('STOPPED', 'the store is closed')
  }
}

/** The sound entry under a stored key; undefined when it is none, or damaged. */
function entryOf(name: string, value: Bytes): Omit<Stored, 'type' | 'at' | 'member'> | undefined {
  if (name[0] !== 'd') return undefined
  const parsed = parseDataKey(Buffer.from(name, 'latin1'))
  if (parsed === undefined || !checkEnvelope(parsed.key, value)) return undefined
  const { version, tombstone, expiresAtMs, value: stored } = decodeEnvelope(parsed.key, value)
  const text = tombstone ? undefined : toText(stored)
  return { key: toText(parsed.key), version: toHex(version), value: text, expiresAt: expiresAtMs }
}

function nameOf(bytes: Bytes): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
