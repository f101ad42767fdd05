// The kinds of faults, and the plan that a seed generates: steps one after the other, each with its pause, its length
// and the numbers that select its victims. Pure: the same options give the same plan. The victims are selected when the
// step begins (fault-limits.ts), because daemons come and go.
import { below, pick, type Random } from '../../lib/random.js'
import { seeded } from '../sim/sim-node.js'

interface FaultTraits {
  readonly text: string
  /** How often the fault comes, relative to the others. */
  readonly weight: number
  /** How long it lasts, from and to, s; recovery follows. */
  readonly lasts: readonly [number, number]
  /** The needs of the fault: daemons in network namespaces, data on a small disk, or a C compiler. */
  readonly needs?: 'network' | 'disk' | 'compiler'
  /** How many daemons do not serve while it lasts: one, up to a minority, or all. */
  readonly away?: 'one' | 'minority' | 'all'
  /**
   * The fault may lose a store. It comes only while the ring is whole, and the next one only when it is whole again.
   */
  readonly loses?: true
  /** No other fault may be active. */
  readonly alone?: true
}

const TRAITS = {
  kill: { text: 'killed by SIGKILL, started again', weight: 4, lasts: [0, 15], away: 'one' },
  restart: { text: 'stopped by SIGTERM, started again', weight: 2, lasts: [0, 5], away: 'one' },
  stop: { text: 'paused by SIGSTOP, continued by SIGCONT', weight: 4, lasts: [1, 60], away: 'one' },
  'kill-all': { text: 'all daemons killed at once', weight: 0.5, lasts: [0, 3], away: 'all' },
  partition: { text: 'a minority is cut off', weight: 3, lasts: [1, 40], needs: 'network', away: 'minority' },
  cut: {
    text: 'all packets of one daemon to another are lost, in one direction',
    weight: 3,
    lasts: [1, 30],
    needs: 'network'
  },
  join: { text: 'a new daemon joins', weight: 2, lasts: [0, 0] },
  leave: { text: 'a daemon leaves the ring', weight: 2, lasts: [0, 0] },
  'disk-full': { text: 'the disk of a daemon is full', weight: 1.5, lasts: [2, 20], needs: 'disk', loses: true },
  clock: {
    text: 'the clock of a daemon is wrong by 7 s to an hour, then right again',
    weight: 2,
    lasts: [1, 30],
    away: 'one'
  },
  'slow-syncs': {
    text: "each sync of a daemon's disk takes 0.5 to 4 s",
    weight: 1.5,
    lasts: [5, 30],
    needs: 'compiler'
  },
  'idle-clients': { text: 'more idle Redis clients than a daemon may open files', weight: 1, lasts: [2, 15] },
  clone: {
    text: 'the data of a daemon is copied while it runs, and another daemon is started with the copy',
    weight: 1,
    lasts: [0, 0],
    loses: true
  },
  'wiped-founder': {
    text: 'killed, its data removed, started without --join: it founds another ring; later it joins as a new member',
    weight: 1,
    lasts: [5, 20],
    away: 'one',
    loses: true
  },
  wipe: {
    text: 'killed, its data removed, started as a new member',
    weight: 1,
    lasts: [0, 10],
    away: 'one',
    loses: true
  },
  damage: {
    text: 'killed, a file of its store truncated or one bit of it flipped',
    weight: 1.5,
    lasts: [0, 5],
    away: 'one',
    loses: true,
    alone: true
  },
  'roll-back': {
    text: 'killed, its data replaced by an older copy, started again',
    weight: 0.5,
    lasts: [4, 8],
    away: 'one',
    loses: true,
    alone: true
  }
} as const satisfies Record<string, FaultTraits>

export type FaultKind = keyof typeof TRAITS
export const FAULTS: Readonly<Record<FaultKind, FaultTraits>> = TRAITS
export const FAULT_KINDS = Object.keys(TRAITS) as FaultKind[]

export interface Step {
  /** The number of the step, from 0. */
  readonly index: number
  readonly kind: FaultKind
  /** Between the start of the step before and the start of this one. */
  readonly pauseMs: number
  readonly forMs: number
  /** Random numbers below 1, which select victims and details of the fault. */
  readonly lots: readonly number[]
}

export interface ChaosPlan {
  readonly seed: number
  readonly members: number
  readonly steps: readonly Step[]
}

export interface ChaosPlanOptions {
  readonly seed: number
  readonly minutes: number
  /** Undefined: drawn from the seed. */
  readonly members?: number | undefined
  readonly kinds: readonly FaultKind[]
}

export const MEMBERS_MIN = 5
export const MEMBERS_MAX = 7
const PAUSE_MS_MIN = 500
const PAUSE_MS_MAX = 6000
/** Most faults are short. */
const SHORT_POWER = 3
const LOTS = 8
const MS_PER_MINUTE = 60_000

/**
 * Each kind comes once, in random order; then kinds come by weight until the minutes are over. Throws without kinds.
 */
export function generateChaosPlan({ seed, minutes, members, kinds }: ChaosPlanOptions): ChaosPlan {
  if (kinds.length === 0) throw new Error('no fault of this list can be performed on this machine')
  const random = seeded(seed)
  const count = members ?? MEMBERS_MIN + below(random, MEMBERS_MAX - MEMBERS_MIN + 1)
  const first = shuffled(random, kinds)
  const steps: Step[] = []
  for (let at = 0, index = 0; ; index++) {
    const kind = first[index] ?? byWeight(random, kinds)
    const pauseMs = PAUSE_MS_MIN + random.next() * (PAUSE_MS_MAX - PAUSE_MS_MIN)
    at += pauseMs
    if (at > minutes * MS_PER_MINUTE) return { seed, members: count, steps }
    const [from, to] = FAULTS[kind].lasts
    const forMs = 1000 * (from + (to - from) * random.next() ** SHORT_POWER)
    const lots = Array.from({ length: LOTS }, () => random.next())
    steps.push({ index, kind, pauseMs: Math.round(pauseMs), forMs: Math.round(forMs), lots })
  }
}

function byWeight(random: Random, kinds: readonly FaultKind[]): FaultKind {
  const sum = kinds.reduce((total, kind) => total + FAULTS[kind].weight, 0)
  let left = random.next() * sum
  for (const kind of kinds) {
    left -= FAULTS[kind].weight
    if (left < 0) return kind
  }
  return pick(random, kinds)!
}

function shuffled<T>(random: Random, list: readonly T[]): T[] {
  return list
    .map((one) => ({ one, order: random.next() }))
    .sort((a, b) => a.order - b.order)
    .map(({ one }) => one)
}
