// Attacks on yamux and on streams: below the packets of ringd.
import { type Attack, type Context, crowd, pause, repeat, untilEnd } from '../attack.js'
import { mutate } from '../means/draws.js'
import { dialAny, enter } from '../means/entry.js'
import type { Wire } from '../means/libp2p-node.js'
import { STREAM_PROTOCOLS } from '../means/peer-stream.js'
import { ACK, DATA, GO_AWAY, INVALID_HEADERS, PING, SYN, WINDOW_UPDATE, yamuxHeader } from '../means/yamux-frames.js'

/** The protocol that the role may open. */
function protocolOf({ as }: Context): string {
  return as === 'joiner' || as === 'member' ? STREAM_PROTOCOLS.control : STREAM_PROTOCOLS.client
}

const invalidHeaders: Attack = {
  name: 'yamux-invalid-headers',
  as: ['outsider', 'data', 'joiner', 'member'],
  tries: 'Opens a stream of ringd, then sends one invalid yamux header: 12 bytes.',
  holds: 'The connection ends and nothing else.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 4, () =>
      repeat(context, async () => {
        const wire = await dialAny(context, node)
        await wire.open(protocolOf(context)).catch(() => context.did('stream refused'))
        const [why, header] = context.draws.pick(INVALID_HEADERS)
        wire.raw(yamuxHeader(header))
        context.did(why)
        await pause(context, 30)
        wire.connection.abort(new Error('next'))
      })
    )
  }
}

const ANNOUNCED_BYTES = 0xffffffff
const CHUNK = new Uint8Array(64 * 1024)

const announcedFrame: Attack = {
  name: 'yamux-announced-frame',
  as: ['outsider', 'data', 'joiner', 'member'],
  tries: 'Announces one yamux frame of 4 GiB and sends its bytes as fast as the victim takes them.',
  holds: 'The victim refuses the header, and buffers none of it.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 3, () =>
      repeat(context, async () => {
        const wire = await dialAny(context, node)
        await wire.open(protocolOf(context)).catch(() => context.did('stream refused'))
        wire.raw(yamuxHeader({ type: DATA, streamId: 1, length: ANNOUNCED_BYTES }))
        context.did('frames announced')
        await pour(context, wire)
      })
    )
  }
}

/** Sends bytes below yamux until the connection ends. */
async function pour(context: Context, { connection, raw }: Wire): Promise<void> {
  while (!context.signal.aborted && connection.status === 'open') {
    for (let turn = 0; turn < 16; turn++) raw(CHUNK)
    context.did('MiB poured')
    await pause(context, 1)
  }
  context.did('connections ended by the victim')
}

const yamuxFuzz: Attack = {
  name: 'yamux-fuzz',
  as: ['data', 'joiner', 'member'],
  tries: 'Sends mutated and random yamux frames on connections with open streams.',
  holds: 'A connection ends at worst.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 6, () =>
      repeat(context, async () => {
        const wire = await dialAny(context, node)
        await wire.open(protocolOf(context)).catch(() => context.did('stream refused'))
        for (let turn = 0; turn < 200 && wire.connection.status === 'open'; turn++) {
          wire.raw(muxerBytes(context))
          context.did('frames')
          if (turn % 20 === 0) await pause(context, 1)
        }
        wire.connection.abort(new Error('next'))
      })
    )
  }
}

function muxerBytes({ draws }: Context): Uint8Array {
  const length = draws.pick([0, 1, 12, 255, 4096, 65_536, 2 ** 20, 2 ** 31, 2 ** 32 - 1])
  const data = draws.bytes(Math.min(length, 64))
  const header = yamuxHeader({
    ...{ type: draws.pick([DATA, DATA, WINDOW_UPDATE, PING, GO_AWAY]), length },
    ...{ flags: draws.pick([0, 0, 1, 2, 4, 8, 3, 5, 9]), streamId: draws.pick([0, 1, 1, 2, 3, 5, 7, 101, 2 ** 31]) }
  })
  const frame = Buffer.concat([header, data])
  return draws.below(3) === 0 ? mutate(frame, draws) : frame
}

