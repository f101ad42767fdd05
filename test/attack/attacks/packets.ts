// Attacks with packets of ringd: unfinished, mutated, far ahead, or asked for and never read.
import { type Attack, type Context, crowd, pause, repeat, untilEnd } from '../attack.js'
import { mutate, vary } from '../means/draws.js'
import { dialAny, enter } from '../means/entry.js'
import { bodiesOf, envelopeOf, type Kind } from '../means/frames.js'
import type { Wire } from '../means/libp2p-node.js'
import { claimOf, memberLinks } from '../means/member-node.js'
import {
  type Claim,
  codeOf,
  helloFrame,
  NOBODY_CLAIM,
  PeerStream,
  packetOf,
  type StreamName
} from '../means/peer-stream.js'

const MIB = 1024 * 1024
/** The streams that the role may open. */
function streamsOf({ as }: Context): readonly StreamName[] {
  return as === 'joiner' || as === 'member' ? ['control', 'operations', 'bulk'] : ['client']
}

function helloOf(context: Context): Claim {
  return context.as === 'data' ? NOBODY_CLAIM : claimOf(context)
}

/** Every stream that the role may have on one connection: of clients several, of peers one of each class. */
async function openAll(context: Context, wire: Wire): Promise<PeerStream[]> {
  const names = streamsOf(context)
  const wanted = names.length === 1 ? [...names, ...names, ...names, ...names] : names
  const claim = helloOf(context)
  return Promise.all(wanted.map((name) => PeerStream.open(context, wire, name, claim)))
}

const UNFINISHED_CONNECTIONS = 80
/** Just below the size from which packets are read piece by piece, in turns. */
const SHORT_PACKET_BYTES = 300 * 1024

/** `bytes`: of each packet, without the last 100. */
function unfinishedPackets(name: string, bytes: number): Attack {
  return {
    name,
    as: ['data', 'joiner', 'member'],
    tries: `Leaves out the last bytes of packets of ${bytes >> 10} KiB, on ${UNFINISHED_CONNECTIONS} connections.`,
    holds: 'Unfinished packets share one budget, and are given up after a time.',
    async run(context) {
      await crowd(context, UNFINISHED_CONNECTIONS, async (index) => {
        await pause(context, index * 25)
        const node = await enter(context)
        await repeat(context, async () => {
          const wire = await dialAny(context, node)
          const streams = await openAll(context, wire)
          await Promise.all(streams.map((stream) => stream.greeted()))
          await Promise.all(streams.map((stream) => unfinished(context, stream, bytes)))
          while (!context.signal.aborted && wire.connection.status === 'open') await pause(context, 200)
          context.did('connections ended')
        })
      })
    }
  }
}

async function unfinished(context: Context, stream: PeerStream, bytes: number): Promise<void> {
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32BE(bytes + 100)
  stream.raw(prefix)
  const chunk = new Uint8Array(256 * 1024)
  for (let sent = 0; sent < bytes && !context.signal.aborted; sent += chunk.length) {
    if (!stream.raw(chunk.subarray(0, bytes - sent))) await stream.drained()
  }
  context.did('unfinished packets')
}

const packetFuzz: Attack = {
  name: 'packet-fuzz',
  as: ['data', 'joiner', 'member'],
  tries: 'Sends valid packets of every kind of wire.proto, mutated, on every protocol that it may open.',
  holds: 'Each is answered, refused, or ends its connection; nothing reaches an assertion.',
  async run(context) {
    const node = await enter(context)
    const kinds = Object.keys(bodiesOf(context)) as Kind[]
    await crowd(context, 4, () =>
      repeat(context, async () => {
        const wire = await dialAny(context, node)
        const streams = await openAll(context, wire)
        await Promise.all(streams.map((stream) => stream.greeted()))
        for (let turn = 0; turn < 100 && wire.connection.status === 'open'; turn++) {
          const stream = context.draws.pick(streams)
          if (stream.closed) break
          stream.raw(fuzzedPacket(context, context.draws.pick(kinds), turn + 1))
          context.did('packets')
          if (turn % 10 === 0) await pause(context, 2)
        }
        await pause(context, 20)
        wire.connection.abort(new Error('next'))
      })
    )
  }
}

/**
 * A packet of the kind: as it is, with other values in some fields, or with changed bytes. The first two reach the
 * handlers, and the last one most often ends the connection. Kinds that remove members have attacks of their own.
 */
function fuzzedPacket(context: Context, kind: Kind, id: number): Uint8Array {
  const { draws } = context
  const sent = kind === 'hello' || kind === 'clientDepart' ? 'ping' : kind
  const body = bodiesOf(context)[sent]
  const how = draws.below(40)
  const frame = { id, answer: draws.below(4) === 0, [sent]: how < 10 ? body : vary(body, draws) }
  const packet = packetOf([frame], draws.pick([0, 0, Date.now(), 2 ** 47]))
  if (how < 38) return packet
  if (how === 38) return mutate(packet, draws)
  const content = mutate(packet.subarray(4), draws)
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32BE(content.length)
  return Buffer.concat([prefix, content])
}

const LARGE_BYTES = 7 * MIB

