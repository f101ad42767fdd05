// What is seen of a run: the one language in which runs speak to checkers. Runs emit observations in the order in which
// things happen; checkers know nothing else of the run. Plain data, so that a broken history can be written by hand.
// Times are virtual ms since the start of the run; versions are 32 hex digits, so that they compare as text.
import type { MemberId } from '../../../lib/member.js'
import type { Window } from '../../../lib/views/configs.js'

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

/** A client asks node `node`. Every value that is put is put once in a run, so that it names its write. */
export interface Invoked {
  readonly type: 'invoked'
  readonly at: number
  /** Names the operation within the run. */
  readonly operation: number
  readonly client: number
  readonly node: string
  readonly kind: 'put' | 'get' | 'delete'
  readonly key: string
  /** What to store, for a put. */
  readonly value?: string | undefined
  /** When it expires, for a put: ms by any clock, on the scale of `Answered.clock`. */
  readonly expiresAt?: number | undefined
  readonly consistency: 'one' | 'quorum' | 'all'
}

/** The client has its answer. An operation without one, or with an error, may still take effect at any time. */
export interface Answered {
  readonly type: 'answered'
  readonly at: number
  readonly operation: number
  /** The code of the error; undefined: it worked. */
  readonly error?: string | undefined
  /** What a get found. */
  readonly value?: string | undefined
  /** What a delete found. */
  readonly existed?: boolean | undefined
  /** The least and the most that the clock of the node has shown since it was asked; undefined: the time of the run. */
  readonly clock?: readonly [number, number] | undefined
}

/**
 * The entry is on the disk of the member, synced. A tombstone has no value. Told of every entry of a batch, before
 * anybody can have read it or had it acknowledged.
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
 * What the disk of the member holds now, whatever was seen before: after a power cut, a restored copy, a flipped bit;
 * also when a disk goes on as another member. Damaged entries are left out.
 */
export interface DiskImage {
  readonly type: 'image'
  readonly at: number
  readonly member: MemberId
  readonly entries: ReadonlyMap<string, { readonly version: string; readonly value: string | undefined }>
}

/** Nobody will ever read the disk of this member again, or it may have lost what it acknowledged. */
export interface DiskLost {
  readonly type: 'lost'
  readonly at: number
  readonly member: MemberId
}

/** The member holds this view for chosen. `digest` names the whole view: number, members and their tokens. */
export interface ViewKnown {
  readonly type: 'view'
  readonly at: number
  readonly member: MemberId
  readonly view: number
  readonly digest: string
  /** Who is in the view, where the run tells. */
  readonly members?: readonly MemberId[] | undefined
}

/**
 * The member works by these windows from now on; only slots that hold keys of the run are told. Told before the first
 * answer that goes by them.
 */
export interface Picture {
  readonly type: 'picture'
  readonly at: number
  readonly node: string
  readonly member: MemberId
  readonly view: number
  readonly windows: ReadonlyMap<number, Window>
}

/** The member has announced, and has on disk, that it is ready for the config that begins at `config`. */
export interface BecameReady {
  readonly type: 'ready'
  readonly at: number
  readonly member: MemberId
  readonly slot: number
  readonly config: number
}

/** How much a node holds at this moment. */
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

/** The node runs from now on. */
export interface NodeStarted {
  readonly type: 'started'
  readonly at: number
  readonly node: string
}

/** The node runs no more, and answers nothing that it was asked. */
export interface NodeKilled {
  readonly type: 'killed'
  readonly at: number
  readonly node: string
}

/** All faults are over; until a node is killed again, the ring must come to rest and serve. */
export interface Healed {
  readonly type: 'healed'
  readonly at: number
}

/** A promise that was broken. */
export interface Violation {
  readonly at: number
  /** Which rule, in a word or two: the name of a checker. */
  readonly rule: string
  /** What happened, with everything that a person needs to see it. */
  readonly text: string
}

/** Judges a run while it goes on. */
export interface Checker {
  observe(observation: Observation): void
  /** The run is over: rules about its end. */
  finish(at: number): void
  readonly violations: readonly Violation[]
}
