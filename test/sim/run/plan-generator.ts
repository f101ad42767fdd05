// Generates the plan of a run from its seed. Pure: the same seed gives the same plan.
// A plan asks for no more than the nodes promise: at most one disk of a run loses data, and at the end a majority
// lives. An evicted member counts as lost. A plan with evictions therefore loses no disk and has no removals by the
// operator. Every other seed is one-sided (one bad link, a member that learns nothing, few keys, few slots): faults of
// equal weight miss bugs that need many faults of one kind in one place.
import { below, pick, type Random } from '../../../lib/random.js'
import type { DiskOptions } from '../seams/sim-disk.js'
import { seeded } from '../sim-node.js'
import type { NetworkPlan, Plan, PlannedOperation, Step } from './plan.js'
import { UPDATE_KINDS } from './updates.js'

const OPERATIONS_MIN = 1000
const FAULTS_MIN = 24
const FAULTS_MAX = 40
const MEMBERS_MIN = 5
const MEMBERS_MAX = 9
const DURATION_MS = 60_000
/** Before this the ring is still being founded. */
const FIRST_OPERATION_MS = 1000
const FIRST_FAULT_MS = 2500
const REPLICAS = 3
/** The last of these is about as long as a run, so some runs never purge. */
const PURGE_AFTER_MS = [2000, 5000, 15_000, 60_000]
/** Most rings have few tokens: the cost of a view grows with them, and the possible bugs stay the same. */
const WEIGHTS = [1, 0.25, 0.125, 0.0625]
const EVICT_AFTER_MS = [0, 0, 3000, 8000]

type MakeStep = (context: Context) => Step

interface Context {
  readonly random: Random
  readonly names: readonly string[]
  readonly at: number
  /** The only node whose disk may lose data. */
  readonly victim: string
  readonly mode: Plan['mode']
  readonly evictAfterMs: number
}

/** The kinds of faults that may come often. */
const FAULTS: Readonly<Record<string, MakeStep>> = {
  cut: ({ random, names, at }) => ({ kind: 'cut', at, ...fromTo(random, names), forMs: lasting(random) }),
  partition: ({ random, names, at }) => ({
    kind: 'partition',
    at,
    some: several(random, names),
    forMs: lasting(random)
  }),
  reset: ({ random, names, at }) => ({ kind: 'reset', at, ...pair(random, names) }),
  tear: ({ random, names, at }) => ({ kind: 'tear', at, ...pair(random, names) }),
  'half-open': ({ random, names, at }) => {
    const { one, other } = pair(random, names)
    return { kind: 'half-open', at, holder: one, gone: other, forMs: lasting(random) }
  },
  slow: ({ random, names, at }) => {
    return { kind: 'slow', at, node: any(random, names), extraMs: whole(random, 2, 200), forMs: lasting(random) }
  },
  'slow-reader': ({ random, names, at }) => {
    return { kind: 'slow-reader', at, node: any(random, names), gapMs: whole(random, 2, 100), forMs: lasting(random) }
  },
  deafen: ({ random, names, at }) => ({ kind: 'deafen', at, node: any(random, names), forMs: lasting(random) }),
  'lose-rumors': ({ random, names, at }) => {
    return { kind: 'lose-rumors', at, ...fromTo(random, names), share: 0.9, forMs: lasting(random) }
  },
  pause: ({ random, names, at }) => ({ kind: 'pause', at, node: any(random, names), forMs: lasting(random) }),
  stop: ({ random, names, at }) => ({ kind: 'stop', at, node: any(random, names), forMs: lasting(random) }),
  kill: ({ random, names, at }) => ({ kind: 'kill', at, node: any(random, names), forMs: lasting(random) }),
  'power-cut': ({ random, names, at }) => {
    const nodes = random.next() < 0.2 ? names : random.next() < 0.5 ? several(random, names) : [any(random, names)]
    return { kind: 'power-cut', at, nodes, forMs: lasting(random) }
  },
  'disk-lag': ({ random, names, at }) => {
    return { kind: 'disk-lag', at, node: any(random, names), lagMs: whole(random, 5, 400), forMs: lasting(random) }
  },
  'disk-error': ({ random, names, at }) => {
    return { kind: 'disk-error', at, node: any(random, names), isWritten: random.next() < 0.5 }
  },
  'disk-full': ({ random, names, at }) => ({ kind: 'disk-full', at, node: any(random, names), forMs: lasting(random) }),
  'clock-jump': ({ random, names, at, mode }) => {
    const isWild = mode === 'safety' && random.next() < 0.1
    const byMs = whole(random, -1, 1) * whole(random, 10, isWild ? 3_600_000 : 2000)
    return { kind: 'clock-jump', at, node: any(random, names), byMs }
  },
  'clock-drift': ({ random, names, at }) => {
    return {
      kind: 'clock-drift',
      at,
      node: any(random, names),
      msPerSecond: whole(random, -50, 50),
      forMs: lasting(random)
    }
  }
}

