// One operation under way at a router, and what its phase has heard so far.
import { type Entry, type KeySet, NONE, type Version, type Write } from './entries.js'
import type { OperationKind } from './operations.js'
import type { Attempt, PrepareAnswer, ReadAnswer, WriteAnswer } from './owner.js'

/**
 * `read`: one key is read. `snapshot`: several keys are read. `prepare` and `write`: the two halves of a round, or the
 * write alone of a blind write. `writeBack`: a read writes what it saw.
 */
export type Phase = 'read' | 'snapshot' | 'prepare' | 'write' | 'writeBack'

export type Status = 'pending' | 'ok' | 'unknown' | 'refused'

/** What an owner sends back, and what it knows of the chain of configs. */
export type Answer = (ReadAnswer | WriteAnswer | PrepareAnswer | { readonly kind: 'stale' }) & {
  readonly owner: number
}

/** A router: a client of the owners with a clock. Configs `base` to `known` are its window. */
export interface Router {
  readonly kind: 'router'
  readonly id: number
  isUp: boolean
  pausedTill: number
  backAt: number
  known: number
  base: number
  skew: number
  /** The highest version that it made or saw. */
  last: Version
  /** Nodes with which it exchanges nothing for a while. */
  cutOff: readonly number[]
  /** The versions of the groups that it saw on a quorum last. */
  closed: readonly Version[]
}

export interface Operation {
  readonly id: number
  /** One letter for its writes. */
  readonly name: string
  readonly router: Router
  readonly kind: OperationKind
  /** The keys that it reads or writes. */
  readonly keys: KeySet
  /** A round of the sweeper: no client waits for it. */
  readonly isHidden: boolean
  readonly start: number
  end: number
  status: Status
  answer: string
  /** The keys of its rounds: its own, and those of the groups that it met. */
  set: KeySet
  /** The entries that it has tried to write, with the answer to its client that each stands for. */
  attempts: Attempt[]
  answers: Map<Version, string>
  phase: Phase
  /** Counts phases. Answers to earlier ones do not count. */
  step: number
  window: readonly number[]
  heard: Map<number, Answer>
  ballot: Version
  write: Write | undefined
  isBlind: boolean
  /** After this write the operation prepares again: the write only brings what it builds on to a quorum. */
  isPreparation: boolean
  /** The answer that holds when the write under way is done. */
  pendingAnswer: string
  /** The phase to begin at the next retry. */
  next: Phase | undefined
  rereads: number
  tired: number
  /** The versions that the first phase of a snapshot saw. */
  snapshot: string
}

export function newOperation(
  id: number,
  name: string,
  router: Router,
  kind: OperationKind,
  keys: KeySet,
  start: number,
  isHidden: boolean
): Operation {
  return {
    id,
    name,
    router,
    kind,
    keys,
    isHidden,
    start,
    end: Infinity,
    status: 'pending',
    answer: '',
    set: keys,
    attempts: [],
    answers: new Map(),
    phase: 'read',
    step: 0,
    window: [],
    heard: new Map(),
    ballot: 0,
    write: undefined,
    isBlind: false,
    isPreparation: false,
    pendingAnswer: '',
    next: undefined,
    rereads: 0,
    tired: 0,
    snapshot: ''
  }
}

/** The newest of the entries that these answers give for the key. */
export function newestOf(key: number, lists: Iterable<readonly (Entry | undefined)[]>): Entry {
  let newest = NONE
  for (const list of lists) {
    const entry = list[key]
    if (entry !== undefined && entry.version > newest.version) newest = entry
  }
  return newest
}
