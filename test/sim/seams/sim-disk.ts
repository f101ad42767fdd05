// The disk of one simulated node. It outlives the processes of the node. It can be slow, full or faulty, and it loses
// unsynced data in a power cut. A process uses the store that `open` returns, until `crash`.
// Invariants: a batch is durable, and reads see it, from the moment its promise resolves. A batch under way at a crash
// is on the disk as a whole or not at all. Observations report what a reader of the bytes of the disk would find.
//
// A disk that was full has a hole in its log: later writes are acknowledged and readable, and lost at the next open.
// LevelDB behaves in this way.
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
  /** How long a synced batch takes, drawn uniformly. Both 0: no time. */
  readonly syncMsMin: number
  readonly syncMsMax: number
  /** Share of batches that take longer. */
  readonly tailShare: number
  /** How much longer they usually take. */
  readonly tailMs: number
}

export const QUICK_DISK: DiskOptions = { syncMsMin: 0, syncMsMax: 0, tailShare: 0, tailMs: 0 }

export interface DiskDeps {
  /** The time of the run. */
  readonly clock: Clock
  readonly random: Random
  readonly observe: (observation: Observation) => void
}

/** The content of a disk at one moment. A stored key is a string with one character for each byte. */
export type DiskCopy = ReadonlyMap<string, Bytes>

/** The number of the last batch in a copy. */
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
  /** The contents that a process finds when it opens the disk. */
  #durable = new Map<string, Bytes>()
  /** The contents that the process with the open disk reads. */
  #live = new MemoryStore()
  #process: DiskProcess | undefined
  #hasHole = false
  #trials = 0
  /** Added to the time of every sync. */
  lagMs = 0
  isFull = false
  /** The disk has lost writes that its member acknowledged. */
  isDamaged = false
  /** How often a fault removed acknowledged writes from it. */
  losses = 0
  /** The next batch fails; `isWritten` says whether it is on the disk nevertheless. */
  failNext: { readonly code: ErrorCode; readonly isWritten: boolean } | undefined

  constructor(deps: DiskDeps, options: DiskOptions = QUICK_DISK) {
    this.#deps = deps
    this.#options = options
  }

  /** The member whose disk it is; undefined while it is new. */
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

  /** The process ends. `isWritten`: the batch under way is on the disk. */
  crash(isWritten: boolean): void {
    const writes = this.#process?.end()
    this.#process = undefined
    if (writes !== undefined && isWritten) this.apply(writes)
  }

  copy(): DiskCopy {
    return new Map(this.#durable)
  }

  /** Restores an older copy. Call it only while no process has the disk open. */
  restore(copy: DiskCopy): void {
    this.#reportLost()
    this.isDamaged = true
    this.#durable = new Map(copy)
    this.#hasHole = true
    this.#reportImage()
  }

  /** Empties the disk. Call it only while no process has it open. */
  wipe(): void {
    this.#reportLost()
    this.isDamaged = false
    this.#durable = new Map()
    this.#hasHole = true
  }

  /** Flips one bit of a random entry, which damages that entry. Returns false when there is no entry. */
  flip(): boolean {
    const { random } = this.#deps
    const names = [...this.#durable.keys()].filter((name) => entryOf(name, this.#durable.get(name)!) !== undefined)
    const name = names[below(random, names.length)]
    if (name === undefined) return false
    const value = Buffer.from(this.#durable.get(name)!)
    const at = below(random, value.length)
    value[at] = value[at]! ^ (1 << below(random, 8))
    this.#reportLost()
    this.isDamaged = true
    this.#put([{ type: 'put', key: Buffer.from(name, 'latin1'), value }])
    this.#reportImage()
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

  /** Ends the sync of a batch: undefined when it is durable, else its error. */
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

  /** Every second trial finds room on a full disk, so that opens fail, too. */
  tryReopen(): void {
    if (this.isFull && this.#trials++ % 2 === 0) throw new RingdError('DISK_FULL')
  }

  async reopen(): Promise<void> {
    await this.#recover()
    // A new log and a new manifest need space, too. Sometimes there is just enough.
    if (this.isFull && this.#deps.random.next() < 0.5) throw new RingdError('DISK_FULL')
  }

  apply(writes: readonly StoreWrite[]): void {
    const before = this.member
    this.#put(writes)
    const member = this.member
    if (before !== undefined && member !== before) {
      this.isDamaged = false
      this.#report({ type: 'lost', at: this.#now(), member: before })
      this.#reportImage()
    }
    if (member !== undefined) for (const write of writes) this.#reportWrite(member, write)
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

  /** From now on reads see only durable data. */
  async #recover(): Promise<void> {
    if (!this.#hasHole) return
    this.#hasHole = false
    this.#live = new MemoryStore()
    await this.#live.write(
      Array.from(this.#durable, ([name, value]) => ({ type: 'put', key: Buffer.from(name, 'latin1'), value }))
    )
    this.#reportImage()
  }

  #reportLost(): void {
    const { member } = this
    this.losses += 1
    if (member !== undefined) this.#report({ type: 'lost', at: this.#now(), member })
  }

  #reportImage(): void {
    const { member } = this
    if (member === undefined) return
    const entries: Image = new Map()
    for (const [name, value] of this.#durable) {
      const entry = entryOf(name, value)
      if (entry !== undefined) entries.set(entry.key, { version: entry.version, value: entry.value })
    }
    this.#report({ type: 'image', at: this.#now(), member, entries })
  }

  #reportWrite(member: MemberId, write: StoreWrite): void {
    const at = this.#now()
    if (write.type === 'del') {
      const parsed = parseDataKey(write.key)
      if (parsed !== undefined) this.#report({ type: 'erased', at, member, key: toText(parsed.key) })
      return
    }
    const entry = entryOf(nameOf(write.key), write.value)
    if (entry !== undefined) this.#report({ type: 'stored', at, member, ...entry })
  }

  #report(observation: Observation): void {
    this.#deps.observe(observation)
  }

  #now(): number {
    return this.#deps.clock.elapsed()
  }
}

/** The store that one process uses. */
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

  async tryReopen(): Promise<void> {
    this.#disk.tryReopen()
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

  /** Ends the process: its promises never settle. Returns the batch that was under way. */
  end(): readonly StoreWrite[] | undefined {
    this.#isOver = true
    this.#isOpen = false
    const writes = this.#underWay
    this.#underWay = undefined
    return writes
  }

  /** The disk works also while the process is paused; the process sees the result when it runs. */
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

/** The entry under a stored key; undefined when the key is none of an entry, or the entry is damaged. */
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
