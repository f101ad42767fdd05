// A peer that speaks all three streams with every victim, as a member or joiner does, and answers as the attack says.
// By default it answers so that the victims take it for a quiet, living peer.
import { fromHex } from '../../../lib/bytes.js'
import { type PrivateKey, privateKeyFromBytes } from '../../../lib/network/identity.js'
import type { Body } from '../../../lib/network/network.js'
import type { Context, Victim } from '../attack.js'
import { accessOf } from './access.js'
import { NO_KNOWLEDGE, UNSIGNED } from './frames.js'
import { AttackNode, type Wire } from './libp2p-node.js'
import { type Claim, PeerStream } from './peer-stream.js'

export interface PeerLink {
  readonly victim: Victim
  readonly wire: Wire
  readonly control: PeerStream
  readonly operations: PeerStream
  readonly bulk: PeerStream
}

export interface MemberNodeOptions {
  readonly key?: PrivateKey
  readonly claim?: Claim
  /** Answers a request of a victim. Undefined: the quiet answer. */
  readonly serve?: (body: Body) => Body | undefined
}

/** 32 hex digits that no member has. */
export function freshStoreId({ draws }: Pick<Context, 'draws'>): string {
  return Buffer.from(draws.bytes(16)).toString('hex')
}

/** The key of the member that the attacker has taken over. Throws when the role has none. */
export function liarKey({ target }: Pick<Context, 'target'>): PrivateKey {
  if (target.liar === undefined) throw new Error('this role has no key of a member')
  return privateKeyFromBytes(fromHex(target.liar.key))
}

/** The claim of the role: the taken member's identity, or the ring id with a fresh store id. */
export function claimOf(context: Context): Claim {
  const { ringId, liar } = context.target
  return { ringId, storeId: context.as === 'member' && liar !== undefined ? liar.storeId : freshStoreId(context) }
}

/** Links with every victim that lets this peer in. Rejects when none does. */
export async function memberLinks(context: Context, options: MemberNodeOptions = {}): Promise<PeerLink[]> {
  const isLiar = context.as === 'member' && context.target.liar !== undefined
  const key = options.key ?? (isLiar ? liarKey(context) : undefined)
  const node = await AttackNode.start(context, accessOf(context), key)
  const claim = options.claim ?? claimOf(context)
  const links: PeerLink[] = []
  for (const victim of context.target.victims) {
    try {
      links.push(await linkWith(context, node, victim, claim, options))
    } catch {
      context.did('links refused')
    }
  }
  if (links.length === 0) throw new Error('no victim lets this peer in')
  context.did('links', links.length)
  return links
}

export async function linkWith(
  context: Context,
  node: AttackNode,
  victim: Victim,
  claim: Claim,
  { serve }: Pick<MemberNodeOptions, 'serve'> = {}
): Promise<PeerLink> {
  const wire = await node.dial(victim)
  const open = async (name: 'control' | 'operations' | 'bulk') => {
    const stream = await PeerStream.open(context, wire, name, claim)
    stream.serve = (body) => serve?.(body) ?? quietAnswer(context, body)
    return stream
  }
  const [control, operations, bulk] = await Promise.all([open('control'), open('operations'), open('bulk')])
  await Promise.all([control.greeted(), operations.greeted(), bulk.greeted()])
  return { victim, wire, control, operations, bulk }
}

/** The answers of a peer that is alive and knows nothing. */
export function quietAnswer({ target }: Pick<Context, 'target'>, body: Body): Body {
  if (body.ping !== undefined) {
    const pong = { view: target.view, ringDigest: '', entries: 0, bytes: 0, batch: 1, highestBatchHeard: 0 }
    return { pong: { ...UNSIGNED, ...pong } }
  }
  if (body.exchange !== undefined) {
    const { digest } = body.exchange
    return { exchanged: { ...(digest && { digest }), knowledge: NO_KNOWLEDGE } }
  }
  if (body.learn !== undefined) return { done: {} }
  return { refusal: { code: 'NOT_SERVING', message: 'this peer does not serve' } }
}
