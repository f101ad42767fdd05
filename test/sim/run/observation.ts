// The observations of a run. A run emits them in the order in which things happen; checkers know nothing else of the
// run. They are plain data, so that a broken history can be written by hand.
// Times are virtual ms since the start of the run. Versions are 32 hex digits, so that they compare as text.
import type { MemberId } from '../../../lib/member.js'
import type { Window } from '../../../lib/views/configs.js'
import type { Answer, Check, Step } from '../checkers/linearizability/operations.js'

export type Observation =
  | Invoked
  | Answered
  | Stored
  | Erased
  | DiskImage
  | DiskLost
  | ViewKnown
  | Picture
  | BecameReady
  | Load
  | NodeStarted
  | NodeKilled
  | Healed

/** A client sends an operation to node `node`. Every value is put only once in a run, so it names its write. */
export interface Invoked {
  readonly type: 'invoked'
  readonly at: number
  /** Names the operation within the run. */
  readonly operation: number
  readonly client: number
  readonly node: string
  readonly kind: 'put' | 'get' | 'delete' | 'update'
  /** For an update of several keys: one of them. */
  readonly key: string
  /** The value to store, for a put. */
  readonly value?: string | undefined
  /** When it expires, for a put: ms by any clock, on the scale of `Answered.clock`. */
  readonly expiresAt?: number | undefined
  /** What an update asks, without answers. */
  readonly steps?: readonly Omit<Step, 'answer'>[] | undefined
  /** The conditions of an update. */
  readonly checks?: readonly Check[] | undefined
  readonly consistency: 'one' | 'quorum' | 'all'
}

/** The client got an answer. An operation without an answer, or with an error, may still take effect at any time. */
export interface Answered {
  readonly type: 'answered'
  readonly at: number
  readonly operation: number
  /** The code of the error; undefined: it succeeded. */
  readonly error?: string | undefined
  /** The value that a get found. */
  readonly value?: string | undefined
  /** Whether a delete found a value. */
  readonly existed?: boolean | undefined
  /** What an update was told, for each of its steps. */
  readonly answers?: readonly Answer[] | undefined
  /** Whether the conditions of an update held; undefined: they did. */
  readonly checksHeld?: boolean | undefined
  /** The smallest and largest time that the clock of the node showed during it; undefined: the time of the run. */
  readonly clock?: readonly [number, number] | undefined
}

/**
 * The entry is synced to the disk of the member. A tombstone has no value. Reported for every entry of a batch, before
 * the entry can be read or acknowledged.
 */
export interface Stored {
  readonly type: 'stored'
  readonly at: number
  readonly member: MemberId
  readonly key: string
  readonly version: string
  readonly value: string | undefined
  readonly expiresAt?: number | undefined
}

/** The member has dropped its entry of the key. */
export interface Erased {
  readonly type: 'erased'
  readonly at: number
  readonly member: MemberId
  readonly key: string
}

/**
 * The whole content of the member's disk. It replaces all earlier reports. Reported after a power cut, a restored copy
 * or a flipped bit, and when a disk continues as another member. Damaged entries are left out.
 */
export interface DiskImage {
  readonly type: 'image'
  readonly at: number
  readonly member: MemberId
  readonly entries: ReadonlyMap<string, { readonly version: string; readonly value: string | undefined }>
}

/** The disk of this member will not be read again, or it may have lost writes that it acknowledged. */
export interface DiskLost {
  readonly type: 'lost'
  readonly at: number
  readonly member: MemberId
}

/** The member knows that this view was chosen. `digest` names the whole view: number, members and their tokens. */
export interface ViewKnown {
  readonly type: 'view'
  readonly at: number
  readonly member: MemberId
  readonly view: number
  readonly digest: string
  /** The members of the view, when the run reports them. */
  readonly members?: readonly MemberId[] | undefined
}

/**
 * From now on the member uses these windows. Only slots that hold keys of the run are reported. Reported before the
 * first answer that depends on them.
 */
export interface Picture {
  readonly type: 'picture'
  readonly at: number
  readonly node: string
  readonly member: MemberId
  readonly view: number
  readonly windows: ReadonlyMap<number, Window>
}

/** The member announced that it is ready for the config that begins at view `config`, and has this fact on disk. */
export interface BecameReady {
  readonly type: 'ready'
  readonly at: number
  readonly member: MemberId
  readonly slot: number
  readonly config: number
}

/** The queues and timers of a node at this moment. */
export interface Load {
  readonly type: 'load'
  readonly at: number
  readonly node: string
  /** The fullest mailbox, in messages. */
  readonly mailbox: number
  /** Bytes that wait in its streams, both ways. */
  readonly queuedBytes: number
  readonly timers: number
}

/** The node has started. */
export interface NodeStarted {
  readonly type: 'started'
  readonly at: number
  readonly node: string
}

/** The node has ended, and will not answer its open operations. */
export interface NodeKilled {
  readonly type: 'killed'
  readonly at: number
  readonly node: string
}

/** All faults have ended. Until a node is killed again, the ring must become whole and serve. */
export interface Healed {
  readonly type: 'healed'
  readonly at: number
}

/** A broken rule. */
export interface Violation {
  readonly at: number
  /** The rule of the checker. */
  readonly rule: string
  /** The event, with the keys, versions, members and times that a person needs. */
  readonly text: string
}

/** Checks one rule during a run. */
export interface Checker {
  observe(observation: Observation): void
  /** The run has ended: checks the rules about its end. */
  finish(at: number): void
  readonly violations: readonly Violation[]
  /** What it could not check within its bounds. */
  readonly unchecked?: number
}
