// `npm run bench [-- ring|redis|join|evict|return|forget]`: what things cost here; without a name all, short.
// Measures only. Every process that it starts is ended, also when it is told to stop.
import { parseArgs } from 'node:util'
import { benchEvict } from './bench-evict.js'
import { benchForget } from './bench-forget.js'
import { benchJoin } from './bench-join.js'
import { killAll } from './bench-processes.js'
import { benchRedis } from './bench-redis.js'
import { benchReturn } from './bench-return.js'
import { benchRing } from './bench-ring.js'

const HELP = `npm run bench [-- NAME] [options]

  ring     balance, movement and computing time of rings of 3 to 64 members
  redis    redis-benchmark through one of three peers; beside it the floor prototypes, where there are any
  join     a fourth peer joins three that hold data, under a light load
  evict    one of five peers is killed, and the others make its copies again
  return   one of five peers is killed, one key in a hundred changes, and it comes back
  forget   everything is deleted while one of five peers is away, and it comes back with all of it
  (none)   all of them, short

  --rounds N     of redis and evict (default 3; 1 when all are run)
  --floor PATH   the floor prototypes (default: BENCH_FLOOR; none: only ringd is measured)
  --away S       of return: seconds without it (default 60; 10 when all are run)
  --keys N       of join, evict, return and forget, 1 kB each (default 200000; 20000 when all are run)
  --json         one JSON document instead of tables`

const NAMES = ['ring', 'redis', 'join', 'evict', 'return', 'forget'] as const
type Name = (typeof NAMES)[number]

interface Options {
  readonly rounds: number
  readonly floor: string | undefined
  readonly keys: number
  readonly awaySeconds: number
}

type Print = (line: string) => void

const BENCHES: Readonly<Record<Name, (print: Print, options: Options) => Promise<unknown>>> = {
  ring: (print) => benchRing(print),
  redis: benchRedis,
  join: benchJoin,
  evict: benchEvict,
  return: benchReturn,
  forget: benchForget
}

function whole(text: string | undefined, usual: number): number {
  const value = text === undefined ? usual : Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`${text} is no number of rounds, keys or seconds`)
  return value
}

async function main(argv: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { rounds: text, floor: text, keys: text, away: text, json: flag, help: flag }
  })
  const unknown = positionals.find((name) => !NAMES.includes(name as Name))
  if (values.help || unknown !== undefined) {
    console.log(HELP)
    return values.help ? 0 : 2
  }
  const short = positionals.length === 0
  const options = {
    rounds: whole(values.rounds, short ? 1 : 3),
    floor: values.floor ?? process.env['BENCH_FLOOR'],
    keys: whole(values.keys, short ? 20_000 : 200_000),
    awaySeconds: whole(values.away, short ? 10 : 60)
  }
  const results: Record<string, unknown> = {}
  for (const name of short ? NAMES : (positionals as Name[])) {
    const lines: string[] = []
    const print: Print = values.json ? (line) => void lines.push(line) : (line) => console.log(line)
    if (!values.json) console.log(`\n${name}`)
    results[name] = (await BENCHES[name](print, options)) ?? lines
  }
  if (values.json) console.log(JSON.stringify(results, undefined, 2))
  return 0
}

if (import.meta.main) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      killAll()
      process.exit(130)
    })
  }
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : thrown)
    process.exitCode = 1
  } finally {
    killAll()
  }
}
