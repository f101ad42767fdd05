// Which of the settings that were given have no effect, and what to do instead. Pure. A setting is given when a flag, a
// variable or the file names it: a default that differs from the ring is nobody's mistake.
import type { Member } from '../lib/member.js'
import { isLoopbackAddress } from './address.js'
import type { SettingKey } from './setting-help.js'

/** The settings that other settings, or the ring, may leave without effect. */
export interface CheckedSettings {
  readonly given: ReadonlySet<SettingKey>
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly resp: object | undefined
  readonly secretFile: object | undefined
  readonly hintBytesMax: number
  readonly evictAfterMs: number
  readonly zone: string
  readonly weight: number
  readonly replicas: number
  /** The data directory. */
  readonly data: string
}

/** What the ring decides over settings. */
export interface RingFacts {
  /** Copies of each entry. */
  readonly replicas: number
  /** How many members there are. */
  readonly members: number
  /** This peer as the ring knows it; undefined while it is no member. */
  readonly member: Member | undefined
  /** An address of another member; undefined when none is known. */
  readonly address: string | undefined
}

/** One sentence for each setting that another setting leaves without effect. Known before the daemon starts. */
export function beatenSettings(settings: CheckedSettings): string[] {
  const { given, listen, announce, resp, secretFile, hintBytesMax, evictAfterMs } = settings
  const isOpen = [...listen, ...announce].some((address) => !isLoopbackAddress(address))
  const rules: ReadonlyArray<readonly [SettingKey, boolean, string]> = [
    ['port-base', given.has('listen') && given.has('resp'), 'listen and resp are both set'],
    ['insecure', secretFile !== undefined, 'there is a secret file'],
    ['insecure', secretFile === undefined && !isOpen, 'no other machine reaches this peer'],
    ['resp-password', resp === undefined, 'resp is off'],
    ['resp-password-file', resp === undefined, 'resp is off'],
    ['resp-idle-timeout', resp === undefined, 'resp is off'],
    ['hint-hours', hintBytesMax === 0, 'hint-bytes is 0'],
    ['on-loss', evictAfterMs === 0, 'evict-after is 0']
  ]
  return rules
    .filter(([key, isBeaten]) => given.has(key) && isBeaten)
    .map(([key, , why]) => `${key} has no effect: ${why}`)
}

/** One sentence for each setting that the ring decides otherwise, with what to type. */
export function overruledSettings(settings: CheckedSettings, ring: RingFacts): string[] {
  const { given, zone, weight } = settings
  const { replicas, member } = ring
  const told: string[] = []
  if (given.has('replicas') && settings.replicas !== replicas) {
    told.push(
      `replicas ${settings.replicas} has no effect: the ring keeps ${replicas} copies of each entry, as its founder ` +
        'was told; another number needs a new ring'
    )
  }
  if (member === undefined) return told
  const kept = (key: string, wanted: string, now: string) =>
    `${key} ${wanted} has no effect: this member has joined with ${key} ${now} and keeps it; ` +
    howToRejoin(settings, ring)
  if (given.has('zone') && zone !== member.zone) told.push(kept('zone', shown(zone), shown(member.zone)))
  if (given.has('weight') && weight !== member.weight) told.push(kept('weight', `${weight}`, `${member.weight}`))
  return told
}

/**
 * What to type for another zone or weight. A member that leaves hands its entries over first. With as many members as
 * copies it leaves by force only: until it is back, each entry has a copy less.
 */
function howToRejoin({ data }: CheckedSettings, { members, replicas, address = 'ADDRESS' }: RingFacts): string {
  const force = members <= replicas ? '--force ' : ''
  const leave = `run "ringd leave ${force}--data ${shellWord(data)}"`
  const rejoin = `${leave}, then start this daemon again with "--join ${address}"`
  if (members === 1) return `to change it, have another peer join first, then ${rejoin}`
  if (force === '') return `to change it, ${rejoin}`
  return `to change it, ${rejoin}; each entry has a copy less meanwhile, unless you start one more peer before`
}

/** A word of a command line, as a shell takes it. */
function shellWord(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

function shown(zone: string): string {
  return JSON.stringify(zone)
}
