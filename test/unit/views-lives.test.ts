// One peer id, two members one after the other: a request to the first is never answered by the second.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runTransfer, type TransferReport } from '../../lib/actors/migration/transfer.js'
import type { ReplicaMessage } from '../../lib/actors/replica/replica-messages.js'
import { BlockWriter } from '../../lib/entry/block.js'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { dataKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'
import { toRingdError } from '../../lib/errors.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import type { Answer, Body, Network } from '../../lib/network/network.js'
import { slotOf } from '../../lib/ring/slots.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { id, RING_ID } from './views-support.js'

const test = suite('views/lives')

function blockOf(key: Buffer): { readonly block: Uint8Array; readonly crc: number } {
  const writer = new BlockWriter(1 << 20)
  const version = makeVersion(1, 1, new Uint8Array(8))
  writer.add(dataKey(slotOf(key), key), encodeEnvelope(key, { version, tombstone: false, value: key }))
  return writer.finish()
}

/**
 * A pull of two blocks from member 1. Before the second block, `between` may change which member runs under its peer
 * id.
 */
async function pullTwice(between: () => string): Promise<TransferReport | string> {
  const clock = new VirtualClock()
  const key = Buffer.from('key')
  let storeId = id(1)
  let asked = 0
  const network = {
    link: (peerId: string) => ({ peerId, ringId: RING_ID, storeId }),
    request: (_to: string, _stream: string, _body: Body, _timeoutMs: number, done: (answer: Answer) => void) => {
      asked += 1
      if (asked === 1) done({ pullBlock: { ...blockOf(key), last: false, ready: false, closing: [], closed: [] } })
      else done({ pullBlock: { ...new BlockWriter(1).finish(), last: true, ready: false, closing: [], closed: [] } })
    }
  } as unknown as Network
  const replica = {
    isOver: false,
    signal() {},
    tell(message: ReplicaMessage) {
      if (message.type === 'inherit') message.reply(new Map())
      if (message.type !== 'merge') return true
      storeId = between()
      message.reply(undefined)
      return true
    }
  }
  const pulling = runTransfer(
    { clock, log: silent, network, replica },
    {
      source: 'peer-1',
      member: id(1),
      view: 2,
      config: 2,
      ranges: [{ first: slotOf(key), last: slotOf(key) }],
      mustBeReady: false,
      versionsFirst: false,
      limits: { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX },
      isCancelled: () => false
    }
  )
  return pulling.catch((thrown) => toRingdError(thrown).code)
}

test('a pull continues while the same member answers', async () => {
  const report = await pullTwice(() => id(1))
  assert.is(typeof report === 'string' ? report : report.entries, 1)
})

test("a pull ends when another member with an empty store runs under the source's peer id", async () => {
  assert.is(await pullTwice(() => id(2)), 'UNREACHABLE')
})

test.run()
