// How an attacker comes in: with what its role has, or by guessing.
import type { PrivateKey } from '../../../lib/network/identity.js'
import type { Context } from '../attack.js'
import { accessOf, guesses } from './access.js'
import { AttackNode, type Wire } from './libp2p-node.js'

/**
 * A node that the victims admit. An outsider tries every guess; that one of them is admitted is a breach. Rejects when
 * no guess is admitted.
 */
export async function enter(context: Context, key?: PrivateKey): Promise<AttackNode> {
  if (context.as !== 'outsider') return AttackNode.start(context, accessOf(context), key)
  for (const { name, access } of guesses(context)) {
    const node = await AttackNode.start(context, access, key)
    try {
      const { connection } = await node.dial(context.target.victims[0]!)
      connection.abort(new Error('seen enough'))
      context.breach(`admitted with ${name}`)
      return node
    } catch {
      await node.stop()
    }
  }
  throw new Error('not admitted')
}

/** A connection with a random victim. */
export function dialAny(context: Context, node: AttackNode): Promise<Wire> {
  return node.dial(context.draws.pick(context.target.victims))
}
