// The configuration of a daemon, from four sources: flags, then RINGD_* variables, then the file, then defaults.
// Owns precedence and the text of every complaint. An unknown key is refused: a typo must not pass silently.
// Throws BAD_CONFIG, or BAD_ADDRESS when only addresses are wrong; the message has one line for each mistake.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import type { OnLoss } from '../lib/detector/eviction-rule.js'
import { RingdError } from '../lib/errors.js'
import type { Consistency } from '../lib/key-value.js'
import { MiB } from '../lib/limits.js'
import { type HostPort, isLoopback, isLoopbackAddress, pinnedPeer } from './address.js'
import type { LogLevel } from './logging.js'
import { readPasswordFile } from './password-file.js'
import type { SecretFile } from './secret-files.js'
import { DEFAULTS, HOUR_MS, SETTING_KEYS, type SettingKey } from './setting-help.js'
import { SETTINGS } from './settings.js'

export interface DaemonConfig {
  /** An absolute path. */
  readonly data: string
  /** Multiaddrs, at least one. With port 0 the system chooses a free port. */
  readonly listen: readonly string[]
  /** Multiaddrs that other peers dial in place of those in `listen`. Empty: they dial those. */
  readonly announce: readonly string[]
  /** Multiaddrs of peers of the ring to join. Empty: a new directory founds a ring. */
  readonly join: readonly string[]
  /** Hex. Peers of another ring are refused. */
  readonly ring: string | undefined
  /** Empty peers that must meet by `join` before one of them founds a ring; 0: a peer that is to join never founds. */
  readonly expect: number
  /** Undefined: everybody who reaches the port is admitted. */
  readonly secretFile: SecretFile | undefined
  /** Undefined: Redis clients cannot connect. */
  readonly resp: HostPort | undefined
  /** Given as it is, or read from its file. */
  readonly respPassword: string | undefined
  /** Seconds; 0: silent clients stay. */
  readonly respIdleSeconds: number
  readonly zone: string
  readonly weight: number
  /** Only the founder of a ring uses it. */
  readonly replicas: number
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
  readonly hintBytesMax: number
  readonly hintAgeMs: number
  readonly readConsistency: Consistency
  readonly writeConsistency: Consistency
  /** 0: never. */
  readonly evictAfterMs: number
  readonly onLoss: OnLoss
  readonly purgeAfterMs: number
  /** The whole store is checked once within this many days; 0: never. */
  readonly scrubDays: number
  readonly logLevel: LogLevel
  /** The settings that a flag, a variable or the file names. */
  readonly given: ReadonlySet<SettingKey>
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Flags by their key (`max-key-bytes`). The key `config` holds the path of the file. */
export type Flags = Readonly<Record<string, unknown>>

/** A value, and its source for the complaint. */
interface Given {
  readonly value: unknown
  readonly source: string
}

const FILE_BYTES_MAX = MiB
/** The name of the secret among the credentials of a systemd service. */
const CREDENTIAL = 'ringd-secret'
const ADDRESS_KEYS: ReadonlySet<string> = new Set<SettingKey>(['listen', 'announce', 'join', 'resp'])
/** Variables that Kubernetes sets in every pod for a service named ringd. */
const FOREIGN_VARIABLES = /^RINGD_(SERVICE_.+|PORT|PORT_\d.+)$/

/** Returns the whole configuration, checked. Reads no file but the configuration file and the password file. */
export function loadConfig(flags: Flags, environment: Environment): DaemonConfig {
  const complaints: string[] = []
  const given = new Map<string, Given>()
  const path = flags['config'] ?? (environment['RINGD_CONFIG'] || undefined)
  if (typeof path === 'string') fromFile(path, given, complaints)
  fromEnvironment(environment, given, complaints)
  for (const key of SETTING_KEYS) {
    if (flags[key] !== undefined) given.set(key, { value: flags[key], source: `--${key}` })
  }
  if (complaints.length > 0) throw new RingdError('BAD_CONFIG', complaints.join('\n'))
  const names = new Set([...given.keys()].filter(isSettingKey))
  return toConfig(validate(given), names, environment)
}

function fromFile(path: string, given: Map<string, Given>, complaints: string[]): void {
  for (const [key, value] of Object.entries(readConfigFile(path))) {
    if (isSettingKey(key)) given.set(key, { value, source: `${path}: ${key}` })
    else complaints.push(`${path}: unknown key ${JSON.stringify(key)}; the nearest is "${nearest(key, SETTING_KEYS)}"`)
  }
}

function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  let content: unknown
  try {
    if (statSync(path).size > FILE_BYTES_MAX)
      throw new RingdError('BAD_CONFIG', `the file is larger than ${FILE_BYTES_MAX} bytes`)
    content = parseYaml(readFileSync(path, 'utf8'))
  } catch (thrown) {
    const reason = thrown instanceof Error ? firstLine(thrown.message) : String(thrown)
    throw new RingdError('BAD_CONFIG', `${path}: ${reason}`, { cause: thrown })
  }
  if (content === null || content === undefined) return {}
  if (typeof content === 'object' && !Array.isArray(content)) return content as Record<string, unknown>
  throw new RingdError('BAD_CONFIG', `${path}: expected lines of "key: value"`)
}