/** Faults after which a disk may lack writes that it acknowledged. A plan has at most one of them. */
const LOSSES: readonly MakeStep[] = [
  ({ random, at, victim }) => ({ kind: 'wipe', at, node: victim, forMs: whole(random, 100, 8000) }),
  ({ at, victim }) => ({ kind: 'flip', at, node: victim }),
  ({ random, at, victim }) => {
    return { kind: 'roll-back', at, node: victim, ageMs: whole(random, 200, 8000), forMs: whole(random, 100, 4000) }
  }
]

/** Changes of the membership, beside the first start of each node. */
const CHANGES: readonly MakeStep[] = [
  ({ random, names, at }) => ({ kind: 'leave', at, node: any(random, names), isForced: random.next() < 0.2 }),
  ({ random, at, names }) => ({ kind: 'start', at, nodes: several(random, names) })
]

/** Changes after which the store of a member counts as lost. */
const REMOVALS: readonly MakeStep[] = [
  ({ random, names, at }) => {
    const afterMs = whole(random, 200, 4000)
    return {
      kind: 'remove',
      at,
      node: any(random, names),
      via: below(random, 1000),
      afterMs,
      forMs: afterMs + lasting(random)
    }
  },
  ({ random, at }) => ({ kind: 'remove-lost', at, via: below(random, 1000) })
]

export function generatePlan(seed: number): Plan {
  const random = seeded(seed)
  const isSkewed = seed % 2 === 0
  const mode = seed % 4 < 2 ? 'safety' : 'liveness'
  const names = Array.from({ length: whole(random, MEMBERS_MIN, MEMBERS_MAX) }, (_, index) => `n${index}`)
  const durationMs = DURATION_MS + whole(random, 0, 10_000)
  const starts = generateStarts(random, names, durationMs)
  const evictAfterMs = pick(random, EVICT_AFTER_MS)!
  const context = { random, names, victim: any(random, names), mode, evictAfterMs } as const
  const steps = [
    ...starts,
    ...generateFaults(context, durationMs),
    ...(isSkewed ? generateSkew(context, durationMs) : [])
  ]
  return {
    seed,
    mode,
    durationMs,
    replicas: REPLICAS,
    weight: pick(random, WEIGHTS)!,
    evictAfterMs,
    network: generateNetwork(random),
    disk: generateDisk(random),
    steps: steps.sort((a, b) => a.at - b.at),
    operations: generateOperations(random, isSkewed, durationMs),
    purgeAfterMs: pick(random, PURGE_AFTER_MS)
  }
}

/** One, three or all nodes found the ring; the others start later, alone or together. */
function generateStarts(random: Random, names: readonly string[], durationMs: number): Step[] {
  const founders = pick(random, [1, 1, 3, 3, names.length])!
  const steps: Step[] = [{ kind: 'start', at: 0, nodes: names.slice(0, 1) }]
  if (founders > 1) steps.push({ kind: 'start', at: whole(random, 50, 400), nodes: names.slice(1, founders) })
  let at = FIRST_FAULT_MS
  const pauseMs = (durationMs * (0.2 + 0.7 * random.next())) / names.length
  for (let next = founders; next < names.length; ) {
    const together = random.next() < 0.3 ? whole(random, 2, 4) : 1
    steps.push({ kind: 'start', at: Math.round(at), nodes: names.slice(next, next + together) })
    next += together
    at += pauseMs * together * (0.3 + random.next())
  }
  return steps.filter((step) => step.at < durationMs - 2000)
}

