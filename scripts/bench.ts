// `npm run bench [-- ring|redis|join|evict|return|forget]`: measures on this machine; without a name all, with less
// work. Changes nothing. Ends every process that it started, even when a signal stops it.
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
  redis    redis-benchmark through one of three peers, in turns with the floor prototypes if there are any
  join     a fourth peer joins three that hold data, under a light load
  evict    one of five peers is killed, and the others make its copies again
  return   one of five peers is killed, one key in a hundred changes, and the peer starts again
  forget   all keys are deleted while one of five peers is away, and the peer starts again with all of them
  (none)   all of them, with less work

  --rounds N     rounds of redis and evict (default 3; 1 when all are run)
  --floor PATH   the floor prototypes (default: $BENCH_FLOOR; without them only ringd is measured)
  --away S       seconds for which the peer of return is away (default 60; 10 when all are run)
  --keys N       keys of join, evict, return and forget, 1 kB each (default 200000; 20000 when all are run)
  --json         print one JSON document instead of tables`

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
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${text}: expected a whole number from 1, for --rounds, --keys and --away`)
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
