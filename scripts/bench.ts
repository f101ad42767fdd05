// `npm run bench [-- ring|redis|atomic|join|move|resume|evict|return|forget|compare]`: the benchmarks. Without a name
// it runs all but the last, in a short form. It changes nothing in the project, and ends every process that it started,
// also on SIGINT and SIGTERM.
import { parseArgs } from 'node:util'
import { benchAtomic } from './bench-atomic.js'
import { benchCompare } from './bench-compare.js'
import { benchEvict } from './bench-evict.js'
import { benchForget } from './bench-forget.js'
import { benchJoin } from './bench-join.js'
import { VALUE_BYTES } from './bench-load.js'
import { benchMove, type MoveOptions } from './bench-move.js'
import { runCommand } from './bench-processes.js'
import { benchRedis } from './bench-redis.js'
import { benchResume } from './bench-resume.js'
import { benchReturn } from './bench-return.js'
import { benchRing } from './bench-ring.js'

const HELP = `npm run bench [-- NAME] [options]

  ring     balance, movement and computing time of rings of 3 to 64 members
  redis    redis-benchmark through one of three peers; also the floor prototypes, if they are named
  atomic   INCR, SET NX, EXPIRE and groups beside SET, through one of three peers, and beside Redis
  join     a fourth peer joins three that hold data, under a light load
  move     a fourth peer joins three that hold random values, beside Redis Cluster and the floor of moving data
  resume   a fourth peer joins three, and it or one of its sources is killed again and again
  evict    one of five peers is killed, and the others restore its copies
  return   one of five peers is killed, one key in a hundred changes, and the peer starts again
  forget   all keys are deleted while one of five peers is away with all of them, then that peer starts again
  compare  redis-benchmark asks this build and the build in another folder by turns
  (none)   all but compare, in a short form

  --rounds N       rounds of redis, atomic, move and evict (default 3; 1 when all are run), and pairs of compare (10
                   times N)
  --other PATH     compare: the folder of another checkout, built
  --floor PATH     redis and move: executable with the floor prototypes (default: $BENCH_FLOOR)
  --away S         return: seconds for which the peer is away (default 60; 10 when all are run)
  --kills N        resume: kills of the joiner, and of a source (default 10; 1 when all are run)
  --keys N         keys of 1 kB for join, resume, evict, return and forget (default 200000), and keys for move (default
                   300000); 20000 when all are run
  --value-bytes B  move: bytes of a value (default 1000)
  --load           move: also a join under a third of the peak load, 80 % of it reads
  --sizes          move: instead 3, 5 and 8 peers, 10^4 to 10^6 keys, values of 100 B to 64 KiB; takes long;
                   --keys and --value-bytes leave out what is larger
  --out DIR        move: writes plots as SVG
  --json           one JSON document instead of tables`

const USUAL = ['ring', 'redis', 'atomic', 'join', 'move', 'resume', 'evict', 'return', 'forget'] as const
const NAMES = [...USUAL, 'compare'] as const
type Name = (typeof NAMES)[number]

interface Options {
  readonly rounds: number
  readonly floor: string | undefined
  readonly other: string | undefined
  readonly keys: number
  readonly awaySeconds: number
  readonly kills: number
  readonly move: Omit<MoveOptions, 'rounds' | 'floor'>
}

type Print = (line: string) => void

const BENCHES: Readonly<Record<Name, (print: Print, options: Options) => Promise<unknown>>> = {
  ring: (print) => benchRing(print),
  redis: benchRedis,
  atomic: benchAtomic,
  join: benchJoin,
  move: (print, { rounds, floor, move }) => benchMove(print, { rounds, floor, ...move }),
  resume: benchResume,
  evict: benchEvict,
  return: benchReturn,
  forget: benchForget,
  compare: (print, { rounds, other }) => benchCompare(print, { rounds: 10 * rounds, other })
}

function whole(text: string | undefined, usual: number): number {
  const value = text === undefined ? usual : Number(text)
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${text} is not a number of rounds, keys, bytes or seconds: expected a whole number of at least 1`)
  return value
}

async function main(argv: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      ...{
        rounds: text,
        floor: text,
        other: text,
        keys: text,
        away: text,
        kills: text,
        'value-bytes': text,
        out: text
      },
      ...{ load: flag, sizes: flag, json: flag, help: flag }
    }
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
    other: values.other,
    keys: whole(values.keys, short ? 20_000 : 200_000),
    awaySeconds: whole(values.away, short ? 10 : 60),
    kills: whole(values.kills, short ? 1 : 10),
    move: {
      keys: whole(values.keys, values.sizes ? Number.MAX_SAFE_INTEGER : short ? 20_000 : 300_000),
      valueBytes: whole(values['value-bytes'], values.sizes ? Number.MAX_SAFE_INTEGER : VALUE_BYTES),
      load: values.load ?? false,
      sizes: values.sizes ?? false,
      out: values.out
    }
  }
  const results: Record<string, unknown> = {}
  for (const name of short ? USUAL : (positionals as Name[])) {
    const lines: string[] = []
    const print: Print = values.json ? (line) => void lines.push(line) : (line) => console.log(line)
    if (!values.json) console.log(`\n${name}`)
    results[name] = (await BENCHES[name](print, options)) ?? lines
  }
  if (values.json) console.log(JSON.stringify(results, undefined, 2))
  return 0
}

if (import.meta.main) await runCommand(main)
