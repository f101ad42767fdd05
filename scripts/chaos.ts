// `npm run chaos`: runs real daemons under real faults, drawn from a seed; the checkers of the simulator check the
// result. As root it first enters its own network and mount namespace. So the kernel removes its namespaces, links and
// small disks when it ends, even when it is killed. It signals only its own processes.
import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Campaign } from '../test/chaos/campaign.js'
import {
  FAULT_KINDS,
  FAULTS,
  type FaultKind,
  generateChaosPlan,
  MEMBERS_MAX,
  MEMBERS_MIN
} from '../test/chaos/plan-generator.js'
import { render } from '../test/chaos/report.js'

const width = Math.max(...FAULT_KINDS.map(({ length }) => length))
const HELP = `npm run chaos [-- options]

Starts real daemons and client processes that work through all of them. Injects faults into daemons, disks and network,
drawn from the seed. Then heals all faults, waits until the ring is whole, reads every key through every daemon, stops
the daemons, and checks the histories of the clients and the contents of the disks. Exit code 0: no promise was broken.

  --minutes M     duration of the faults (default 3; healing and checking come after it)
  --seed S        draws the faults and the work of clients (default 1); timing is real, so two runs differ
  --members N     daemons at the beginning, ${MEMBERS_MIN} to ${MEMBERS_MAX} (default: drawn)
  --faults A,B    only these faults (default: all that this machine allows)
  --evict         the ring evicts lost members by --evict-after (else: ringd remove removes them)
  --plain         use no namespaces and no disks of its own, even as root
  --keep          keep histories, logs and data even when no promise was broken
  --json          print the report as JSON on stdout; progress on stderr

${FAULT_KINDS.map((kind) => `  ${kind.padEnd(width)}  ${FAULTS[kind].text}`).join('\n')}

Faults of network and disks need root, ip, unshare, nsenter and mount. When a promise was broken, histories, logs and
data stay in .ringd/chaos/.`

const MAIN = fileURLToPath(new URL('../daemon/main.js', import.meta.url))
const SELF = fileURLToPath(import.meta.url)
const KEPT = '.ringd/chaos'
/** Set in the process that runs inside its own namespaces. */
const INSIDE = 'CHAOS_INSIDE'
const EVICT_AFTER_S = 15
const MINUTES_DEFAULT = 3
const MINUTES_MAX = 24 * 60

interface Options {
  readonly minutes: number
  readonly seed: number
  readonly members: number | undefined
  readonly kinds: readonly FaultKind[]
  readonly evict: boolean
  readonly keep: boolean
  readonly json: boolean
}

function numberOf(text: string | undefined, name: string, least: number, most: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() !== '' && value >= least && value <= most) return value
  throw new Error(`--${name} ${text}: expected a number from ${least} to ${most}`)
}

function wholeOf(text: string | undefined, name: string, least: number, most: number): number | undefined {
  const value = numberOf(text, name, least, most)
  if (value === undefined || Number.isInteger(value)) return value
  throw new Error(`--${name} ${text}: expected a whole number`)
}

function kindsOf(text: string | undefined): readonly FaultKind[] {
  if (text === undefined) return FAULT_KINDS
  const named = text.split(',').map((name) => name.trim())
  for (const name of named) {
    if (!FAULT_KINDS.some((kind) => kind === name))
      throw new Error(`--faults: there is no fault ${name}; --help lists them`)
  }
  return FAULT_KINDS.filter((kind) => named.includes(kind))
}

/** The reason why this process cannot make its own namespaces. Undefined: it can. */
function whyNotPrivate(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  const tried = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', 'ip netns list && mount -t tmpfs tmpfs /mnt'])
  if (tried.status === 0 && spawnSync('nsenter', ['--version']).status === 0) return undefined
  return `unshare, ip, nsenter or mount does not work: ${tried.stderr?.toString().trim() || 'not found'}`
}

