// Attacks through the client protocol, by clients that have less than they ask for.
import type { Body } from '../../../lib/network/network.js'
import { type Attack, type Context, pause, repeat } from '../attack.js'
import { dialAny, enter } from '../means/entry.js'
import { ALL_SLOTS, bodiesOf, type Kind, wireId } from '../means/frames.js'
import { codeOf, NOBODY_CLAIM, PeerStream } from '../means/peer-stream.js'

/** What only an operator may ask. */
function operatorRequests(context: Context): Body[] {
  const { first, last } = ALL_SLOTS[0]!
  const removals = context.target.members.map(({ storeId }) => ({
    clientDepart: { storeId: wireId(storeId), force: true }
  }))
  return [{ clientDepart: { force: true } }, ...removals, { clientRepair: { start: true, first, last } }]
}

const operatorOnly: Attack = {
  name: 'operator-requests',
  as: ['outsider', 'data', 'joiner', 'member'],
  tries: 'Asks daemons to leave, to remove each member, and to repair, over the client protocol.',
  holds: 'Only operators are heard: each request is refused.',
  async run(context) {
    const node = await enter(context)
    await repeat(context, async () => {
      const wire = await dialAny(context, node)
      const stream = await PeerStream.open(context, wire, 'client', NOBODY_CLAIM)
      for (const body of operatorRequests(context)) {
        const answer = await stream.ask(body)
        context.did(codeOf(answer))
        if (answer.refusal === undefined) context.breach(`${Object.keys(body)[0]} is granted`)
      }
      wire.connection.abort(new Error('next'))
      await pause(context, 50)
    })
  }
}

const peerMessages: Attack = {
  name: 'peer-messages-of-clients',
  as: ['data'],
  tries:
    'Opens the streams of peers and of gossip with a client secret, and sends messages of peers to the client door.',
  holds: 'The streams are refused, and the client door knows the messages of clients only.',
  async run(context) {
    const node = await enter(context)
    const kinds = (Object.keys(bodiesOf(context)) as Kind[]).filter((kind) => !kind.startsWith('client'))
    const protocols = ['/ringd/control/1.0.0', '/ringd/operations/1.0.0', '/ringd/bulk/1.0.0', '/meshsub/1.1.0']
    await repeat(context, async () => {
      const wire = await dialAny(context, node)
      for (const name of ['control', 'operations', 'bulk', 'pull'] as const) {
        const claim = { ringId: context.target.ringId, storeId: context.target.members[0]?.storeId ?? '' }
        const stream = await PeerStream.open(context, wire, name, claim).catch(() => undefined)
        if (stream === undefined) context.did('stream refused')
        else await expectSilence(context, stream, name)
      }
      for (const protocol of protocols.slice(-1)) {
        const stream = await wire.open(protocol).catch(() => undefined)
        await pause(context, 100)
        if (stream?.status === 'open') context.breach(`${protocol} stays open for a client`)
      }
      const stream = await PeerStream.open(context, await dialAny(context, node), 'client', NOBODY_CLAIM)
      for (const kind of kinds) {
        if (kind === 'hello' || kind === 'refusal' || stream.closed) continue
        const answer = await stream.ask({ [kind]: bodiesOf(context)[kind] }).catch(() => undefined)
        context.did(answer === undefined ? 'no answer' : codeOf(answer))
        if (answer !== undefined && answer.refusal === undefined) context.breach(`${kind} is answered to a client`)
      }
    })
  }
}

/** A stream that the victim should not serve: it may be opened and must end without a hello. */
async function expectSilence(context: Context, stream: PeerStream, name: string): Promise<void> {
  const greeted = await Promise.race([
    stream.greeted().then(
      () => true,
      () => false
    ),
    pause(context, 300).then(() => false)
  ])
  context.did('stream opened')
  if (greeted) context.breach(`the ${name} stream greets a client`)
  stream.stream.abort(new Error('next'))
}

export const CLIENT_ATTACKS: readonly Attack[] = [operatorOnly, peerMessages]
