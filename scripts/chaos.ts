// `npm run chaos`: real daemons under faults drawn from a seed. The simulator's checkers check the results.
// As root it first enters a network and a mount namespace of its own. The kernel then removes the namespaces, links and
// small disks that it makes there when it ends, also after SIGKILL. It sends signals only to processes that it started.
import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Campaign } from '../test/chaos/campaign.js'
import { canSlowSyncs } from '../test/chaos/machine.js'
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

Starts real daemons and client processes that send operations through all of them. Faults of daemons, disks and network
are drawn from the seed. Then it ends all faults, waits until the ring is whole, reads every key through every daemon,
stops the daemons, and checks the clients' histories and the disks. The exit code is 0 when no promise was broken,
1 when one was, 2 when an option is wrong or the campaign could not run.

  --minutes M     how long faults come (default 3); recovery and checks follow
  --seed S        the faults and operations are drawn from it (default 1); timing depends on the machine, so runs differ
  --members N     daemons at the start, ${MEMBERS_MIN} to ${MEMBERS_MAX} (default: drawn from the seed)
  --faults A,B    only these faults (default: all that this machine can perform)
  --evict         the ring evicts lost members (--evict-after); without this option the campaign removes them
  --plain         no namespaces and no small disks, even as root
  --keep          keep histories, logs and data also when no promise was broken
  --json          print the report as JSON on stdout, progress on stderr

${FAULT_KINDS.map((kind) => `  ${kind.padEnd(width)}  ${FAULTS[kind].text}`).join('\n')}

Faults of network and disks need root, ip, unshare, nsenter and mount. When a promise was
broken, histories, logs and data are kept in .ringd/chaos/.`

const MAIN = fileURLToPath(new URL('../daemon/main.js', import.meta.url))
const SELF = fileURLToPath(import.meta.url)
const KEPT = '.ringd/chaos'
/** This environment variable is set in the process that runs in namespaces of its own. */
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
    if (!FAULT_KINDS.some((kind) => kind === name)) throw new Error(`--faults: there is no fault ${name}; see --help`)
  }
  return FAULT_KINDS.filter((kind) => named.includes(kind))
}

/** The reason why this process cannot have namespaces of its own; undefined when it can. */
function whyNotPrivate(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  const tried = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', 'ip netns list && mount -t tmpfs tmpfs /mnt'])
  if (tried.status === 0 && spawnSync('nsenter', ['--version']).status === 0) return undefined
  return `unshare, ip, nsenter or mount does not work: ${tried.stderr?.toString().trim() || 'not found'}`
}

/** Runs this program again in its own network and mount namespace. Resolves with its exit code. */
function enter(argv: readonly string[]): Promise<number> {
  // `ip netns` mounts the namespaces that it makes in /run/netns. A private mount there hides them from the machine.
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
      // A child that was killed could not remove its folders.
      for (const folder of foldersOf(child.pid)) rmSync(folder, { recursive: true, force: true })
      resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL'])
    })
  })
}

/** Temporary folders of the child. unshare and sh exec the program, so its pid, in their names, is the child's pid. */
function foldersOf(pid: number | undefined): string[] {
  const names = readdirSync(tmpdir()).filter((name) => name.startsWith(`ringd-chaos-${pid}-`))
  return names.map((name) => join(tmpdir(), name))
}

/** Kinds of faults that this machine cannot perform, with the reason. */
function unavailableOf(kinds: readonly FaultKind[], why: string | undefined): Record<string, string> {
  const whyNot = { network: why, disk: why, compiler: canSlowSyncs() ? undefined : 'no C compiler' }
  const reasons = kinds.flatMap((kind) => {
    const { needs } = FAULTS[kind]
    const reason = needs && whyNot[needs]
    return reason === undefined ? [] : [[kind, `(${reason})`] as const]
  })
  return Object.fromEntries(reasons)
}

async function run(options: Options, isPrivate: boolean, why: string | undefined): Promise<number> {
  const { minutes, seed, members, evict, json } = options
  const unavailable = unavailableOf(options.kinds, why)
  const kinds = options.kinds.filter((kind) => unavailable[kind] === undefined)
  const plan = generateChaosPlan({ seed, minutes, members, kinds })
  const canEvict = spawnSync(process.execPath, [MAIN, 'daemon', '--help']).stdout.includes('--evict-after')
  const isLeft = evict && canEvict
  const say = (text: string) => console.error(text)
  if (evict && !canEvict) say('these daemons have no --evict-after: the campaign removes lost members')
  for (const [kind, reason] of Object.entries(unavailable)) say(`fault ${kind} is left out ${reason}`)
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
