// The number of slots that have too few copies, and an estimate of when all have enough again. Pure.
// A copy counts when its owner is ready for the slot's newest config and not down.
import type { MemberId } from '../member.js'
import { type Config, newestConfig } from './configs.js'
import type { RingView } from './ring-view.js'

/** The number of slots with fewer copies than wanted, as this member knows. O(slots x owners). */
export function underReplicatedSlots(view: RingView, isDown: (id: MemberId) => boolean): number {
  const wanted = Math.min(view.founding.replicas, view.members.size)
  const alive = new Map<Config, readonly Uint32Array[]>()
  const { windows } = view.configs
  let short = 0
  let last: Config | undefined
  let ready: readonly Uint32Array[] = []
  // At a join it runs on every peer while clients wait, before it is compiled. Iterators would take 5 times as long.
  for (let slot = 0; slot < windows.length; slot++) {
    const config = newestConfig(windows[slot]!)
    // Neighbours mostly have one config.
    if (config !== last) {
      last = config
      ready = alive.get(config) ?? readyOf(view, config, isDown)
      alive.set(config, ready)
    }
    let copies = 0
    for (let owner = 0; owner < ready.length; owner++) if (ready[owner]![slot] === config.begin) copies += 1
    if (copies < wanted) short += 1
  }
  return short
}

/** The configs for which each owner that is not down is ready, by slot. */
function readyOf(view: RingView, config: Config, isDown: (id: MemberId) => boolean): readonly Uint32Array[] {
  const tables = config.owners.filter((id) => !isDown(id)).map((id) => view.readiness.get(id))
  return tables.filter((table) => table !== undefined)
}

/** The number of slots with too few copies at one moment; monotonic ms. */
export interface ShortSample {
  readonly at: number
  readonly short: number
}

/** The pace is measured over this time. A longer time is steadier, but shows a change of pace later. */
const TREND_MS = 30_000

function secondOf(ms: number): number {
  return Math.floor(ms / 1000)
}

/** The samples with one more. At most one for each second is kept, and none older than TREND_MS. */
export function withSample(samples: readonly ShortSample[], sample: ShortSample): readonly ShortSample[] {
  const last = samples.at(-1)
  // More slots than before: another move began, which has its own pace.
  if (last !== undefined && sample.short > last.short) return [sample]
  const isOld = ({ at }: ShortSample) => sample.at - at > TREND_MS || secondOf(at) === secondOf(sample.at)
  return [...samples.filter((one) => !isOld(one)), sample]
}

/**
 * Seconds until no slot is short, at the pace of the samples. 0 when none is short, null when the number did not fall.
 */
export function secondsLeft(samples: readonly ShortSample[]): number | null {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined) return null
  if (last.short === 0) return 0
  const filled = first.short - last.short
  return filled <= 0 ? null : Math.ceil((last.short * (last.at - first.at)) / filled / 1000)
}
