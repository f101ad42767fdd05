// `ringd daemon`: one process, from its configuration to its last log line. Owns signals, run.json and the exit code.
// SIGHUP reads the secret file again.
// The first SIGTERM or SIGINT drains, the second ends the process at once: every
// acknowledged write is on disk.
import type { Command } from 'commander'
import { ERRORS, RingdError, toRingdError } from '../../lib/errors.js'
import type { DaemonLogger } from '../logging.js'
import { type RunInfo, type RunningDaemon, removeRunFile, writeRunFile } from '../run-file.js'
import { DaemonSecrets } from '../secret-files.js'
import { SETTING_HELP, SETTING_KEYS } from '../setting-help.js'
import { VERSION } from '../version.js'
import { gather } from './peer-options.js'

/** Draining takes as long as the slowest answer. After this time something is stuck, and the process ends anyway. */
const STOP_MS_MAX = 30_000
/** A peer that is still joining has acknowledged nothing, so there is nothing to wait for. */
const STOP_WHILE_STARTING_MS_MAX = 2000

/** A daemon that has left answers for this long, so that the command that waits for it sees that it has left. */
const LEFT_MS = 1000
const PASSWORD_SHOWN =
  'the password on the command line can be read by every user of this machine; use --resp-password-file'

type Options = Readonly<Record<string, unknown>>

export function addDaemonCommand(program: Command): void {
  const command = program.command('daemon').description('run a peer until SIGTERM or SIGINT')
  command.option('--config <file>', 'YAML file with the keys of the flags below, without the dashes')
  for (const key of SETTING_KEYS) {
    const { argument, text, repeatable } = SETTING_HELP[key]
    const flag = `--${key} ${argument}`.trimEnd()
    if (repeatable) command.option(flag, `${text}; may be repeated`, gather)
    else command.option(flag, text)
  }
  command.addHelpText('after', DAEMON_HELP)
  command.action(async () => {
    // Only this command needs them, and they take a third of the time in which the others start.
    const [{ loadConfig }, { createLogger }] = await Promise.all([import('../config.js'), import('../logging.js')])
    const flags = byKey(command.opts())
    const config = loadConfig(flags, process.env)
    const log = createLogger(config.logLevel)
    const secrets = new DaemonSecrets(config.secretFile)
    await secrets.load()
    warnOfSuperuser(log)
    if (flags['resp-password'] !== undefined) log.warn({}, PASSWORD_SHOWN)
    process.exit(
      await new DaemonProcess(config.data, log, secrets).run(async () => {
        const { runDaemon } = await import('../compose.js')
        return runDaemon(config, log, secrets)
      })
    )
  })
}

const DAEMON_HELP = `
Every flag is also a variable and a key of the file: --max-key-bytes is RINGD_MAX_KEY_BYTES and max-key-bytes.
Flags override variables, variables override the file, the file overrides defaults.

Examples
  ringd daemon --data ./a --port-base 4710
  ringd daemon --data ./b --port-base 4720 --join /ip4/127.0.0.1/tcp/4710
  ringd daemon --data /var/lib/ringd --listen /ip4/10.0.0.5/tcp/4710 --join /ip4/10.0.0.4/tcp/4710 \\
               --secret-file /etc/ringd.secret
  ringd daemon --data /var/lib/ringd --resp 10.0.0.5:4712 --resp-password-file /etc/ringd.password

When the peer serves, "ready" is the last line on stdout. Logs are JSON lines on stderr.`

function warnOfSuperuser(log: DaemonLogger): void {
  if (process.geteuid?.() !== 0) return
  log.warn(
    {},
    'running as root, which the daemon never needs; run it as a user of its own that owns the data directory'
  )
}

/** Commander names options in camel case; the configuration uses the keys with dashes. */
function byKey(options: Options): Options {
  const dashed = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [dashed(name), value]))
}

/** The process around the node. Every wait is bounded, except serving. */
class DaemonProcess {
  readonly #data: string
  readonly #log: DaemonLogger
  readonly #secrets: DaemonSecrets
  readonly #told: Promise<'told'>

