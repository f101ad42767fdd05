// Plans what a batch does to entries: the merge rule, healing, deleting. Part of the storage actor.
// Invariants: a newer entry is never replaced by an older one; what is damaged gives way, but that is no reason to
// acknowledge anything; an entry is dropped only while this member has given its slot up.
// Source: rule 5 of lib/views/README.md.
import { asBuffer, type Bytes } from '../bytes.js'
import { checkEnvelope, compareVersions } from '../entry/envelope.js'
import { DATA_KEY_OVERHEAD, dataKey } from '../entry/keys.js'
import { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import { slotOf } from '../ring/slots.js'
import type { GuardedStore } from '../storage/guarded-store.js'
import type { EntryReader } from './entry-reader.js'
import type { GroupPlan } from './group-plan.js'

export interface EntryWriterDeps {
  readonly store: GuardedStore
  readonly reader: EntryReader
  readonly log: Logger
  /** This member gave the slot up and does not own it again. */
  readonly isRetired: (slot: number) => boolean
}

export class EntryWriter {
  readonly #deps: EntryWriterDeps

  constructor(deps: EntryWriterDeps) {
    this.#deps = deps
  }

  /**
   * Plans the entry unless a newer one is there, which it returns then. What is damaged gives way, but the answer is
   * BAD_ENTRY: it may have been newer.
   */
  apply(plan: GroupPlan, key: Bytes, stored: Bytes, envelope: Bytes): Bytes | RingdError | undefined {
    const name = nameOf(stored)
    const planned = plan.planned(name)
    const before = planned === undefined ? this.#deps.store.get(stored) : planned.after
    const sound = this.#deps.reader.sound(key, before)
    if (sound !== undefined) {
      const order = compareVersions(sound, envelope)
      if (order > 0) return sound
      if (order === 0) return undefined
    }
    plan.put(name, stored, before, envelope)
    return before === undefined || sound !== undefined ? undefined : new RingdError('BAD_ENTRY')
  }

  /** As `apply`, but what is damaged stays: it may have been newer than what comes, and a quorum is asked for it. */
  repair(plan: GroupPlan, key: Bytes, stored: Bytes, envelope: Bytes): void {
    const planned = plan.planned(nameOf(stored))
    const before = planned === undefined ? this.#deps.store.get(stored) : planned.after
    const isDamaged = before !== undefined && this.#deps.reader.sound(key, before) === undefined
    if (!isDamaged) this.apply(plan, key, stored, envelope)
  }

  /** What the other owners hold takes the place of a damaged entry; nothing, when they hold nothing. */
  heal(plan: GroupPlan, key: Bytes, envelope: Bytes | undefined): void {
    const stored = dataKey(slotOf(key), key)
    const name = nameOf(stored)
    const before = plan.planned(name) === undefined ? this.#deps.store.get(stored) : undefined
    if (before === undefined || checkEnvelope(key, before)) return
    if (envelope === undefined) plan.drop(name, stored, before)
    else plan.put(name, stored, before, envelope)
    this.#deps.log.info({ slot: slotOf(key), isGone: envelope === undefined }, 'damaged entry healed')
  }

  /** Unless this member owns the slot again: then the entry is what it owns. */
  dropRetired(plan: GroupPlan, stored: Bytes): void {
    if (!this.#deps.isRetired(slotOf(stored.subarray(DATA_KEY_OVERHEAD)))) return
    const before = this.#deps.store.get(stored)
    if (before !== undefined) plan.drop(nameOf(stored), stored, before)
  }
}

function nameOf(stored: Bytes): string {
  return asBuffer(stored).toString('latin1')
}
