// Takes the writes and the prepares of routers, this peer's own and those of other peers, and what heals an entry. Part
// of the replica.
// Invariants: what is wrong with a message is found before the fence, which may hold it. Both are decided in their turn
// among the writes, and answered when what they changed is on disk.
// Source: rules A3 and A4 of lib/views/README.md.
import type { Bytes } from '../../bytes.js'
import { boundFault, faultOf, versionFault } from '../../entry/entry-format.js'
import { checkEnvelope, type Envelope, isTombstone, versionOf } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import { dataKey } from '../../entry/keys.js'
import { highestBefore, type PurgeBounds } from '../../entry/purge-bounds.js'
import { isOwnerAnswer, type Resolution } from '../../entry/read-resolution.js'
import { barOf, judgeWrite } from '../../entry/write-rule.js'
import { RingdError, toRingdError, ValueLarger } from '../../errors.js'
import { KEY_BYTES_MAX, ORIGINS_MAX } from '../../limits.js'
import { slotOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { EntryMemory } from './entry-memory.js'
import type { EntryReader } from './entry-reader.js'
import type { EntryWriter } from './entry-writer.js'
import type { Fence } from './fence.js'
import type { FencedMessage } from './fenced-message.js'
import type { FreeSpace } from './free-space.js'
import type { Promises } from './promises.js'
import type { ReadRequests } from './read-requests.js'
import type { PrepareMessage, PrepareResult, WriteMessage, WriteResult } from './replica-messages.js'
import type { SlotSeals } from './slot-seals.js'
import type { WriteBatch } from './write-batch.js'
import type { WriteQueue } from './write-queue.js'

export interface WriteRequestsDeps {
  readonly hlc: HybridClock
  readonly fence: Pick<Fence<FencedMessage>, 'admits' | 'isReleased'>
  readonly space: Pick<FreeSpace, 'admit'>
  readonly queue: Pick<WriteQueue, 'add' | 'isFull'>
  readonly writer: Pick<EntryWriter, 'apply' | 'heal' | 'plannedName' | 'planned'>
  readonly reader: Pick<EntryReader, 'get' | 'check'>
  readonly reads: Pick<ReadRequests, 'withBound'>
  readonly bounds: PurgeBounds
  readonly seals: Pick<SlotSeals, 'sealedBefore'>
  readonly promises: Promises
  readonly memory: EntryMemory
  /** Runs a read; what it throws is returned. STORE_FAILED while the store is being opened again. */
  readonly guard: <T>(read: () => T) => T | RingdError
}

const SECOND_MS = 1000
/** A promise keeps about so much of the disk and of memory beside its key. */
const PROMISE_BYTES = 64

/** Serves the `write` and `prepare` messages of the replica. */
export class WriteRequests {
  readonly #deps: WriteRequestsDeps

  constructor(deps: WriteRequestsDeps) {
    this.#deps = deps
  }

  write(message: WriteMessage): void {
    const { key, envelope, from, repair, confirmedBelow, reply } = message
    const { hlc, fence, space, queue, writer } = this.#deps
    // Before the fence, which may hold the message.
    const fault = faultOf(key, envelope, hlc) ?? boundFault(confirmedBelow, hlc)
    if (fault !== undefined) return reply(fault)
    const slot = slotOf(key)
    if (!fence.admits(message, slot)) return
    if (from !== undefined && !checkEnvelope(key, envelope)) return reply(new RingdError('BAD_ENTRY'))
    hlc.accept(versionOf(envelope))
    const purpose = repair === true || isTombstone(envelope) ? 'mending' : 'value'
    const refusal = space.admit(purpose, key.length + envelope.length)
    if (refusal !== undefined) return reply(this.#answerWhenFull(refusal, slot, message))
    if (queue.isFull) return reply(new RingdError('OVERLOADED', 'the disk is behind'))
    const storedKey = dataKey(slot, key)
    const origin = repair === true ? 'owner' : 'client'
    const addTo = (batch: WriteBatch) => {
      const result = writer.apply(batch, storedKey, envelope, origin, confirmedBelow)
      return () => reply(result)
    }
    queue.add({ bytes: key.length + envelope.length, addTo, fail: reply })
  }

  /**
   * A write that is stored here already, or is older than what is, needs no room. Without this a read repair would fail
   * on a full disk although a quorum holds the entry.
   */
  #answerWhenFull(refusal: RingdError, slot: number, { key, envelope }: WriteMessage): WriteResult | RingdError {
    const storedKey = dataKey(slot, key)
    const held = this.#deps.guard(() => this.#deps.reader.get(key, storedKey))
    if (held === undefined || held instanceof RingdError) return refusal
    const verdict = judgeWrite(envelope, held, undefined)
    if (verdict === 'enters') return refusal
    this.#deps.memory.show(storedKey, envelope)
    if (verdict === 'here') return undefined
    return { newer: versionOf(held), had: this.#deps.memory.hasHad(storedKey, envelope) }
  }

  prepare(message: PrepareMessage): void {
    const { key, ballot, origins, reply } = message
    const { hlc, fence, space, queue } = this.#deps
    if (key.length > KEY_BYTES_MAX) return reply(new RingdError('KEY_TOO_LARGE'))
    if (origins.length > ORIGINS_MAX)
      return reply(new RingdError('BAD_MESSAGE', 'a round asks about too many attempts'))
    const fault = versionFault(ballot, hlc)
    if (fault !== undefined) return reply(fault)
    const slot = slotOf(key)
    if (!fence.admits(message, slot)) return
    hlc.accept(ballot)
    // Without room for a promise nothing could be deleted, which makes room.
    const bytes = key.length + PROMISE_BYTES
    const refusal = space.admit('mending', bytes)
    if (refusal !== undefined) return reply(refusal)
    if (queue.isFull) return reply(new RingdError('OVERLOADED', 'the disk is behind'))
    const addTo = (batch: WriteBatch) => {
      const result = this.#promise(batch, slot, message)
      return () => reply(result)
    }
    queue.add({ bytes, addTo, fail: reply })
  }

  /** Decides in its turn among the writes. */
  #promise(batch: WriteBatch, slot: number, message: PrepareMessage): PrepareResult | RingdError {
    const { key, ballot, origins, bytesMax = Number.POSITIVE_INFINITY } = message
    const { writer, promises, memory, reads, reader, bounds, seals } = this.#deps
    // It may have been released while the message waited for its turn.
    if (this.#deps.fence.isReleased(slot)) return new RingdError('NOT_OWNER')
    const storedKey = dataKey(slot, key)
    const name = writer.plannedName(storedKey)
    let held: Envelope | undefined
    try {
      held = writer.planned(batch, name, storedKey)
      if (held !== undefined) reader.check(key, held)
    } catch (thrown) {
      return toRingdError(thrown)
    }
    const promised = promises.of(batch, name)
    const closedBelow = Math.max(bounds.closing[slot]!, seals.sealedBefore(slot))
    const bound = closedBelow > 0 ? highestBefore(closedBelow) : undefined
    const refusedBy = barOf(ballot, held && versionOf(held), promised, bound)
    if (refusedBy !== undefined) return { refusedBy }
    if (held !== undefined && held.length > bytesMax) return new ValueLarger(held.length)
    if (promised === undefined && promises.isFull) return new RingdError('OVERLOADED', 'too many rounds are promised')
    promises.promise(batch, name, storedKey, ballot)
    const tellings = origins.map((origin) => memory.tell(storedKey, origin, held, closedBelow * SECOND_MS))
    if (held !== undefined) memory.show(storedKey, held)
    const told = reads.withBound(slot, held)
    return isOwnerAnswer(told) ? { ...told, tellings } : { envelope: told, closed: 0, tellings }
  }

  /** The resolution of the owners takes the place of an entry. What they answered comes from other peers too. */
  heal(key: Bytes, resolution: Resolution, reply: Reply<undefined>): void {
    const { envelope } = resolution
    const { hlc, queue, writer } = this.#deps
    const fault = envelope && faultOf(key, envelope, hlc)
    if (fault !== undefined) return reply(fault)
    if (envelope !== undefined && !checkEnvelope(key, envelope)) return reply(new RingdError('BAD_ENTRY'))
    const addTo = (batch: WriteBatch) => {
      writer.heal(batch, key, resolution)
      return () => reply(undefined)
    }
    queue.add({ bytes: 0, addTo, fail: reply })
  }
}