function generateFaults(context: Omit<Context, 'at'>, durationMs: number): Step[] {
  const { random, evictAfterMs } = context
  const changes = evictAfterMs > 0 ? CHANGES : [...CHANGES, ...REMOVALS]
  const kinds = Object.values(FAULTS).filter(() => random.next() < 0.6)
  // Some kinds come often, others seldom.
  const weighted = kinds.flatMap((makeStep) => new Array<MakeStep>(whole(random, 1, 6)).fill(makeStep))
  const steps: Step[] = []
  for (let count = whole(random, FAULTS_MIN, FAULTS_MAX); count > 0; count--) {
    const at = whole(random, FIRST_FAULT_MS, durationMs - 1000)
    steps.push((pick(random, weighted) ?? FAULTS['kill']!)({ ...context, at }))
  }
  if (random.next() < 0.5 && evictAfterMs === 0) {
    const at = whole(random, durationMs / 4, durationMs - 15_000)
    steps.push(pick(random, LOSSES)!({ ...context, at }))
  }
  for (let count = whole(random, 0, 8); count > 0; count--) {
    const at = whole(random, 8000, durationMs - 4000)
    steps.push(pick(random, changes)!({ ...context, at }))
  }
  return steps
}

/** Many faults of one kind in one place. */
function generateSkew(context: Omit<Context, 'at'>, durationMs: number): Step[] {
  const { random, names } = context
  const steps: Step[] = []
  const { one, other } = pair(random, names)
  if (random.next() < 0.6) {
    steps.push({ kind: 'lose-rumors', at: FIRST_FAULT_MS, from: one, to: other, share: 0.95, forMs: durationMs })
    const periodMs = whole(random, 1500, 5000)
    const ways =
      random.next() < 0.5
        ? [[one, other]]
        : [
            [one, other],
            [other, one]
          ]
    for (let at = FIRST_FAULT_MS; at < durationMs - periodMs; at += periodMs) {
      if (random.next() < 0.2) steps.push({ kind: 'tear', at, one, other })
      for (const [from, to] of ways)
        steps.push({ kind: 'cut', at, from: from!, to: to!, forMs: Math.round(periodMs * 0.8) })
    }
  }
  if (random.next() < 0.6) {
    const at = whole(random, FIRST_FAULT_MS, durationMs / 2)
    steps.push({ kind: 'deafen', at, node: any(random, names), forMs: whole(random, 10_000, 40_000) })
  }
  return steps
}

function generateNetwork(random: Random): NetworkPlan {
  const isWide = random.next() < 0.3
  const hasTail = random.next() < 0.5
  return {
    delayMsMin: isWide ? 0.5 : 0.2,
    delayMsMax: isWide ? 8 : 1,
    tailShare: hasTail ? 0.01 + 0.05 * random.next() : 0,
    tailMs: hasTail ? whole(random, 5, 60) : 0,
    rumorLoss: pick(random, [0, 0, 0.3, 0.9])!,
    windowBytes: pick(random, [1 << 20, 1 << 20, 1 << 16, 1 << 12])!
  }
}

function generateDisk(random: Random): DiskOptions {
  return { syncMsMin: 0.2, syncMsMax: whole(random, 1, 6), tailShare: 0.02, tailMs: whole(random, 5, 60) }
}

/** Keys that begin so hold numbers. */
const COUNTER = 'n'
type AnyKind = PlannedOperation['kind']
const COUNTER_KINDS: readonly AnyKind[] = [
  'increment',
  'increment',
  'increment',
  'increment',
  'get',
  'take',
  'swap',
  'set'
]
const TEXT_KINDS: readonly AnyKind[] = [...UPDATE_KINDS.filter((kind) => kind !== 'increment'), 'get', 'get', 'append']
const STORING: ReadonlySet<AnyKind> = new Set(['set', 'swap', 'put-absent'])

