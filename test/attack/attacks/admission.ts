// Attacks on the way in: on the handshake, and on everything that must lie behind it.
import { type Attack, type Context, crowd, pause, repeat } from '../attack.js'
import { guesses, ROLE_PROTOCOLS } from '../means/access.js'
import { mutate } from '../means/draws.js'
import { bodiesOf, type Kind } from '../means/frames.js'
import { AttackNode, type Wire } from '../means/libp2p-node.js'
import { PeerStream, STREAM_PROTOCOLS, type StreamName } from '../means/peer-stream.js'
import { closesWithin, push, rawTcp } from '../means/raw-tcp.js'

const STREAM_NAMES = Object.keys(STREAM_PROTOCOLS) as StreamName[]
/** Protocols of libp2p that a daemon may serve. */
const OTHER_PROTOCOLS = ['/ipfs/id/1.0.0', '/ipfs/id/push/1.0.0', '/meshsub/1.2.0', '/meshsub/1.1.0', '/floodsub/1.0.0']

const everyMessage: Attack = {
  name: 'every-message',
  as: ['outsider'],
  tries: 'Sends every kind of message of wire.proto on every protocol, with every secret that it can guess.',
  holds: 'No connection is admitted, no stream is opened, and nothing is answered.',
  async run(context) {
    await repeat(context, async () => {
      for (const { name, access } of guesses(context)) {
        const node = await AttackNode.start(context, access)
        for (const victim of context.target.victims) {
          const wire = await node.dial(victim).catch(() => undefined)
          context.did(wire === undefined ? 'not admitted' : 'admitted')
          if (wire === undefined) continue
          context.breach(`${victim.name} admits ${name}`)
          await knock(context, wire)
        }
        await node.stop()
      }
    })
  }
}

/** Tries each protocol and each message on a connection that should not exist. */
async function knock(context: Context, wire: Wire): Promise<void> {
  for (const protocol of OTHER_PROTOCOLS) {
    if (await opens(wire, protocol)) context.breach(`${protocol} is opened`)
  }
  const bodies = bodiesOf(context)
  for (const name of STREAM_NAMES) {
    if (!(await opens(wire, STREAM_PROTOCOLS[name]))) continue
    for (const kind of Object.keys(bodies) as Kind[]) {
      if (context.signal.aborted) return
      const stream = await PeerStream.open(context, wire, name, { ringId: context.target.ringId, storeId: '' })
      const answer = await stream.ask({ [kind]: bodies[kind] }).catch(() => undefined)
      if (answer !== undefined) context.breach(`${kind} on ${name} is answered`)
      stream.stream.abort(new Error('next'))
    }
  }
}

async function opens(wire: Wire, protocol: string): Promise<boolean> {
  const stream = await wire.open(protocol).catch(() => undefined)
  stream?.abort(new Error('seen enough'))
  return stream !== undefined
}

/** The kinds of connections that say nothing: after TCP, and after each line of the negotiation. */
const MUTE_AFTER: readonly Uint8Array[] = [
  new Uint8Array(0),
  multistreamLine('/multistream/1.0.0'),
  Buffer.concat([multistreamLine('/multistream/1.0.0'), multistreamLine(ROLE_PROTOCOLS[0]!)]),
  Buffer.concat([multistreamLine('/multistream/1.0.0'), multistreamLine(ROLE_PROTOCOLS[0]!), Uint8Array.of(8, 1, 2)])
]
const MUTE_CONNECTIONS = 1100

const muteConnections: Attack = {
  name: 'mute-connections',
  as: ['outsider'],
  tries: `Holds ${MUTE_CONNECTIONS} connections with each peer port that stop in the middle of the negotiation.`,
  holds: 'Operators, peers and good clients are let in all the same; a mute connection is closed after a few seconds.',
  async run(context) {
    await crowd(context, MUTE_CONNECTIONS, async (index) => {
      await pause(context, index)
      await repeat(context, async () => {
        const { host, port } = context.target.victims[index % context.target.victims.length]!
        const socket = await rawTcp(context, host, port)
        context.did('connections')
        await push(socket, MUTE_AFTER[index % MUTE_AFTER.length]!)
        if (await closesWithin(socket, context.target.victims.length * 60_000)) context.did('closed by the victim')
      })
    })
  }
}

const handshakeFuzz: Attack = {
  name: 'handshake-fuzz',
  as: ['outsider'],
  tries:
    'Sends mutated multistream lines, secret ids and noise messages, and plain garbage, and hangs up at any moment.',
  holds: 'Each connection ends; the daemon goes on and logs little.',
  async run(context) {
    await crowd(context, 8, () =>
      repeat(context, async () => {
        const { host, port } = context.draws.pick(context.target.victims)
        const socket = await rawTcp(context, host, port)
        context.did('connections')
        await push(socket, handshakeBytes(context))
        await closesWithin(socket, context.draws.below(200))
        socket.destroy()
      })
    )
  }
}

function handshakeBytes(context: Context): Uint8Array {
  const { draws } = context
  const begin = multistreamLine('/multistream/1.0.0')
  const role = multistreamLine(draws.pick([...ROLE_PROTOCOLS, '/noise', '/yamux/1.0.0', STREAM_PROTOCOLS.client]))
  const count = draws.below(12)
  const ids = Buffer.concat([Uint8Array.of(count), draws.bytes(8 * draws.below(count + 2))])
  const noise = draws.bytes(draws.below(300))
  const prefixed = Buffer.concat([Uint8Array.of(noise.length >> 8, noise.length & 255), noise])
  const whole = Buffer.concat([begin, role, ids, prefixed])
  const kind = draws.below(4)
  if (kind === 0) return draws.bytes(draws.below(4000))
  if (kind === 1) return whole
  return mutate(kind === 2 ? whole : Buffer.concat([begin, role]), draws)
}

/** A line of multistream-select: its length as a varint, the text, a line feed. */
function multistreamLine(text: string): Uint8Array {
  const line = Buffer.from(`${text}\n`)
  return Buffer.concat([Uint8Array.of(line.length), line])
}

const handshakeFlood: Attack = {
  name: 'handshake-flood',
  as: ['outsider'],
  tries: 'Begins as many handshakes as it can, with ids of secrets that nobody has.',
  holds: 'The good client and the operators are served; refused secrets do not fill the log.',
  async run(context) {
    await crowd(context, 16, () =>
      repeat(context, async () => {
        const { host, port } = context.draws.pick(context.target.victims)
        const socket = await rawTcp(context, host, port)
        const role = multistreamLine(context.draws.pick(ROLE_PROTOCOLS))
        const ids = Buffer.concat([Uint8Array.of(8), context.draws.bytes(64)])
        await push(socket, Buffer.concat([multistreamLine('/multistream/1.0.0'), role, ids]))
        context.did((await closesWithin(socket, 3000)) ? 'refused' : 'left open')
        socket.destroy()
      })
    )
  }
}

export const ADMISSION_ATTACKS: readonly Attack[] = [everyMessage, muteConnections, handshakeFuzz, handshakeFlood]
