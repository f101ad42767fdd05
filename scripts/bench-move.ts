// Benchmark `move`: how fast data moves when a member joins. Each round runs the floor prototype, ringd, and Redis
// Cluster one after the other, so all meet the same moods of the machine. The three promise different things: ringd
// moves three copies' worth of slots, checks versions, and syncs every batch to disk; Redis moves one copy and keeps it
// in memory alone; the floor writes to disk without a sync.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findPull, runFloorPull } from './bench-floor.js'
import { etaRows, etaTable } from './bench-move-eta.js'
import {
  loadTable,
  type MoveRatios,
  type MoveRound,
  type MoveShape,
  moveTable,
  ratiosOf,
  type SizeResult,
  sizeShapes,
  sizesTable
} from './bench-move-figures.js'
import { loadPlot, movePlot, sizesPlot } from './bench-move-plots.js'
import { moveRedis, redisMissing } from './bench-move-redis.js'
import { moveRingd } from './bench-move-ringd.js'
import { shown } from './bench-statistics.js'

export interface MoveOptions {
  readonly rounds: number
  /** With `sizes` the largest ones that are measured. */
  readonly keys: number
  readonly valueBytes: number
  /** The executable of the floor prototypes. */
  readonly floor: string | undefined
  /** Each round also measures a join under load. */
  readonly load: boolean
  /** Sizes are measured instead of rounds. */
  readonly sizes: boolean
  /** Folder for plots. */
  readonly out: string | undefined
}

export interface MoveResult {
  readonly shape: MoveShape
  readonly rounds: readonly MoveRound[]
  readonly ratios: MoveRatios
  /** Why a side was not measured. */
  readonly skipped: { readonly floor?: string; readonly redis?: string }
}

type Print = (line: string) => void

const MEMBERS = 3

export async function benchMove(print: Print, options: MoveOptions): Promise<MoveResult | { sizes: SizeResult[] }> {
  return options.sizes ? { sizes: await measureSizes(print, options) } : await measureRounds(print, options)
}

async function measureRounds(print: Print, options: MoveOptions): Promise<MoveResult> {
  const { keys, valueBytes } = options
  const shape = { members: MEMBERS, keys, valueBytes }
  const pull = findPull(options.floor)
  const missing = redisMissing()
  const skipped = {
    ...(pull === undefined && { floor: 'no --floor or BENCH_FLOOR with pull.mjs beside it' }),
    ...(missing !== undefined && { redis: missing })
  }
  for (const [side, reason] of Object.entries(skipped)) print(`${side} skipped: ${reason}`)
  const rounds: MoveRound[] = []
  for (let round = 0; round < options.rounds; round++) {
    rounds.push({
      floor: pull === undefined ? undefined : await runFloorPull(pull),
      ringd: await moveRingd(shape, false),
      redis: missing === undefined ? await moveRedis(shape) : undefined,
      loaded: options.load ? await moveRingd(shape, true) : undefined
    })
  }
  print(`${keys} keys with ${valueBytes} random bytes at ${MEMBERS} members; medians of ${rounds.length} rounds`)
  print(moveTable(rounds))
  print(
    'ringd syncs every batch to disk; the floor syncs nothing; Redis writes nothing to disk (save "", appendonly no)'
  )
  for (const { ringd } of rounds) {
    print('time left as the status of the joiner told it while the ring was idle:')
    print(etaTable(etaRows(ringd.told, ringd.seconds * 1000)))
  }
  const loads = loadTable(rounds)
  if (loads !== undefined) print(loads)
  if (options.out !== undefined) {
    keep(print, options.out, 'move.svg', movePlot(rounds))
    const loaded = rounds.find((round) => round.loaded !== undefined)?.loaded
    if (loaded?.load !== undefined) keep(print, options.out, 'move-load.svg', loadPlot(loaded.load, loaded.seconds))
  }
  return { shape, rounds, ratios: ratiosOf(rounds), skipped }
}

async function measureSizes(print: Print, { keys, valueBytes, out }: MoveOptions): Promise<SizeResult[]> {
  const results: SizeResult[] = []
  for (const { shape, skipped } of sizeShapes({ keys, valueBytes })) {
    const move = skipped === undefined ? await moveRingd(shape, false) : undefined
    results.push({ shape, move, ...(skipped !== undefined && { skipped }) })
    const what = `${shape.members} members, ${shape.keys} keys, ${shape.valueBytes} B`
    print(`${what}: ${skipped ?? `${shown(move?.mibPerSecond, 1)} MiB/s, ${shown(move?.seconds, 1)} s`}`)
  }
  print(sizesTable(results))
  if (out !== undefined) keep(print, out, 'move-sizes.svg', sizesPlot(results))
  return results
}

function keep(print: Print, folder: string, name: string, content: string): void {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, name)
  writeFileSync(path, content)
  print(`wrote ${path}`)
}