const unreadAnswers: Attack = {
  name: 'unread-answers',
  as: ['data'],
  tries: 'Asks for values of 7 MiB again and again, on many streams, and never reads an answer.',
  holds: 'The answers of all streams share one budget; further requests are refused.',
  async run(context) {
    const node = await enter(context)
    await writeLarge(context, await dialAny(context, node))
    await crowd(context, 24, async () => {
      const own = await enter(context)
      await repeat(context, async () => {
        const wire = await dialAny(context, own)
        const streams = await openAll(context, wire)
        await Promise.all(streams.map((stream) => stream.greeted()))
        for (const stream of streams) stream.stopReading()
        while (!context.signal.aborted && wire.connection.status === 'open') {
          for (const stream of streams)
            if (!stream.closed) stream.post({ clientGet: { key: LARGE_KEY, consistency: '' } })
          context.did('requests', streams.length)
          await pause(context, 10)
        }
      })
    })
  }
}

const LARGE_KEY = new Uint8Array(Buffer.from('attack:large'))

async function writeLarge(context: Context, wire: Wire): Promise<void> {
  const stream = await PeerStream.open(context, wire, 'client', NOBODY_CLAIM)
  await stream.greeted()
  const value = new Uint8Array(LARGE_BYTES).fill(120)
  const answer = await stream.ask({ clientPut: { key: LARGE_KEY, value, consistency: '' } })
  context.did(`large value: ${codeOf(answer)}`)
}

const FAR_VIEW = 1_000_000
const HELD_BYTES = 256 * 1024

const farViewWrites: Attack = {
  name: 'far-view-writes',
  as: ['joiner', 'member'],
  tries: 'Sends writes of 256 KiB of a view that nobody knows, so that they are held until the view is known.',
  holds: 'Held requests share one budget; requests of strangers are not held at all.',
  async run(context) {
    const links = await memberLinks(context)
    const { storeId } = helloOf(context)
    const value = new Uint8Array(HELD_BYTES)
    await crowd(context, 3 * links.length, (index) =>
      repeat(context, async () => {
        const { operations } = links[index % links.length]!
        const key = context.draws.bytes(20)
        const plan = { key, value, ms: Date.now(), storeId }
        const envelope = new Uint8Array(envelopeOf(plan))
        operations.post({ write: { view: FAR_VIEW, key, envelope } })
        context.did('writes')
        await (context.draws.below(16) === 0 ? operations.drained(200).catch(() => {}) : pause(context, 1))
        if (operations.closed) await untilEnd(context)
      })
    )
  }
}

const silentStreams: Attack = {
  name: 'silent-streams',
  as: ['data', 'joiner'],
  tries: 'Opens every stream that it may on 200 connections, and never says hello.',
  holds: 'A stream without a hello is closed, and its connection with it.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 200, async (index) => {
      await pause(context, index * 10)
      await repeat(context, async () => {
        const wire = await dialAny(context, node)
        for (const name of streamsOf(context)) await PeerStream.open(context, wire, name)
        context.did('connections')
        while (!context.signal.aborted && wire.connection.status === 'open') await pause(context, 200)
        if (!context.signal.aborted) context.did('ended by the victim')
      })
    })
  }
}

const freshStoreIds: Attack = {
  name: 'fresh-store-ids',
  as: ['joiner', 'member'],
  tries: 'Says hello again and again with another store id, and pings in between.',
  holds: 'A peer keeps one identity on a connection; nothing is remembered of the others.',
  async run(context) {
    const links = await memberLinks(context)
    const { ringId } = context.target
    await crowd(context, links.length, (index) =>
      repeat(context, async () => {
        const { control } = links[index]!
        if (control.closed) return untilEnd(context)
        for (let turn = 0; turn < 100; turn++) {
          const storeId = Buffer.from(context.draws.bytes(16)).toString('hex')
          control.raw(packetOf([helloFrame({ ringId, storeId }), { id: 1, answer: false, ping: { view: 1 } }]))
        }
        context.did('hellos', 100)
        await pause(context, 2)
      })
    )
  }
}

const controlFlood: Attack = {
  name: 'control-flood',
  as: ['joiner', 'member'],
  tries: 'Sends pings, exchanges and pings through others as fast as the victim takes them, without reading.',
  holds: 'The work of one peer is bounded, and members are still heard in time.',
  async run(context) {
    const links = await memberLinks(context)
    const { ping, exchange, pingThrough } = bodiesOf(context)
    for (const { control } of links) control.stopReading()
    await crowd(context, links.length, (index) =>
      repeat(context, async () => {
        const { control } = links[index]!
        if (control.closed) return untilEnd(context)
        for (let turn = 0; turn < 200; turn++) {
          control.post(context.draws.pick([{ ping }, { exchange }, { pingThrough }]))
        }
        context.did('requests', 200)
        await pause(context, 3)
      })
    )
  }
}

export const PACKET_ATTACKS: readonly Attack[] = [
  ...[
    packetFuzz,
    unfinishedPackets('unfinished-packets', 4 * MIB - 1024),
    unfinishedPackets('unfinished-short-packets', SHORT_PACKET_BYTES),
    unreadAnswers,
    farViewWrites
  ],
  ...[silentStreams, freshStoreIds, controlFlood]
]