/** An empty variable counts as unset, as in most container tools. */
function fromEnvironment(environment: Environment, given: Map<string, Given>, complaints: string[]): void {
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('RINGD_') || name === 'RINGD_CONFIG' || FOREIGN_VARIABLES.test(name)) continue
    const key = name.slice('RINGD_'.length).toLowerCase().replaceAll('_', '-')
    if (!isSettingKey(key)) {
      const close = variableOf(nearest(key, SETTING_KEYS))
      complaints.push(`unknown environment variable ${name}; the nearest is ${close}`)
    } else if (value !== undefined && value !== '') given.set(key, { value, source: name })
  }
}

function variableOf(key: string): string {
  return `RINGD_${key.toUpperCase().replaceAll('-', '_')}`
}

const SCHEMA = z.object(SETTINGS)

function validate(given: ReadonlyMap<string, Given>): z.infer<typeof SCHEMA> {
  const values = Object.fromEntries([...given].map(([key, { value }]) => [key, value]))
  const result = SCHEMA.safeParse(values)
  if (result.success) return result.data
  const issues = result.error.issues
  const lines = issues.map((issue) => complaint(String(issue.path[0]), issue.message, given))
  const onlyAddresses = issues.every((issue) => ADDRESS_KEYS.has(String(issue.path[0])))
  throw new RingdError(onlyAddresses ? 'BAD_ADDRESS' : 'BAD_CONFIG', lines.join('\n'))
}

function complaint(key: string, message: string, given: ReadonlyMap<string, Given>): string {
  const one = given.get(key)
  if (one === undefined) {
    return `--${key} is missing; it can also be set by ${variableOf(key)} or the key ${key} of the --config file`
  }
  if (ADDRESS_KEYS.has(key)) return firstLine(`${one.source}: ${message}`)
  const shown = key === 'resp-password' ? '' : `, not ${JSON.stringify(one.value)}`
  return firstLine(`${one.source}: ${message}${shown}`)
}

/** `secret-file`, or the credential that systemd has laid ready. */
function secretFileOf(path: string | undefined, environment: Environment): SecretFile | undefined {
  if (path !== undefined) return { path: resolve(path), isCredential: false }
  const folder = environment['CREDENTIALS_DIRECTORY']
  if (!folder || !existsSync(join(folder, CREDENTIAL))) return undefined
  return { path: join(folder, CREDENTIAL), isCredential: true }
}

