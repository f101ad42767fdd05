// One peer id, two members one after the other: a pull from the first is never answered by the second.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PullStreams } from '../../lib/actors/migration/pull-streams.js'
import { RingdError } from '../../lib/errors.js'
import type { Link, Network } from '../../lib/network/network.js'
import { blockPair } from '../sim/seams/block-pair.js'
import { syncCompression } from '../sim/seams/sync-compression.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { id, RING_ID } from './views-support.js'

const test = suite('views/lives')

/** Opens a stream to member 1 while its peer is linked as `linked`, and answers as `answering`. */
async function open(linked: number, answering = linked): Promise<string> {
  const clock = new VirtualClock()
  const linkOf = (member: number): Link => ({ peerId: 'peer-1', ringId: RING_ID, storeId: id(member) })
  const pair = { opener: linkOf(9), server: linkOf(answering), delay: async () => {} }
  const network = { link: () => linkOf(linked), openBlocks: async () => blockPair(pair).opened }
  const deps = { clock, network: network as Partial<Network> as Network, compression: syncCompression }
  const streams = new PullStreams(deps)
  const opened = streams.to(id(1), new Map([[id(1), 'peer-1']]))
  const outcome = await opened.then(
    () => 'open',
    (thrown: RingdError) => thrown.code
  )
  streams.end(new RingdError('STOPPED'))
  return outcome
}

test('a stream is opened to the member that is asked for', async () => {
  assert.is(await open(1), 'open')
})

test("no stream is opened when another member with an empty store runs under the source's peer id", async () => {
  assert.is(await open(2), 'UNREACHABLE')
  assert.is(await open(1, 2), 'UNREACHABLE')
})

test.run()
