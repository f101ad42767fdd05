// The catalog: every attack, in the order in which it is run.
import { type Attack, untilEnd } from '../attack.js'
import { ADMISSION_ATTACKS } from './admission.js'
import { BLOCK_ATTACKS } from './blocks.js'
import { CLIENT_ATTACKS } from './clients.js'
import { ENTRY_ATTACKS } from './entries.js'
import { GOSSIP_ATTACKS } from './gossip.js'
import { MEMBERSHIP_ATTACKS } from './membership.js'
import { MUXER_ATTACKS } from './muxer.js'
import { PACKET_ATTACKS } from './packets.js'
import { REDIS_ATTACKS } from './redis.js'

const nothing: Attack = {
  name: 'nothing',
  as: ['outsider', 'member'],
  tries: 'Does nothing: the figures of the good client without an attack, for comparison.',
  holds: 'Everything.',
  run: untilEnd
}

export const ATTACKS: readonly Attack[] = [
  nothing,
  ...ADMISSION_ATTACKS,
  ...MUXER_ATTACKS,
  ...PACKET_ATTACKS,
  ...BLOCK_ATTACKS,
  ...GOSSIP_ATTACKS,
  ...CLIENT_ATTACKS,
  ...ENTRY_ATTACKS,
  ...MEMBERSHIP_ATTACKS,
  ...REDIS_ATTACKS
]

/** Throws when there is no attack of this name. */
export function attackNamed(name: string): Attack {
  const attack = ATTACKS.find((one) => one.name === name)
  if (attack === undefined) throw new Error(`there is no attack ${name}`)
  return attack
}
