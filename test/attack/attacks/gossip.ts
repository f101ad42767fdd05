// Attacks on gossipsub and identify, which run beside the streams of ringd on every connection of a member.
import type { Stream } from '@libp2p/interface'
import { MemberRecord, Rumor } from '../../../lib/network/wire.js'
import { type Attack, type Context, crowd, pause, repeat } from '../attack.js'
import { mutate } from '../means/draws.js'
import { dialAny, enter } from '../means/entry.js'
import { knowledgeOf, wireId } from '../means/frames.js'
import type { AttackNode } from '../means/libp2p-node.js'
import { field, prefixed, whole } from '../means/protobuf.js'

const MESHSUB = '/meshsub/1.1.0'
const PUSH = '/ipfs/id/push/1.0.0'

function topicOf({ target }: Context): string {
  return `/ringd/rumors/1/${target.ringId}`
}

/** A gossipsub stream with a random victim, subscribed to the topic of the ring. */
async function gossipStream(context: Context, node: AttackNode): Promise<Stream> {
  const wire = await dialAny(context, node)
  const stream = await wire.open(MESHSUB)
  stream.send(prefixed(field(1, Buffer.concat([whole(1, 1), field(2, topicOf(context))]))))
  return stream
}

/** One gossip message. Its signature is random bytes. */
function message(context: Context, data: Uint8Array): Uint8Array {
  const { draws } = context
  const from = Buffer.concat([Uint8Array.of(0, 36, 8, 1, 18, 32), draws.bytes(32)])
  const parts = [field(1, from), field(2, data), field(3, draws.bytes(8)), field(4, topicOf(context))]
  return field(2, Buffer.concat([...parts, field(5, draws.bytes(64))]))
}

function rumor(context: Context): Uint8Array {
  const { records, joins, departures } = knowledgeOf(context)
  const { members, view } = context.target
  return Rumor.encode({ storeId: wireId(members[0]?.storeId ?? ''), view: view + 1, records, joins, departures })
}

const badSignatures: Attack = {
  name: 'gossip-bad-signatures',
  as: ['outsider', 'data', 'joiner', 'member'],
  tries: 'Publishes rumors whose signatures are wrong, as fast as the victims take them.',
  holds: 'They are dropped before they are passed on, and fill no log.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 3, () =>
      repeat(context, async () => {
        const stream = await gossipStream(context, node)
        while (!context.signal.aborted && stream.status === 'open') {
          for (let turn = 0; turn < 20; turn++) stream.send(prefixed(message(context, rumor(context))))
          context.did('rumors', 20)
          await pause(context, 4)
        }
      })
    )
  }
}

const gossipFuzz: Attack = {
  name: 'gossip-fuzz',
  as: ['joiner', 'member'],
  tries: 'Sends mutated gossip messages and controls: subscriptions, grafts, prunes, offers of messages, large rumors.',
  holds: 'A stream ends at worst.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 4, () =>
      repeat(context, async () => {
        const stream = await gossipStream(context, node)
        for (let turn = 0; turn < 60 && stream.status === 'open'; turn++) {
          const rpc = gossipRpc(context)
          stream.send(context.draws.below(2) === 0 ? prefixed(mutate(rpc, context.draws)) : prefixed(rpc))
          context.did('messages')
          if (turn % 10 === 0) await pause(context, 3)
        }
        stream.abort(new Error('next'))
      })
    )
  }
}

function gossipRpc(context: Context): Uint8Array {
  const { draws } = context
  const topic = draws.below(2) === 0 ? topicOf(context) : Buffer.from(draws.bytes(40)).toString('hex')
  const ids = Buffer.concat(Array.from({ length: draws.below(300) }, () => field(2, draws.bytes(20))))
  const control = (number: number, content: Uint8Array) => field(3, field(number, content))
  return draws.pick([
    () => field(1, Buffer.concat([whole(1, draws.below(2)), field(2, topic)])),
    () => message(context, rumor(context)),
    () => message(context, draws.bytes(draws.below(70_000))),
    () => control(1, Buffer.concat([field(1, topic), ids])),
    () => control(2, ids),
    () => control(3, field(1, topic)),
    () => control(4, Buffer.concat([field(1, topic), field(2, field(1, draws.bytes(38))), whole(3, 2 ** 40)])),
    () => draws.bytes(draws.below(3000))
  ])()
}

const subscriptions: Attack = {
  name: 'gossip-subscriptions',
  as: ['joiner', 'member'],
  tries: 'Subscribes to ever new topics with long names.',
  holds: 'The topics of one peer are bounded.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 3, () =>
      repeat(context, async () => {
        const stream = await gossipStream(context, node)
        while (!context.signal.aborted && stream.status === 'open') {
          const topics = Array.from({ length: 60 }, () => Buffer.from(context.draws.bytes(100)).toString('hex'))
          const parts = topics.map((topic) => field(1, Buffer.concat([whole(1, 1), field(2, topic)])))
          stream.send(prefixed(Buffer.concat(parts)))
          context.did('topics', topics.length)
          await pause(context, 10)
        }
      })
    )
  }
}

const IDENTIFY_BYTES = 100_000

const identifyPush: Attack = {
  name: 'identify-push',
  as: ['joiner', 'member'],
  tries: 'Pushes identify messages with thousands of addresses and protocols, and mutated ones.',
  holds: 'A peer keeps a bounded part of what another says of itself.',
  async run(context) {
    const node = await enter(context)
    await crowd(context, 4, () =>
      repeat(context, async () => {
        const wire = await dialAny(context, node)
        const stream = await wire.open(PUSH)
        const addresses = Array.from({ length: IDENTIFY_BYTES / 20 }, () => {
          return field(2, Buffer.concat([Uint8Array.of(4), context.draws.bytes(4), Uint8Array.of(6, 18, 102)]))
        })
        const identify = Buffer.concat([...addresses, field(3, '/made/up/1.0.0'), field(1, context.draws.bytes(36))])
        stream.send(prefixed(context.draws.below(2) === 0 ? identify : mutate(identify, context.draws)))
        await stream.close({ signal: AbortSignal.timeout(500) }).catch(() => {})
        context.did('pushes')
        wire.connection.abort(new Error('next'))
      })
    )
  }
}

const largeRecords: Attack = {
  name: 'gossip-large-records',
  as: ['joiner', 'member'],
  tries: 'Publishes records of unknown members with all slots listed one by one, with wrong signatures.',
  holds: 'They are refused before they are decoded in full, or cost little.',
  async run(context) {
    const node = await enter(context)
    const ready = Array.from({ length: 8000 }, (_, slot) => ({ first: 2 * slot, last: 2 * slot, value: 1 }))
    await crowd(context, 3, () =>
      repeat(context, async () => {
        const stream = await gossipStream(context, node)
        while (!context.signal.aborted && stream.status === 'open') {
          const record = { storeId: context.draws.bytes(16), peerId: 'p', sequence: 1, addresses: [], ready }
          const bytes = Buffer.concat([field(3, MemberRecord.encode(record))])
          stream.send(prefixed(message(context, bytes.subarray(0, 60_000))))
          context.did('rumors')
          await pause(context, 5)
        }
      })
    )
  }
}

export const GOSSIP_ATTACKS: readonly Attack[] = [badSignatures, gossipFuzz, subscriptions, identifyPush, largeRecords]
