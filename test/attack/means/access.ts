// How an attacker passes admission: as nobody, or with a secret that its role has.
import { noise } from '@libp2p/noise'
import type { Libp2pOptions } from 'libp2p'
import type { Context } from '../attack.js'

/** The role of a connection, as admission knows it. */
export type ConnectionRole = 'member' | 'operator' | 'data'

/** Without a secret: noise as libp2p has it. */
export interface Access {
  readonly role?: ConnectionRole
  readonly secret?: string
}

type Encrypters = NonNullable<Libp2pOptions['connectionEncrypters']>

export function encryptersOf(_access: Access): Encrypters {
  return [noise()]
}

/** The accesses that the role of the attacker may use, and those that it may guess. The first is the best. */
export function accessOf({ as, target }: Pick<Context, 'as' | 'target'>): Access {
  const { ringSecret, dataSecret } = target
  if (as === 'data' && dataSecret !== undefined) return { role: 'data', secret: dataSecret }
  if ((as === 'member' || as === 'joiner') && ringSecret !== undefined) return { role: 'member', secret: ringSecret }
  return {}
}