/** Throws BAD_CONFIG when strangers could come in, or when this peer could join the ring of a stranger. */
function refuseOpenDoors(config: DaemonConfig, insecure: boolean): void {
  const { listen, announce, join: addresses, ring, secretFile } = config
  if (secretFile !== undefined) return
  const open = [...listen, ...announce].find((address) => !isLoopbackAddress(address))
  if (open !== undefined && !insecure) {
    const setting = listen.includes(open) ? 'listen' : 'announce'
    throw new RingdError(
      'BAD_CONFIG',
      `${setting}: other machines can reach ${open}; make a secret with "ringd secret new > FILE" and give ` +
        '--secret-file FILE to every peer of the ring, or let everybody in with --insecure'
    )
  }
  const loose = addresses.find((address) => !isLoopbackAddress(address) && pinnedPeer(address) === undefined)
  if (loose !== undefined && ring === undefined) {
    throw new RingdError(
      'BAD_CONFIG',
      `join: another ring may answer at ${loose}; give --secret-file FILE with the secret of the ring, ` +
        '--ring ID, or add /p2p/ID of the peer (ringd id prints both)'
    )
  }
}

function toConfig(
  values: z.infer<typeof SCHEMA>,
  given: ReadonlySet<SettingKey>,
  environment: Environment
): DaemonConfig {
  const base = values['port-base']
  const listen = base === undefined ? DEFAULTS.listen : `/ip4/127.0.0.1/tcp/${base}`
  const fallback = base === undefined ? DEFAULTS.resp : { host: DEFAULTS.resp.host, port: base + 2 }
  const resp = values.resp ?? fallback
  const respPassword = passwordOf(values)
  if (resp !== 'off' && !isLoopback(resp.host) && respPassword === undefined) {
    throw new RingdError(
      'BAD_CONFIG',
      `resp: other machines can reach ${resp.host}; set resp-password-file as well, or listen on 127.0.0.1`
    )
  }
  const config: DaemonConfig = {
    data: resolve(values.data),
    listen: values.listen === undefined || values.listen.length === 0 ? [listen] : values.listen,
    announce: values.announce,
    join: values.join,
    ring: values.ring,
    expect: values.expect,
    secretFile: secretFileOf(values['secret-file'], environment),
    resp: resp === 'off' ? undefined : resp,
    respPassword,
    respIdleSeconds: values['resp-idle-timeout'],
    zone: values.zone,
    weight: values.weight,
    replicas: values.replicas,
    maxKeyBytes: values['max-key-bytes'],
    maxValueBytes: values['max-value-bytes'],
    hintBytesMax: values['hint-bytes'],
    hintAgeMs: values['hint-hours'] * HOUR_MS,
    readConsistency: values['read-consistency'],
    writeConsistency: values['write-consistency'],
    evictAfterMs: values['evict-after'] * 1000,
    onLoss: values['on-loss'],
    purgeAfterMs: values['purge-after'] * 1000,
    scrubDays: values['scrub-days'],
    logLevel: values['log-level'],
    given
  }
  refuseOpenDoors(config, values.insecure)
  refuseTwoFoundings(config)
  return config
}

/** Peers that could meet in two groups, each of as many as are expected, could found two rings. */
function refuseTwoFoundings({ expect, join }: Pick<DaemonConfig, 'expect' | 'join'>): void {
  if (expect === 0) return
  const addresses = new Set(join).size
  if (addresses === 0) {
    throw new RingdError(
      'BAD_CONFIG',
      'expect: needs join, with the addresses of all peers that found the ring together'
    )
  }
  if (2 * expect <= addresses) {
    throw new RingdError(
      'BAD_CONFIG',
      `expect: must be more than half of the ${addresses} addresses of join, or two rings could be founded`
    )
  }
}

function passwordOf(values: z.infer<typeof SCHEMA>): string | undefined {
  const { 'resp-password': password, 'resp-password-file': file } = values
  if (file === undefined) return password
  if (password === undefined) return readPasswordFile(file)
  throw new RingdError('BAD_CONFIG', 'resp-password and resp-password-file are both set; give one of them')
}

function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(SETTINGS, key)
}

/** The candidate with the smallest edit distance from `word`. Source: Levenshtein 1966. */
export function nearest(word: string, candidates: readonly string[]): string {
  const text = word.slice(0, 64).toLowerCase()
  const ranked = candidates.map((candidate) => ({ candidate, changes: distance(text, candidate) }))
  return ranked.sort((a, b) => a.changes - b.changes)[0]?.candidate ?? ''
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? ''
}
