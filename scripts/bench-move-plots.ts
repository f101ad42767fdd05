// The plots of benchmark `move`, as SVG texts. Pure.
import {
  type LoadResult,
  type Move,
  type MoveRound,
  medianRates,
  SIZE_MEMBERS,
  SIZE_VALUES,
  type SizeResult
} from './bench-move-figures.js'
import { type Bar, barsSvg, type Line, linesSvg, type Mark } from './bench-svg.js'

/** Bars of the medians, for each side that was measured. */
export function movePlot(rounds: readonly MoveRound[]): string {
  const sides: ReadonlyArray<
    readonly [string, (round: MoveRound) => Pick<Move, 'keysPerSecond' | 'mibPerSecond'> | undefined]
  > = [
    ['floor', ({ floor }) => floor],
    ['ringd', ({ ringd }) => ringd],
    ['redis', ({ redis }) => redis],
    ['under load', ({ loaded }) => loaded]
  ]
  const measured = sides.flatMap(([label, pick]) => {
    const rates = medianRates(rounds.map(pick))
    return rates === undefined ? [] : { label, ...rates }
  })
  const bars = (pick: (rates: (typeof measured)[number]) => number): Bar[] =>
    measured.map((side) => ({ label: side.label, value: pick(side) }))
  return barsSvg([
    { title: 'MiB/s moved to one joiner', bars: bars(({ mibPerSecond }) => mibPerSecond) },
    { title: 'keys/s moved to one joiner', bars: bars(({ keysPerSecond }) => keysPerSecond) }
  ])
}

/** MiB/s against the number of keys: a panel for each number of members, a line for each length of values. */
export function sizesPlot(results: readonly SizeResult[]): string {
  const lineOf = (members: number, valueBytes: number): Line => {
    const its = results.filter(({ shape }) => shape.members === members && shape.valueBytes === valueBytes)
    const points = its.flatMap(({ shape, move }) =>
      move === undefined ? [] : [[shape.keys, move.mibPerSecond] as const]
    )
    return { name: `${valueBytes} B values`, points }
  }
  return linesSvg(
    SIZE_MEMBERS.map((members) => ({
      title: `MiB/s to one that joins ${members}`,
      xTitle: 'keys',
      xScale: 'log',
      lines: SIZE_VALUES.map((valueBytes) => lineOf(members, valueBytes))
    }))
  )
}

/** Latency and pace over time. `seconds`: how long the move took. */
export function loadPlot({ seconds: rows }: LoadResult, seconds: number): string {
  const marks: Mark[] = [
    { name: 'the joiner serves', x: 0 },
    { name: 'it holds everything', x: seconds }
  ]
  const line = (name: string, pick: (row: LoadResult['seconds'][number]) => number | undefined): Line => ({
    name,
    points: rows.flatMap((row) => {
      const value = pick(row)
      return value === undefined ? [] : [[row.second, value] as const]
    })
  })
  const shared = { xTitle: 's since the joiner serves', xScale: 'linear', marks } as const
  return linesSvg([
    {
      title: 'latency of the load, ms',
      lines: [line('p50', ({ p50Ms }) => p50Ms), line('p99', ({ p99Ms }) => p99Ms)],
      ...shared
    },
    { title: 'received by the joiner, MiB/s', lines: [line('transfers', ({ mib }) => mib)], ...shared }
  ])
}
