// The processes of the model's ring, and what they send each other.
import type { Entry, KeySet, Version, Write } from './entries.js'
import type { Answer, Router } from './operation-state.js'
import type { Attempt, Owner, WriteWay } from './owner.js'

/** A process that may own keys. Configs `base` to `known` are its window. */
export interface Node {
  readonly kind: 'node'
  readonly id: number
  readonly owner: Owner
  isUp: boolean
  pausedTill: number
  backAt: number
  known: number
  base: number
  /** Configs for which it is Ready. */
  readonly ready: Set<number>
  pull: Pull | undefined
  life: number
  /** The share of writes to it that are lost. */
  lostWrites: number
}

/** What has come from one source. */
export interface Pages {
  readonly keys: KeySet
  /** It was Ready for the config itself. */
  readonly isReady: boolean
  readonly bound: Version
  readonly entries: readonly (Entry | undefined)[]
}

export interface Pull {
  readonly token: number
  readonly config: number
  readonly base: number
  /** The window below the config: n-q+1 owners of each are needed. */
  readonly window: readonly number[]
  readonly pages: Map<number, Pages>
  /** By key: the version that its own entry must reach before it is Ready. */
  readonly due: Version[]
}

export type OwnerStep =
  | { readonly kind: 'read'; readonly set: KeySet }
  | { readonly kind: 'prepare'; readonly ballot: Version; readonly set: KeySet; readonly attempts: readonly Attempt[] }
  | { readonly kind: 'write'; readonly write: Write; readonly way: WriteWay }

export type Message =
  | {
      readonly kind: 'ask'
      readonly from: Router
      readonly id: number
      readonly step: number
      readonly known: number
      readonly ask: OwnerStep
      /** Groups that the router has lately seen on a quorum: the owner closes them first. */
      readonly closed: readonly Version[]
    }
  | {
      readonly kind: 'answer'
      readonly id: number
      readonly step: number
      readonly known: number
      readonly base: number
      readonly answer: Answer
    }
  | { readonly kind: 'close'; readonly version: Version }
  | { readonly kind: 'push'; readonly write: Write }
  | {
      readonly kind: 'pull'
      readonly from: Node
      readonly token: number
      readonly config: number
      readonly known: number
      readonly base: number
    }
  | {
      readonly kind: 'page'
      readonly from: Node
      readonly token: number
      readonly config: number
      readonly key: number
      readonly life: number
    }
  | {
      readonly kind: 'took'
      readonly token: number
      readonly source: number
      readonly key: number
      readonly write: Write
      readonly promise: Version
      readonly isReady: boolean
      readonly bound: Version
    }
  | { readonly kind: 'seal'; readonly token: number; readonly bound: Version; readonly config: number }
  | { readonly kind: 'sealed'; readonly token: number; readonly node: number; readonly versions: string | undefined }
  | { readonly kind: 'endPurge'; readonly token: number; readonly config: number; readonly isCommitted: boolean }

export interface Packet {
  readonly to: Node | Router
  readonly message: Message
  readonly at: number
}

export interface Config {
  readonly owners: readonly number[]
  readonly ready: Set<number>
}