function generateOperations(random: Random, isSkewed: boolean, durationMs: number): PlannedOperation[] {
  const keys = generateKeys(random, isSkewed)
  const clients = whole(random, 8, 32)
  const puts = 0.3 + 0.4 * random.next()
  const deletes = pick(random, [0, 0.05, 0.15])!
  const expiring = pick(random, [0, 0.2, 0.6])!
  const count = OPERATIONS_MIN + below(random, 200)
  const operations = Array.from({ length: count }, (): PlannedOperation => {
    const share = random.next()
    const kind = share < puts ? 'put' : share < puts + deletes ? 'delete' : 'get'
    return {
      at: whole(random, FIRST_OPERATION_MS, durationMs - 500),
      client: below(random, clients),
      via: below(random, 1000),
      kind,
      key: pick(random, keys)!,
      ...(kind === 'put' && random.next() < expiring && { ttlMs: generateTtl(random) })
    }
  })
  return [...operations, ...generateUpdates(random, clients, durationMs)].sort((a, b) => a.at - b.at)
}

/** Few keys, so that operations on them often meet. */
function generateUpdates(random: Random, clients: number, durationMs: number): PlannedOperation[] {
  if (random.next() < 0.2) return []
  const keys = Array.from({ length: whole(random, 1, 6) }, (_, at) => `${random.next() < 0.5 ? COUNTER : 'u'}${at}`)
  const expiring = pick(random, [0, 0.2, 0.6])!
  return Array.from({ length: whole(random, 30, 200) }, (): PlannedOperation => {
    const key = pick(random, keys)!
    const kind = pick(random, isCounter(key) ? COUNTER_KINDS : TEXT_KINDS)!
    return {
      at: whole(random, FIRST_OPERATION_MS, durationMs - 500),
      client: below(random, clients),
      via: below(random, 1000),
      kind,
      key,
      ...((kind === 'expire' || (STORING.has(kind) && random.next() < expiring)) && { ttlMs: generateTtl(random) })
    }
  })
}

export function isCounter(key: string): boolean {
  return key.startsWith(COUNTER)
}

/** Mostly short: many values expire during the run, often before the write has reached all owners. */
function generateTtl(random: Random): number {
  return whole(random, 1, 20) + Math.round(15_000 * random.next() ** 3)
}

function generateKeys(random: Random, isSkewed: boolean): string[] {
  const count = isSkewed && random.next() < 0.5 ? whole(random, 1, 5) : whole(random, 6, 40)
  const tags = isSkewed && random.next() < 0.5 ? whole(random, 1, 3) : 0
  return Array.from({ length: count }, (_, index) => (tags === 0 ? `k${index}` : `{${index % tags}}k${index}`))
}

/** Mostly short, seldom longer than ten seconds. */
function lasting(random: Random): number {
  return Math.round(100 + 12_000 * random.next() ** 3)
}

/** A whole number from `least` to `most`, both included. */
function whole(random: Random, least: number, most: number): number {
  const low = Math.ceil(least)
  return low + below(random, Math.floor(most) - low + 1)
}

function any(random: Random, names: readonly string[]): string {
  return names[below(random, names.length)]!
}

function pair(random: Random, names: readonly string[]): { one: string; other: string } {
  const first = below(random, names.length)
  const second = (first + 1 + below(random, names.length - 1)) % names.length
  return { one: names[first]!, other: names[second]! }
}

function fromTo(random: Random, names: readonly string[]): { from: string; to: string } {
  const { one, other } = pair(random, names)
  return { from: one, to: other }
}

/** At least one, and not all. */
function several(random: Random, names: readonly string[]): string[] {
  const some = names.filter(() => random.next() < 0.5)
  return some.length === 0 || some.length === names.length ? [any(random, names)] : some
}