  constructor(data: string, log: DaemonLogger, secrets: DaemonSecrets) {
    this.#data = data
    this.#log = log
    this.#secrets = secrets
    this.#told = new Promise((resolve) => this.#watchSignals(() => resolve('told')))
    this.#watchDefects()
    process.on('SIGHUP', () => void this.#reload())
  }

  /** Resolves with the exit code. */
  async run(start: () => Promise<RunningDaemon>): Promise<number> {
    for (;;) {
      try {
        return await this.#live(start)
      } catch (thrown) {
        const error = toRingdError(thrown)
        if (error.code !== 'REMOVED') {
          this.#log.fatal({ error }, 'daemon cannot start; ending')
          return error.form.exit
        }
        this.#log.warn({ error }, 'removed from the ring; joining again as a new member')
      }
    }
  }

  /**
   * Runs as one member. Resolves with the exit code. Throws REMOVED when the process may join again as a new member.
   */
  async #live(start: () => Promise<RunningDaemon>): Promise<number> {
    const starting = start()
    const daemon = await Promise.race([starting, this.#told])
    if (daemon === 'told') return await this.#stopWhileStarting(starting)
    await this.#serve(daemon)
    const end = await Promise.race([daemon.failed, daemon.left, this.#told])
    if (end === undefined) {
      this.#log.info({}, 'left the ring; the daemon ends')
      await Promise.race([pause(LEFT_MS), this.#told])
    }
    const isOver = end instanceof RingdError && end.code !== 'REMOVED'
    if (isOver) this.#log.fatal({ error: end }, 'daemon cannot go on; ending')
    const stopped = await this.#stop(daemon, STOP_MS_MAX)
    if (isOver) return end.form.exit
    if (!stopped) return ERRORS.INTERNAL.exit
    if (end instanceof RingdError) throw end
    return 0
  }

  async #serve(daemon: RunningDaemon): Promise<void> {
    const info = daemon.runInfo()
    await writeRunFile(this.#data, info)
    this.#log.info({ run: info }, 'serving')
    process.stdout.write(greeting(info))
  }

  async #stopWhileStarting(starting: Promise<RunningDaemon>): Promise<number> {
    this.#log.info({}, 'stop requested while starting; ending')
    const stopping = starting.then((daemon) => this.#stop(daemon, STOP_MS_MAX))
    await within(stopping, STOP_WHILE_STARTING_MS_MAX).catch(() => false)
    return 0
  }

  /** Resolves with false when the daemon did not stop in time, or failed to stop. */
  async #stop(daemon: RunningDaemon, timeoutMs: number): Promise<boolean> {
    await removeRunFile(this.#data)
    try {
      const stopped = await within(
        daemon.stop().then(() => true),
        timeoutMs
      )
      if (stopped) this.#log.info({}, 'stopped')
      else this.#log.error({ timeoutMs }, 'daemon did not stop in time; ending anyway, acknowledged writes are on disk')
      return stopped
    } catch (thrown) {
      this.#log.error(
        { error: toRingdError(thrown) },
        'daemon could not stop cleanly; ending anyway, acknowledged writes are on disk'
      )
      return false
    }
  }

  /** Reads the secret file again. Open connections stay: a secret counts when a connection begins. */
  async #reload(): Promise<void> {
    try {
      const secrets = await this.#secrets.load()
      if (secrets === 0) this.#log.warn({}, 'SIGHUP received; there is no secret file to read again')
      else this.#log.info({ secrets }, 'secret file read again')
    } catch (thrown) {
      this.#log.error({ error: toRingdError(thrown) }, 'secret file cannot be used; the former secrets stay in use')
    }
  }

  #watchSignals(tell: () => void): void {
    let told = false
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (told) {
          this.#log.warn({ signal }, 'second stop signal; ending at once')
          process.exit(signal === 'SIGINT' ? 130 : 143)
        }
        told = true
        this.#log.info({ signal }, 'stop signal received; draining')
        tell()
      })
    }
  }

  #watchDefects(): void {
    const die = (thrown: unknown, message: string) => {
      this.#log.fatal({ error: thrown instanceof Error ? thrown : toRingdError(thrown) }, message)
      process.exit(ERRORS.INTERNAL.exit)
    }
    process.on('uncaughtException', (thrown) => die(thrown, 'uncaught exception: a defect; ending'))
    process.on('unhandledRejection', (thrown) => die(thrown, 'unhandled rejection: a defect; ending'))
    // The process that started the daemon may stop reading stdout; serving goes on.
    process.stdout.removeAllListeners('error')
    process.stdout.on('error', (error) => this.#log.warn({ error }, 'stdout is closed; serving goes on'))
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** The result of `work`, or false when it takes longer than `timeoutMs`. */
async function within(work: Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const late = new Promise<false>((resolve) => setTimeout(() => resolve(false), timeoutMs))
  return Promise.race([work, late])
}

function greeting(info: RunInfo): string {
  const announced = info.announced.filter((address) => !info.multiaddrs.includes(address))
  return [
    `ringd ${VERSION}, peer ${info.peerId}, store ${info.storeId}`,
    ...info.multiaddrs.map((address) => `peers and clients  ${address}`),
    ...announced.map((address) => `announced          ${address}`),
    `redis clients      ${info.resp ?? 'off'}`,
    'ready',
    ''
  ].join('\n')
}
