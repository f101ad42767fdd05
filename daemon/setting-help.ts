// The defaults of all settings, and their help texts. It loads no schema: every command loads this table, and only the
// daemon reads a configuration.
import { HINT_AGE_MS, HINT_BYTES_MAX } from '../lib/actors/hints/hints.js'
import { PURGE_AFTER_MS } from '../lib/actors/purge.js'
import { EVICTION_DEFAULTS } from '../lib/detector/eviction-rule.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../lib/limits.js'
import type { LogLevel } from './logging.js'

export const HOUR_MS = 3_600_000
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** The default of each setting that has one. */
export const DEFAULTS = {
  listen: '/ip4/127.0.0.1/tcp/0',
  resp: { host: '127.0.0.1', port: 4712 },
  weight: 1,
  expect: 0,
  replicas: 3,
  hintHours: HINT_AGE_MS / HOUR_MS,
  consistency: 'quorum',
  evictAfterS: EVICTION_DEFAULTS.evictAfterMs / 1000,
  purgeAfterS: PURGE_AFTER_MS / 1000,
  scrubDays: 7,
  respIdleS: 0,
  logLevel: 'info'
} as const

interface SettingHelp {
  /** Empty for a flag without a value. */
  readonly argument: string
  readonly text: string
  readonly repeatable?: boolean
}

const HELP = {
  data: { argument: '<dir>', text: 'directory of this peer (required; created when missing)' },
  listen: {
    argument: '<multiaddr>',
    text: `address on which peers and clients connect (default: ${DEFAULTS.listen})`,
    repeatable: true
  },
  announce: {
    argument: '<multiaddr>',
    text: 'address by which other peers reach this one, when it is not an address to listen on (port mapping, NAT)',
    repeatable: true
  },
  join: {
    argument: '<multiaddr>',
    text: 'address of any peer of the ring to join; without it, a new directory founds a ring',
    repeatable: true
  },
  expect: {
    argument: '<n>',
    text: 'found a ring when this many peers with empty directories have met by --join; give all peers one list'
  },
  ring: { argument: '<id>', text: 'join this ring only; ringd id prints the id of a ring' },
  'secret-file': {
    argument: '<file>',
    text: 'ring secrets, one on each line: the first is preferred, all are accepted; SIGHUP reads them again'
  },
  insecure: {
    argument: '',
    text: 'listen beyond loopback without a secret: everybody who reaches the port is a member'
  },
  resp: {
    argument: '<host:port|off>',
    text: `address for Redis clients (default: ${DEFAULTS.resp.host}:${DEFAULTS.resp.port})`
  },
  'resp-password': {
    argument: '<text>',
    text: 'password of Redis clients (AUTH); other users see it in ps, so prefer --resp-password-file'
  },
  'resp-password-file': {
    argument: '<file>',
    text: 'file with that password in one line, which only its owner may read'
  },
  'resp-idle-timeout': {
    argument: '<seconds>',
    text: 'close Redis clients that are silent for this long (default: 0, never)'
  },
  'port-base': {
    argument: '<port>',
    text: 'P: peers on 127.0.0.1:P, HTTP (reserved) on P+1, Redis on P+2; --listen and --resp override it'
  },
  zone: {
    argument: '<name>',
    text: 'name of what fails together with this peer (a rack); copies go to different zones'
  },
  weight: { argument: '<number>', text: 'share of the data, relative to other peers (default: 1)' },
  replicas: { argument: '<n>', text: 'copies of each entry (default: 3); only the founder of a ring decides' },
  'max-key-bytes': { argument: '<bytes>', text: `refuse longer keys (default and most: ${KEY_BYTES_MAX})` },
  'max-value-bytes': { argument: '<bytes>', text: `refuse longer values (default and most: ${VALUE_BYTES_MAX})` },
  'hint-bytes': {
    argument: '<bytes>',
    text: `disk space for hints, writes kept for members that are away (default: ${HINT_BYTES_MAX}; 0: none)`
  },
  'hint-hours': { argument: '<hours>', text: `how long a hint is kept (default: ${DEFAULTS.hintHours})` },
  'read-consistency': {
    argument: '<level>',
    text: `one, quorum or all, when the client names none (default: ${DEFAULTS.consistency})`
  },
  'write-consistency': {
    argument: '<level>',
    text: `one, quorum or all, when the client names none (default: ${DEFAULTS.consistency})`
  },
  'evict-after': {
    argument: '<seconds>',
    text: 'the ring goes on without a member that is down for this long (default: 60; 0: never)'
  },
  'on-loss': {
    argument: '<recover|wait>',
    text: `too few owners would remain: use the remaining copies, or wait (default: ${EVICTION_DEFAULTS.onLoss})`
  },
  'purge-after': {
    argument: '<seconds>',
    text: 'remove deleted and expired entries from the disks after this long, when all owners are up (default: 60)'
  },
  'scrub-days': {
    argument: '<days>',
    text: 'read every entry once within this many days to find damaged ones; 0: never (default: 7)'
  },
  'log-level': { argument: '<level>', text: `${LOG_LEVELS.join(', ')} (default: ${DEFAULTS.logLevel})` }
} satisfies Record<string, SettingHelp>

export type SettingKey = keyof typeof HELP
/** The help of each setting in `ringd daemon --help`. */
export const SETTING_HELP: Readonly<Record<SettingKey, SettingHelp>> = HELP
export const SETTING_KEYS = Object.keys(SETTING_HELP) as SettingKey[]
