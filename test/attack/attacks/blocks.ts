// Attacks on block streams, by peers that have the ring secret.
import type { Stream } from '@libp2p/interface'
import { type Attack, type Context, crowd, pause, repeat } from '../attack.js'
import { memberLinks, type PeerLink } from '../means/member-node.js'
import { STREAM_PROTOCOLS } from '../means/peer-stream.js'

const KIB = 1024
const BODY_BYTES_MAX = 8 * KIB * KIB
const CHUNK_BYTES = 64 * KIB
const STREAMS_AT_ONCE = 6

/** The two lengths before a frame. */
function announced(head: number, body: number): Uint8Array {
  const prefix = Buffer.alloc(8)
  prefix.writeUInt32BE(head, 0)
  prefix.writeUInt32BE(body, 4)
  return prefix
}

/** What is sent on one stream; each is sent on while the stream takes it. */
const MEANS: ReadonlyArray<readonly [what: string, next: (context: Context, turn: number) => Uint8Array | undefined]> =
  [
    ['garbage', ({ draws }) => draws.bytes(1 + draws.below(2000))],
    ['lengths above the limits', ({ draws }) => announced(draws.below(2 ** 32), draws.below(2 ** 32))],
    ['empty frames', () => new Uint8Array(CHUNK_BYTES)],
    [
      'unfinished frames',
      (_context, turn) => {
        if (turn === 0) return announced(0, BODY_BYTES_MAX)
        return turn < BODY_BYTES_MAX / CHUNK_BYTES ? new Uint8Array(CHUNK_BYTES) : undefined
      }
    ],
    [
      'frames without end',
      (_context, turn) => (turn % 2 === 0 ? announced(0, CHUNK_BYTES) : new Uint8Array(CHUNK_BYTES))
    ]
  ]

const blockStreams: Attack = {
  name: 'block-streams',
  as: ['joiner', 'member'],
  tries: 'Opens block streams and sends garbage, lengths above the limits, unfinished frames, and frames without end.',
  holds: 'A stream ends at worst; what one holds is bounded, and so is the number of streams.',
  async run(context) {
    await repeat(context, async () => {
      const links = await memberLinks(context)
      const isUp = () => !context.signal.aborted && links.some(({ wire }) => wire.connection.status === 'open')
      while (isUp()) {
        await Promise.all(links.map((link) => crowd(context, STREAMS_AT_ONCE, () => abuse(context, link))))
        await pause(context, 50)
      }
    })
  }
}

async function abuse(context: Context, { wire }: PeerLink): Promise<void> {
  const stream = await wire.open(STREAM_PROTOCOLS.pull)
  const [what, next] = context.draws.pick(MEANS)
  for (let turn = 0; isOpen(context, stream); turn++) {
    const bytes = next(context, turn)
    if (bytes === undefined) break
    if (!stream.send(bytes)) await pause(context, 5)
    context.did(what)
    if (turn % 8 === 0) await pause(context, 1)
  }
  await pause(context, context.draws.below(1000))
  context.did(isOpen(context, stream) ? 'streams ended by the attacker' : 'streams ended by the victim')
  stream.abort(new Error('next'))
}

function isOpen({ signal }: Context, stream: Stream): boolean {
  return !signal.aborted && stream.status === 'open'
}

export const BLOCK_ATTACKS: readonly Attack[] = [blockStreams]
