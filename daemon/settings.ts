// The table of all settings: one row for each key, with its bounds and its default. Help texts are in setting-help.ts.
// One key is a flag (--max-key-bytes), a variable (RINGD_MAX_KEY_BYTES) and a line of the file (max-key-bytes).
import { z } from 'zod'
import { HINT_BYTES_MAX } from '../lib/actors/hints/hints.js'
import { EVICTION_DEFAULTS, ON_LOSS, type OnLoss } from '../lib/detector/eviction-rule.js'
import { RingdError } from '../lib/errors.js'
import { CONSISTENCIES, type Consistency } from '../lib/key-value.js'
import { KEY_BYTES_MAX, REPLICAS_MAX, VALUE_BYTES_MAX, WEIGHT_MAX } from '../lib/limits.js'
import { type HostPort, parseAnnouncedAddress, parseHostPort, parseListenAddress, parsePeerAddress } from './address.js'
import type { LogLevel } from './logging.js'
import { DEFAULTS, LOG_LEVELS, type SettingKey } from './setting-help.js'

const ZONE_LENGTH_MAX = 64
const ADDRESSES_MAX = 64
const HINT_BYTES_LIMIT = 1024 * HINT_BYTES_MAX
/** One week. Repair serves a member that is away for longer better than hints do. */
const HINT_HOURS_MAX = 168
/** Peers that found a ring together; more of them join it later. */
const EXPECT_MAX = 64
/** As `ringd id` prints it. */
const RING_ID = /^[0-9a-f]{32}$/
/** One week. To wait longer, say 0: never. */
const EVICT_AFTER_S_MAX = 604_800
/** Reading an entry less than once a year would find damage too late. */
const SCRUB_DAYS_MAX = 365
/** A message that is late by less than this must still find the tombstone or expired entry that it conflicts with. */
const PURGE_AFTER_S_MIN = 20
const PURGE_AFTER_S_MAX = 2_592_000
/** One week. */
const RESP_IDLE_S_MAX = 604_800
/** A port base P stands for P, P+1 and P+2. The last of them must exist: it is at most 65535. */
const PORT_BASE_MAX = 65533

/** Makes a parser that throws RingdError into a step of a schema. */
function parsed<T>(parse: (text: string) => T) {
  return z.string('expected text').transform((text, context): T => {
    try {
      return parse(text)
    } catch (thrown) {
      if (!(thrown instanceof RingdError)) throw thrown
      context.addIssue({ code: 'custom', message: thrown.message })
      return z.NEVER
    }
  })
}

/** Accepts a number or its text: flags and variables are text, the file has numbers. */
function number(expected: string, accept: (value: number) => boolean) {
  const text = z.string().regex(/^\d+(\.\d+)?$/)
  return z.union([z.number(), text.transform(Number)], expected).refine(accept, expected)
}

function whole(from: number, to: number) {
  return number(`expected a whole number from ${from} to ${to}`, (value) => {
    return Number.isInteger(value) && value >= from && value <= to
  })
}

/** Accepts several values: a list in the file, a repeated flag, or one text with commas. */
function several<T>(one: z.ZodType<T, string>) {
  const split = (value: unknown) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value)
  return z.preprocess(split, z.array(one, 'expected a list').max(ADDRESSES_MAX, `at most ${ADDRESSES_MAX}`))
}

/** A flag without a value, or a word in a variable and in the file. */
function yesOrNo() {
  const word = z.enum(['true', 'false']).transform((text) => text === 'true')
  return z.union([z.boolean(), word], 'expected true or false')
}

function oneOf<T extends string>(values: readonly T[]) {
  return z.enum(values as readonly [T, ...T[]], `expected one of ${values.join(', ')}`)
}

export const SETTINGS = {
  data: z.string('expected a directory').min(1, 'expected a directory'),
  listen: several(parsed(parseListenAddress)).optional(),
  announce: several(parsed(parseAnnouncedAddress)).default([]),
  join: several(parsed(parsePeerAddress)).default([]),
  expect: whole(0, EXPECT_MAX).default(DEFAULTS.expect),
  ring: z.string('expected a ring id').regex(RING_ID, 'expected the 32 hex digits that ringd id prints').optional(),
  'secret-file': z.string('expected a file').min(1, 'expected a file').optional(),
  insecure: yesOrNo().default(false),
  resp: parsed((text): HostPort | 'off' => (text === 'off' ? 'off' : parseHostPort(text))).optional(),
  'resp-password': z
    .string('expected text')
    .min(1, 'the password is empty; leave the setting out, or give at least one character')
    .optional(),
  'resp-password-file': z.string('expected a file').min(1, 'expected a file').optional(),
  'resp-idle-timeout': whole(0, RESP_IDLE_S_MAX).default(DEFAULTS.respIdleS),
  'port-base': whole(1, PORT_BASE_MAX).optional(),
  zone: z
    .string('expected text')
    .regex(/^[^\p{Cc}]*$/u, 'expected text without control characters')
    .max(ZONE_LENGTH_MAX, `at most ${ZONE_LENGTH_MAX} characters`)
    .default(''),
  weight: number(`expected a number above 0, up to ${WEIGHT_MAX}`, (w) => w > 0 && w <= WEIGHT_MAX).default(
    DEFAULTS.weight
  ),
  replicas: whole(1, REPLICAS_MAX).default(DEFAULTS.replicas),
  'max-key-bytes': whole(1, KEY_BYTES_MAX).default(KEY_BYTES_MAX),
  'max-value-bytes': whole(1, VALUE_BYTES_MAX).default(VALUE_BYTES_MAX),
  'hint-bytes': whole(0, HINT_BYTES_LIMIT).default(HINT_BYTES_MAX),
  'hint-hours': number(
    `expected a number above 0, up to ${HINT_HOURS_MAX}`,
    (h) => h > 0 && h <= HINT_HOURS_MAX
  ).default(DEFAULTS.hintHours),
  'read-consistency': oneOf<Consistency>(CONSISTENCIES).default(DEFAULTS.consistency),
  'write-consistency': oneOf<Consistency>(CONSISTENCIES).default(DEFAULTS.consistency),
  'evict-after': number(
    `expected seconds, up to ${EVICT_AFTER_S_MAX}; 0 for never`,
    (s) => s <= EVICT_AFTER_S_MAX
  ).default(DEFAULTS.evictAfterS),
  'on-loss': oneOf<OnLoss>(ON_LOSS).default(EVICTION_DEFAULTS.onLoss),
  'purge-after': whole(PURGE_AFTER_S_MIN, PURGE_AFTER_S_MAX).default(DEFAULTS.purgeAfterS),
  'scrub-days': number(`expected days, 0 to ${SCRUB_DAYS_MAX}`, (days) => days <= SCRUB_DAYS_MAX).default(
    DEFAULTS.scrubDays
  ),
  'log-level': oneOf<LogLevel>(LOG_LEVELS).default(DEFAULTS.logLevel)
} satisfies Record<SettingKey, z.ZodType>
