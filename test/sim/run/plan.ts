// The plan of one run: its nodes, faults and operations, with their times. Plain JSON, so that a plan can be kept in a
// file, and parts of it dropped to find the smallest plan that still fails.
// Invariant: a run depends on its plan alone. Random values of the run (delays, tokens) come from `seed`.

import type { DiskOptions } from '../seams/sim-disk.js'
import type { UpdateKind } from './updates.js'

export interface Plan {
  readonly seed: number
  /** `safety`: faults until the end. `liveness`: at the end all faults heal, and the ring must become whole. */
  readonly mode: 'safety' | 'liveness'
  /** Steps and operations begin within this virtual time. */
  readonly durationMs: number
  /** Copies of every entry. */
  readonly replicas: number
  /** The weight of each member. A small weight gives few tokens, and so few ranges with many slots each. */
  readonly weight: number
  /** Tombstones and expired values of this age are purged; left out: the default of a daemon. */
  readonly purgeAfterMs?: number | undefined
  /** Members that are down for this long are evicted, unless writes could be lost; left out: never. */
  readonly evictAfterMs?: number
  readonly network: NetworkPlan
  readonly disk: DiskOptions
  readonly steps: readonly Step[]
  readonly operations: readonly PlannedOperation[]
}

/** See HubOptions. */
export interface NetworkPlan {
  readonly delayMsMin: number
  readonly delayMsMax: number
  readonly tailShare: number
  readonly tailMs: number
  readonly rumorLoss: number
  readonly windowBytes: number
}

export interface PlannedOperation {
  /** The operation begins at this time, or later when the former operation of its client has not ended. */
  readonly at: number
  readonly client: number
  /** Selects one of the nodes that serve at that moment. */
  readonly via: number
  /** On keys with updates, writes are updates as well (updates.ts). */
  readonly kind: 'put' | 'get' | 'delete' | UpdateKind
  readonly key: string
  /**
   * For what stores a value or changes an expiry: time to live, by the clock of the node that is asked; left out: the
   * value does not expire.
   */
  readonly ttlMs?: number
}

/** A fault, or a change of the membership. Nodes are given by name; times are ms. */
export type Step = { readonly at: number } & StepKinds

export type StepKind = Step['kind']

type StepKinds =
  /** Starts nodes; the first one of the run founds the ring. */
  | { readonly kind: 'start'; readonly nodes: readonly string[] }
  /** The node leaves the ring; a later `start` brings it back as a new member. */
  | { readonly kind: 'leave'; readonly node: string; readonly isForced: boolean }
  /** The node is killed; after `afterMs` a member is asked to remove it; after `forMs` it comes back. */
  | {
      readonly kind: 'remove'
      readonly node: string
      readonly via: number
      readonly afterMs: number
      readonly forMs: number
    }
  /** A member is asked to remove a member whose disk is lost. */
  | { readonly kind: 'remove-lost'; readonly via: number }
  // ---- network; a fault with `forMs` ends after that time ----
  | { readonly kind: 'cut'; readonly from: string; readonly to: string; readonly forMs: number }
  /** `some` and all other nodes do not reach each other. */
  | { readonly kind: 'partition'; readonly some: readonly string[]; readonly forMs: number }
  | { readonly kind: 'reset'; readonly one: string; readonly other: string }
  /** A reset that loses the bytes under way. */
  | { readonly kind: 'tear'; readonly one: string; readonly other: string }
  /** Node `gone` loses its connections with `holder`; `holder` notices it only after `forMs`. */
  | { readonly kind: 'half-open'; readonly holder: string; readonly gone: string; readonly forMs: number }
  | { readonly kind: 'slow'; readonly node: string; readonly extraMs: number; readonly forMs: number }
  | { readonly kind: 'slow-reader'; readonly node: string; readonly gapMs: number; readonly forMs: number }
  /** Rumors to the node are lost, and control messages to it are held back. */
  | { readonly kind: 'deafen'; readonly node: string; readonly forMs: number }
  | {
      readonly kind: 'lose-rumors'
      readonly from: string
      readonly to: string
      readonly share: number
      readonly forMs: number
    }
  // ---- process ----
  | { readonly kind: 'pause'; readonly node: string; readonly forMs: number }
  /** Stopped by SIGTERM, and started again. */
  | { readonly kind: 'stop'; readonly node: string; readonly forMs: number }
  /** kill -9; then started again on the same disk. */
  | { readonly kind: 'kill'; readonly node: string; readonly forMs: number }
  /** All these nodes end at the same moment, and their peers do not notice. */
  | { readonly kind: 'power-cut'; readonly nodes: readonly string[]; readonly forMs: number }
  // ---- disk ----
  | { readonly kind: 'disk-lag'; readonly node: string; readonly lagMs: number; readonly forMs: number }
  /** One batch fails with an I/O error, written or not. */
  | { readonly kind: 'disk-error'; readonly node: string; readonly isWritten: boolean }
  | { readonly kind: 'disk-full'; readonly node: string; readonly forMs: number }
  /** One bit of a stored value changes. */
  | { readonly kind: 'flip'; readonly node: string }
  /** Killed; a copy of the disk from `ageMs` before is restored; started again. */
  | { readonly kind: 'roll-back'; readonly node: string; readonly ageMs: number; readonly forMs: number }
  /** Killed; the disk is emptied; started again as a new member. */
  | { readonly kind: 'wipe'; readonly node: string; readonly forMs: number }
  // ---- clock ----
  | { readonly kind: 'clock-jump'; readonly node: string; readonly byMs: number }
  /** The wall clock gains `msPerSecond` in every second. */
  | { readonly kind: 'clock-drift'; readonly node: string; readonly msPerSecond: number; readonly forMs: number }

/** Every node that the plan starts. */
export function nodesOf(plan: Plan): string[] {
  return [...new Set(plan.steps.flatMap((step) => (step.kind === 'start' ? step.nodes : [])))]
}

/** The nodes that a step names. */
export function namedIn(step: Step): readonly string[] {
  if ('nodes' in step) return step.nodes
  if ('some' in step) return step.some
  if ('node' in step) return [step.node]
  if ('one' in step) return [step.one, step.other]
  if ('holder' in step) return [step.holder, step.gone]
  return 'from' in step ? [step.from, step.to] : []
}

export function keysOf(plan: Plan): string[] {
  return [...new Set(plan.operations.map(({ key }) => key))]
}
