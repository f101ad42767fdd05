// Which of the settings that were given have no effect, and what to do instead. Pure. A setting is given when a flag, a
// variable or the file names it: a default that differs from the ring is nobody's mistake.
import type { Member } from '../lib/member.js'
import { isLoopbackAddress } from './address.js'
import type { SettingKey } from './settings.js'

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

/**
 * One sentence for each setting that the ring decides otherwise. `member` is this peer as the ring knows it; undefined
 * while it is no member.
 */
export function overruledSettings(settings: CheckedSettings, replicas: number, member: Member | undefined): string[] {
  const { given, zone, weight } = settings
  const told: string[] = []
  if (given.has('replicas') && settings.replicas !== replicas) {
    told.push(
      `replicas ${settings.replicas} has no effect: the ring keeps ${replicas} copies of each entry, as its founder ` +
        'was told; another number needs a new ring'
    )
  }
  if (member === undefined) return told
  const kept = (key: string, wanted: string, now: string) =>
    `${key} ${wanted} has no effect: this member has joined with ${key} ${now} and keeps it; to change it, run ` +
    '"ringd leave", then start the daemon again with --join'
  if (given.has('zone') && zone !== member.zone) told.push(kept('zone', shown(zone), shown(member.zone)))
  if (given.has('weight') && weight !== member.weight) told.push(kept('weight', `${weight}`, `${member.weight}`))
  return told
}

function shown(zone: string): string {
  return JSON.stringify(zone)
}
