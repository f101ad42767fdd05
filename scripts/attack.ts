// `npm run attack`: attacks on a ring of real daemons, with a good client beside each. It prints a table. It exits with
// 1 when a bound was broken. It signals only processes that it started, and all of them listen on loopback.
import { parseArgs } from 'node:util'
import { ROLES, type Role } from '../test/attack/attack.js'
import { ATTACKS } from '../test/attack/attacks/all.js'
import { Campaign, type Step } from '../test/attack/campaign.js'
import {
  type AttackResult,
  brokenBounds,
  LOG_BYTES_PER_SECOND_MAX,
  MEMORY_MIB_MAX,
  P99_MS_MAX,
  table
} from '../test/attack/report.js'
import { removeFolders } from '../test/attack/ring.js'
import { killAll } from './bench-processes.js'

const SECONDS_DEFAULT = 6
const SECONDS_MAX = 600
const LOG_KIB = LOG_BYTES_PER_SECOND_MAX / 1024

const HELP = `npm run attack [-- options]

Starts a ring of three real daemons with a ring secret and a Redis password, and a good client that reads and writes
keys of its own. Then it runs one attack after the other against the ring, and judges each:

  daemons     all go on, take at most ${MEMORY_MIB_MAX} MiB more than when idle, log at most ${LOG_KIB} KiB in a second
  members     nobody is taken for down, and no view is made that nobody asked for
  writes      no acknowledged write is lost or hidden
  clients     the good client's p99 stays below ${P99_MS_MAX} ms; operators and new Redis clients are let in
  attacker    reaches nothing that it must not reach

The exit code is 0 when all bounds were kept, 1 when one was broken, 2 when an option is wrong.

  --only A,B      only these attacks
  --as A,B        only as these: ${ROLES.join(', ')}
  --seconds S     how long each attack lasts (default ${SECONDS_DEFAULT})
  --seed N        what the attackers draw (default 1)
  --untimed       the p99 is printed and breaks nothing, for a machine that does other work
  --list          prints what each attack tries, and what must hold
  --json          one JSON document on stdout`

interface Options {
  readonly steps: readonly Step[]
  readonly seconds: number
  readonly seed: number
  readonly isTimed: boolean
  readonly json: boolean
}

function numberOf(text: string | undefined, name: string, usual: number, most: number): number {
  const value = text === undefined ? usual : Number(text)
  if (value > 0 && value <= most) return value
  throw new Error(`--${name} ${text}: expected a number above 0 and up to ${most}`)
}

function rolesOf(text: string | undefined): readonly Role[] {
  if (text === undefined) return ROLES
  const names = text.split(',').map((name) => name.trim())
  for (const name of names) {
    if (!ROLES.some((role) => role === name)) throw new Error(`--as ${name}: expected ${ROLES.join(', ')}`)
  }
  return ROLES.filter((role) => names.includes(role))
}

/** In the order of the roles, so that the ring is replaced as rarely as possible. */
function stepsOf(only: string | undefined, as: string | undefined): readonly Step[] {
  const names = only?.split(',').map((name) => name.trim())
  for (const name of names ?? []) {
    if (!ATTACKS.some((attack) => attack.name === name))
      throw new Error(`--only: there is no attack ${name}; see --list`)
  }
  const attacks = ATTACKS.filter(({ name }) => names === undefined || names.includes(name))
  return rolesOf(as).flatMap((role) => {
    return attacks.filter((attack) => attack.as.includes(role)).map((attack) => ({ attack, as: role }))
  })
}

function list(): string {
  return ATTACKS.map(({ name, as, tries, holds }) => `${name}  (as ${as.join(', ')})\n    ${tries}\n    ${holds}`).join(
    '\n'
  )
}

async function run({ steps, seconds, seed, isTimed, json }: Options): Promise<number> {
  const say = (line: string) => console.error(line)
  const campaign = new Campaign({ seconds, seed, say })
  const results: AttackResult[] = []
  try {
    for (const step of steps) {
      const result = await campaign.run(step)
      results.push(result)
      const broken = brokenBounds(result, isTimed)
      const verdict = broken.length === 0 ? 'held' : `BROKEN: ${broken.map(({ text }) => text).join('; ')}`
      const p99 = result.p99Ms === null ? '-' : Math.round(result.p99Ms)
      say(`${step.attack.name} as ${step.as}: +${result.memoryMiB} MiB, p99 ${p99} ms, ${verdict}`)
      say(`    ${JSON.stringify(result.did)}`)
    }
  } finally {
    await campaign.end()
  }
  const isHeld = results.every((result) => brokenBounds(result, isTimed).length === 0)
  console.log(
    json ? JSON.stringify({ seconds, seed, isTimed, isHeld, results }, undefined, 2) : table(results, isTimed)
  )
  return isHeld ? 0 : 1
}

async function main(argv: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ...{ only: text, as: text, seconds: text, seed: text },
      ...{ untimed: flag, list: flag, json: flag, help: flag }
    }
  })
  if (values.help || values.list) {
    console.log(values.help ? HELP : list())
    return 0
  }
  return run({
    steps: stepsOf(values.only, values.as),
    seconds: numberOf(values.seconds, 'seconds', SECONDS_DEFAULT, SECONDS_MAX),
    seed: numberOf(values.seed, 'seed', 1, 2 ** 31),
    isTimed: values.untimed !== true,
    json: values.json ?? false
  })
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killAll()
    removeFolders()
    process.exit(130)
  })
}
main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (thrown: Error) => {
    killAll()
    console.error(`${thrown.message}\nSee npm run attack -- --help.`)
    process.exit(2)
  }
)
