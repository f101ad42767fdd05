// How an attacker passes admission: as nobody, or with a secret that its role has, or with one that it guesses.
import { noise } from '@libp2p/noise'
import type { Libp2pOptions } from 'libp2p'
import { fromHex } from '../../../lib/bytes.js'
import {
  type Role as ConnectionRole,
  clientSecret,
  handshakeKey,
  Keyring,
  OPEN_SECRET,
  type Secret,
  secretText
} from '../../../lib/network/secrets.js'
import { roleProtocol, securedNoise } from '../../../lib/network/secured-noise.js'
import { systemClock } from '../../../lib/system-clock.js'
import type { Context } from '../attack.js'

/** Undefined: noise as libp2p has it, without any secret. */
export type Access = Credentials | undefined

export interface Credentials {
  readonly role: ConnectionRole
  /** Hex. */
  readonly secret: string
  /** Names this secret in the handshake, and not the one that the attacker has; hex. */
  readonly claimedId?: string
}

type Encrypters = NonNullable<Libp2pOptions['connectionEncrypters']>

export function encryptersOf(access: Access): Encrypters {
  if (access === undefined) return [noise()]
  const { role, secret, claimedId } = access
  const secrets = [fromHex(secret) as Secret]
  const keyring = new Keyring({ member: secrets, operator: secrets, data: secrets })
  if (claimedId !== undefined) {
    const { prologue } = handshakeKey(secrets[0]!, role)
    keyring.keys = () => [{ id: fromHex(claimedId), prologue }]
  }
  return [securedNoise({ clock: systemClock, keyring }, { role, initiates: true })]
}

/** The best access that the role of the attacker has. */
export function accessOf({ as, target }: Pick<Context, 'as' | 'target'>): Access {
  const { ringSecret, dataSecret } = target
  if (as === 'data' && dataSecret !== undefined) return { role: 'data', secret: dataSecret }
  if ((as === 'member' || as === 'joiner') && ringSecret !== undefined) return { role: 'member', secret: ringSecret }
  return undefined
}

export interface Guess {
  readonly name: string
  readonly access: Access
}

/** The accesses of somebody without a secret: noise alone, the secret that everybody knows, and a random one. */
export function guesses({ draws, target }: Pick<Context, 'draws' | 'target'>): Guess[] {
  const open: readonly (readonly [ConnectionRole, Secret])[] = [
    ['member', OPEN_SECRET],
    ['operator', clientSecret(OPEN_SECRET, 'operator')],
    ['data', clientSecret(OPEN_SECRET, 'data')]
  ]
  const random = secretText(draws.bytes(32) as unknown as Secret)
  return [
    { name: 'noise without a secret', access: undefined },
    {
      name: 'the overheard name of the ring secret',
      access: { role: 'member', secret: random, claimedId: target.secretId }
    },
    ...open.map(([role, secret]) => ({
      name: `the open secret as ${role}`,
      access: { role, secret: secretText(secret) }
    })),
    ...open.map(([role]) => ({ name: `a random secret as ${role}`, access: { role, secret: random } }))
  ]
}

/** The names by which a victim tells the roles of connections apart. */
export const ROLE_PROTOCOLS = (['member', 'operator', 'data'] as const).map(roleProtocol)
