// A random search over seeds: what was found, and how much was run.
import type { Deviations } from './deviations.js'
import type { Judgement } from './linearizability.js'
import { newRing, runSeed } from './random-run.js'
import { newScriptRing, runScript } from './random-script.js'
import { type Ring, Violation } from './ring.js'

/**
 * `usual`, `fixed` (one config) and `hard` (many changes of the config) are runs with random delays; `script` and
 * `fixedScript` are random directed scenarios.
 */
export const KINDS = ['usual', 'fixed', 'hard', 'script', 'fixedScript'] as const
export type Kind = (typeof KINDS)[number]

export interface Run {
  readonly ring: Ring
  readonly judge: () => Judgement
}

/** The run of one seed; `judge` runs it, and throws a Violation when a rule is broken. */
export function runOf(seed: number, deviations: Deviations, kind: Kind): Run {
  if (kind === 'script' || kind === 'fixedScript') {
    const ring = newScriptRing(seed, deviations)
    return { ring, judge: () => runScript(ring, kind === 'fixedScript') }
  }
  const ring = newRing(seed, deviations)
  return { ring, judge: () => runSeed(ring, kind) }
}

export interface Found {
  seeds: number
  violations: number
  /** By the first word of the violation: how many. */
  kinds: Record<string, number>
  firstSeed: number | undefined
  operations: number
  unknown: number
  refused: number
  configs: number
  rounds: number
  groupRounds: number
  widened: number
  purges: number
  waits: number
  tooWide: number
}

export function search(first: number, seeds: number, deviations: Deviations, kind: Kind): Found {
  const found: Found = {
    seeds,
    violations: 0,
    kinds: {},
    firstSeed: undefined,
    operations: 0,
    unknown: 0,
    refused: 0,
    configs: 0,
    rounds: 0,
    groupRounds: 0,
    widened: 0,
    purges: 0,
    waits: 0,
    tooWide: 0
  }
  for (let seed = first; seed < first + seeds; seed++) {
    const { ring, judge } = runOf(seed, deviations, kind)
    try {
      if (judge() === 'too wide') found.tooWide++
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw new Error(`seed ${seed}`, { cause: thrown })
      found.violations++
      found.firstSeed ??= seed
      const [word] = thrown.message.split(' ')
      found.kinds[word!] = (found.kinds[word!] ?? 0) + 1
    }
    add(found, ring)
  }
  return found
}

function add(found: Found, ring: Ring): void {
  found.operations += ring.operations.length
  found.unknown += ring.operations.filter(({ status }) => status === 'unknown').length
  found.refused += ring.operations.filter(({ status }) => status === 'refused').length
  found.configs += ring.configs.length - 1
  found.rounds += ring.totals.rounds
  found.groupRounds += ring.totals.groupRounds
  found.widened += ring.totals.widened
  found.purges += ring.totals.purges
  found.waits += ring.totals.waits
}
