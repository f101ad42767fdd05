// What happens in one run, written down before it begins: which nodes, which faults, which operations, when. Plain
// JSON, so that a plan can be kept in a file, and pieces of it dropped to find the smallest one that still fails.
// Invariant: a run depends on its plan alone. What is drawn while it goes on (delays, tokens) comes from `seed`.
import type { DiskOptions } from '../seams/sim-disk.js'

export interface Plan {
  readonly seed: number
  /** `safety`: faults until the end. `liveness`: then everything heals, and the ring must become whole. */
  readonly mode: 'safety' | 'liveness'
  /** Virtual time in which steps and operations begin. */
  readonly durationMs: number
  /** Copies of every entry. */
  readonly replicas: number
  /** Of each member; less means fewer tokens, and with them fewer ranges, each with more slots. */
  readonly weight: number
  /** What has been gone for so long leaves the disks; left out: as a daemon does. */
  readonly purgeAfterMs?: number | undefined
  /** Members that are down for so long are evicted, unless slots would be left short; left out: never. */
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
  /** Not before its client has the answer to its former operation, or has given it up. */
  readonly at: number
  readonly client: number
  /** Picks one of the nodes that serve at that moment. */
  readonly via: number
  readonly kind: 'put' | 'get' | 'delete'
  readonly key: string
  /** Of a put, by the clock of the node that is asked; none: the value stays. */
  readonly ttlMs?: number
}

/** Something that happens to the ring: a fault, or a change of who belongs to it. Nodes are named; times are ms. */
export type Step = { readonly at: number } & StepKinds

export type StepKind = Step['kind']

type StepKinds =
  /** Nodes come for the first time; the very first one founds the ring. */
  | { readonly kind: 'start'; readonly nodes: readonly string[] }
  /** The node leaves the ring for good; `start` brings it back as a new member. */
  | { readonly kind: 'leave'; readonly node: string; readonly isForced: boolean }
  /** The node is killed, some member has the ring go on without it after `afterMs`, and it comes back after `forMs`. */
  | {
      readonly kind: 'remove'
      readonly node: string
      readonly via: number
      readonly afterMs: number
      readonly forMs: number
    }
  /** Some member has the ring go on without members whose disks are lost. */
  | { readonly kind: 'remove-lost'; readonly via: number }
  // ---- network; what lasts ends after `forMs` ----
  | { readonly kind: 'cut'; readonly from: string; readonly to: string; readonly forMs: number }
  /** `some` and all the others do not hear each other. */
  | { readonly kind: 'partition'; readonly some: readonly string[]; readonly forMs: number }
  | { readonly kind: 'reset'; readonly one: string; readonly other: string }
  /** A reset in the middle of what is said. */
  | { readonly kind: 'tear'; readonly one: string; readonly other: string }
  /** `gone` loses its connections with `holder`, who finds out when `forMs` are over. */
  | { readonly kind: 'half-open'; readonly holder: string; readonly gone: string; readonly forMs: number }
  | { readonly kind: 'slow'; readonly node: string; readonly extraMs: number; readonly forMs: number }
  | { readonly kind: 'slow-reader'; readonly node: string; readonly gapMs: number; readonly forMs: number }
  /** Rumors to it are lost, and what others say to it about the ring is held back. */
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
  /** Stopped in good order, and started again. */
  | { readonly kind: 'stop'; readonly node: string; readonly forMs: number }
  /** kill -9; it is started again on the same disk. */
  | { readonly kind: 'kill'; readonly node: string; readonly forMs: number }
  /** All at once, and nobody is told. */
  | { readonly kind: 'power-cut'; readonly nodes: readonly string[]; readonly forMs: number }
  // ---- disk ----
  | { readonly kind: 'disk-lag'; readonly node: string; readonly lagMs: number; readonly forMs: number }
  /** One batch fails with an I/O error, written or not. */
  | { readonly kind: 'disk-error'; readonly node: string; readonly isWritten: boolean }
  | { readonly kind: 'disk-full'; readonly node: string; readonly forMs: number }
  /** One bit of a stored value. */
  | { readonly kind: 'flip'; readonly node: string }
  /** Killed; an image of the disk from `ageMs` before is put back; started again. */
  | { readonly kind: 'roll-back'; readonly node: string; readonly ageMs: number; readonly forMs: number }
  /** Killed; the disk is emptied; started again as a new member. */
  | { readonly kind: 'wipe'; readonly node: string; readonly forMs: number }
  // ---- clock ----
  | { readonly kind: 'clock-jump'; readonly node: string; readonly byMs: number }
  /** The wall clock gains so much in every second. */
  | { readonly kind: 'clock-drift'; readonly node: string; readonly msPerSecond: number; readonly forMs: number }

/** Every node that the plan starts. */
export function nodesOf(plan: Plan): string[] {
  return [...new Set(plan.steps.flatMap((step) => (step.kind === 'start' ? step.nodes : [])))]
}

/** The nodes that a step is about. */
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