const STREAMS_OF_ONE = 2000

const manyStreams: Attack = {
  name: 'many-streams',
  as: ['data', 'joiner', 'member'],
  tries: `Begins ${STREAMS_OF_ONE} yamux streams on each of many connections, and says nothing on them.`,
  holds: 'The victim allows a few streams, and forgets those that say nothing.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 40, (index) =>
      repeat(context, async () => {
        await pause(context, index * 20)
        const wire = await dialAny(context, node)
        for (let stream = 0; stream < STREAMS_OF_ONE && wire.connection.status === 'open'; stream++) {
          wire.raw(yamuxHeader({ type: WINDOW_UPDATE, flags: SYN, streamId: 1001 + 2 * stream, length: 0 }))
          context.did('streams begun')
          if (stream % 100 === 0) await pause(context, 5)
        }
        await closed(context, wire)
      })
    )
  }
}

async function closed(context: Context, { connection }: Wire): Promise<void> {
  while (!context.signal.aborted && connection.status === 'open') await pause(context, 200)
  if (!context.signal.aborted) context.did('connections ended by the victim')
}

const pingFlood: Attack = {
  name: 'yamux-ping-flood',
  as: ['data', 'joiner', 'member'],
  tries: 'Sends yamux pings as fast as it can, and never reads the answers.',
  holds: 'The answers do not pile up in the memory of the victim.',
  async run(context) {
    const node = await enter(context)
    const pings = Buffer.concat(
      Array.from({ length: 5000 }, (_, id) => yamuxHeader({ type: PING, flags: SYN, streamId: 0, length: id }))
    )
    await crowd(context, 3, () =>
      repeat(context, async () => {
        const wire = await dialAny(context, node)
        stopReading(wire)
        while (!context.signal.aborted && wire.connection.status === 'open') {
          wire.raw(pings)
          context.did('pings', 5000)
          await pause(context, 2)
        }
      })
    )
  }
}

/** Stops reading from the socket itself, below noise. */
function stopReading({ connection }: Wire): void {
  const below = connection as unknown as { maConn?: { pause?: () => void } }
  below.maConn?.pause?.()
}

const idleConnections: Attack = {
  name: 'idle-connections',
  as: ['data', 'joiner'],
  tries: 'Is admitted on 300 connections with keys of its own choice, and opens no stream on any of them.',
  holds: 'Idle strangers are sent away or bounded; operators and peers are let in.',
  async run(context) {
    await crowd(context, 12, async () => {
      const node = await enter(context)
      for (let count = 0; count < 25 && !context.signal.aborted; count++) {
        await dialAny(context, node).then(
          () => context.did('connections'),
          () => context.did('refused')
        )
      }
      await untilEnd(context)
    })
  }
}

/** Frames that are valid alone and make no sense together. */
const muxerDisorder: Attack = {
  name: 'yamux-disorder',
  as: ['data', 'joiner'],
  tries: 'Sends valid yamux frames in an order that makes no sense: answers before questions, ends before beginnings.',
  holds: 'A connection ends at worst.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 4, () =>
      repeat(context, async () => {
        const wire = await dialAny(context, node)
        const stream = await wire.open(protocolOf(context)).catch(() => undefined)
        for (let turn = 0; turn < 50 && wire.connection.status === 'open'; turn++) {
          const flags = context.draws.pick([SYN, ACK, 4, 8, SYN | ACK, SYN | 4, 4 | 8])
          const type = context.draws.pick([DATA, WINDOW_UPDATE])
          wire.raw(yamuxHeader({ type, flags, streamId: context.draws.pick([1, 3, 5]), length: 0 }))
          context.did('frames')
        }
        stream?.abort(new Error('next'))
        await pause(context, 10)
        wire.connection.abort(new Error('next'))
      })
    )
  }
}

export const MUXER_ATTACKS: readonly Attack[] = [
  ...[invalidHeaders, announcedFrame, yamuxFuzz, muxerDisorder],
  ...[manyStreams, pingFlood, idleConnections]
]
