// Two processes under one peer id are told from one process that was started again.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { helloOf, type Identity, meet, NOBODY } from '../../lib/network/hello.js'
import { type Instance, instanceStatement, isLater, twinOf } from '../../lib/network/instances.js'
import { type Link, STREAM_CLASSES } from '../../lib/network/network.js'
import { MemoryHub, type MemoryNetwork } from '../sim/seams/memory-network.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { seeded, signerOf } from '../sim/sim-node.js'

const test = suite('network/instances')
const FIRST: Instance = { id: '11'.repeat(8), startedAtMs: 1000 }
const SECOND: Instance = { id: '22'.repeat(8), startedAtMs: 2000 }
const RING: Identity = { ...NOBODY, ringId: 'ab'.repeat(16), storeId: '11'.repeat(16), instance: FIRST, expects: 3 }

async function signed(instance: Instance, challenge: string, by = 'twin') {
  const signature = await signerOf(by).sign(instanceStatement(instance, challenge))
  return { instance: Buffer.from(instance.id, 'hex'), startedAtMs: instance.startedAtMs, signature }
}

test('of two instances exactly one is the later', () => {
  for (const [one, other] of [
    [FIRST, SECOND],
    [FIRST, { ...SECOND, startedAtMs: 1000 }],
    [{ ...FIRST, startedAtMs: 3000 }, SECOND]
  ] as const) {
    assert.is(isLater(one, other), !isLater(other, one))
  }
  assert.is(isLater(SECOND, FIRST), true)
})

test('a twin is believed by the key of the peer, asked with the number of this process', async () => {
  const { verify } = signerOf('')
  const asked = async (me: Awaited<ReturnType<typeof signed>>) => twinOf(me, FIRST, 'twin', verify)
  assert.equal(await asked(await signed(SECOND, FIRST.id)), SECOND)
  assert.is(await asked(await signed(SECOND, FIRST.id, 'liar')), undefined)
  assert.is(await asked(await signed(SECOND, '33'.repeat(8))), undefined, 'an answer to another challenge')
  assert.is(await asked(await signed(FIRST, FIRST.id)), undefined, 'its own statement')
  const moved = { ...(await signed(SECOND, FIRST.id)), startedAtMs: 1 }
  assert.is(await asked(moved), undefined, 'another start than was signed')
})

test('a hello carries instance and expected peers, and wrong ones are refused', () => {
  const link = meet('p', helloOf(RING), RING)
  assert.equal([link.instance, link.expects], [FIRST, 3])
  for (const wrong of [{ instance: new Uint8Array(7) }, { startedAtMs: -1 }, { startedAtMs: 2 ** 60 }]) {
    assert.throws(
      () => meet('p', { ...helloOf(RING), ...wrong }, RING),
      (thrown: RingdError) => thrown.code === 'BAD_MESSAGE'
    )
  }
  const older = { ...helloOf(RING), instance: new Uint8Array(0), startedAtMs: 0 }
  assert.is(meet('p', older, RING).instance?.id, '')
})

/** A peer and two networks under one peer id. `answers`: whether the process answers what it is asked. */
async function meeting() {
  const clock = new VirtualClock()
  const hub = new MemoryHub(clock, seeded(1))
  const told: string[] = []
  const nodes = new Map<string, { network: MemoryNetwork; answers: boolean; kinds: string[] }>()
  const start = async (label: string, peerId: string) => {
    const own = clock.forNode()
    const hlc = { stamp: () => ({ ms: own.now(), counter: 0 }), observe() {} }
    const network = hub.network({ peerId, clock: own, random: seeded(label.length), log: silent, hlc })
    const node = { network, answers: true, kinds: [] as string[] }
    network.introduce(RING.ringId, RING.storeId)
    for (const stream of STREAM_CLASSES) {
      network.serve(stream, (_from: Link, body, respond) => {
        if (!node.answers) return
        node.kinds.push(Object.keys(body)[0]!)
        if (body.who === undefined) return respond({ done: {} })
        const { id, startedAtMs } = network.instance
        respond({ me: { instance: Buffer.from(id, 'hex'), startedAtMs, signature: new Uint8Array(64) } })
      })
    }
    network.onPeer((event) => void told.push(`${label} ${event.type === 'refused' ? event.error.code : event.type}`))
    await network.start()
    nodes.set(label, node)
    return node
  }
  const wait = async <T>(promise: Promise<T>) => {
    await clock.advance(500)
    return promise
  }
  return { clock, start, wait, told }
}

test('both processes are told, and the connection of the later one ends', async () => {
  const { clock, start, wait, told } = await meeting()
  const peer = await start('peer', 'peer')
  const [address = ''] = peer.network.addresses()
  const first = await start('first', 'twin')
  await wait(first.network.dial(address, 1000))
  await clock.advance(5000)
  const second = await start('second!', 'twin')
  await wait(second.network.dial(address, 1000)).catch(() => {})
  await clock.advance(1000)
  assert.equal(first.kinds, ['who', 'twin'])
  assert.equal(second.kinds, ['who', 'twin'])
  assert.ok(told.includes('peer IDENTITY_TWICE'))
  assert.is(peer.network.link('twin')?.instance?.id, first.network.instance.id)
})

test('a process that does not answer any more is replaced, and nobody is told of a twin', async () => {
  const { clock, start, wait, told } = await meeting()
  const peer = await start('peer', 'peer')
  const [address = ''] = peer.network.addresses()
  const first = await start('first', 'twin')
  await wait(first.network.dial(address, 1000))
  first.answers = false
  await clock.advance(5000)
  const second = await start('second!', 'twin')
  await wait(second.network.dial(address, 1000))
  await clock.advance(5000)
  assert.equal(second.kinds, [])
  assert.is(first.network.link('peer'), undefined)
  assert.is(peer.network.link('twin')?.instance?.id, second.network.instance.id)
  assert.not.ok(told.includes('peer IDENTITY_TWICE'))
})

test.run()