/** Runs this program again in its own network and mount namespace. Resolves with its exit code. */
function enter(argv: readonly string[]): Promise<number> {
  // `ip netns` mounts namespaces in /run/netns. A private /run/netns keeps them apart from those of the machine.
  const script = 'mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec "$@"'
  const inner = ['sh', '-c', script, 'sh', process.execPath, SELF, ...argv]
  const child = spawn('unshare', ['--net', '--mount', ...inner], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' }
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      // A killed child could not remove its own folders.
      for (const folder of foldersOf(child.pid)) rmSync(folder, { recursive: true, force: true })
      resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL'])
    })
  })
}

/** The temporary folders of a child. unshare becomes the program by exec, so that their names contain its pid. */
function foldersOf(pid: number | undefined): string[] {
  const names = readdirSync(tmpdir()).filter((name) => name.startsWith(`ringd-chaos-${pid}-`))
  return names.map((name) => join(tmpdir(), name))
}

/** The kinds of faults that are impossible here, with the reason. */
function unavailableOf(kinds: readonly FaultKind[], why: string | undefined): Record<string, string> {
  const lacking = kinds.filter((kind) => 'needs' in FAULTS[kind] && why !== undefined)
  return Object.fromEntries(lacking.map((kind) => [kind, `(${why})`]))
}

async function run(options: Options, isPrivate: boolean, why: string | undefined): Promise<number> {
  const { minutes, seed, members, evict, json } = options
  const unavailable = unavailableOf(options.kinds, why)
  const kinds = options.kinds.filter((kind) => unavailable[kind] === undefined)
  const plan = generateChaosPlan({ seed, minutes, members, kinds })
  const canEvict = spawnSync(process.execPath, [MAIN, 'daemon', '--help']).stdout.includes('--evict-after')
  const isLeft = evict && canEvict
  const say = (text: string) => console.error(text)
  if (evict && !canEvict) say('these daemons have no --evict-after: ringd remove removes lost members')
  for (const [kind, reason] of Object.entries(unavailable)) say(`without ${kind} ${reason}`)
  const flags = isLeft ? ['--evict-after', String(EVICT_AFTER_S)] : []
  const campaign = new Campaign({ plan, minutes, isPrivate, unavailable, flags, removes: !isLeft, say })
  const stopped = new Promise<number>((resolve) => {
    process.on('SIGINT', () => resolve(130))
    process.on('SIGTERM', () => resolve(143))
  })
  let keep: string | undefined = join(KEPT, `seed-${seed}-${process.pid}`)
  try {
    const ended = await Promise.race([campaign.run(), stopped])
    if (typeof ended === 'number') {
      keep = undefined
      return ended
    }
    const isSound = ended.violations.length === 0
    if (isSound && !options.keep) keep = undefined
    const report = { ...ended, kept: keep }
    console.log(json ? JSON.stringify(report) : render(report))
    return isSound ? 0 : 1
  } finally {
    await campaign.end(keep)
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ...{ minutes: text, seed: text, members: text, faults: text },
      ...{ evict: flag, plain: flag, keep: flag, json: flag, help: flag }
    }
  })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const options: Options = {
    minutes: numberOf(values.minutes, 'minutes', 0, MINUTES_MAX) ?? MINUTES_DEFAULT,
    seed: wholeOf(values.seed, 'seed', 0, 2 ** 31) ?? 1,
    members: wholeOf(values.members, 'members', MEMBERS_MIN, MEMBERS_MAX),
    kinds: kindsOf(values.faults),
    evict: values.evict ?? false,
    keep: values.keep ?? false,
    json: values.json ?? false
  }
  if (process.env[INSIDE] !== undefined) return run(options, true, undefined)
  const why = values.plain ? '--plain' : whyNotPrivate()
  return why === undefined ? enter(argv) : run(options, false, why)
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (thrown: Error) => {
    console.error(`${thrown.message}\nSee npm run chaos -- --help.`)
    process.exit(2)
  }
)
