// Tests that every implementation of Network must pass. They run on the in-memory network under virtual time, and on
// libp2p.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { MiB } from '../../lib/limits.js'
import { type Answer, type Body, InformedRefusal, type Respond } from '../../lib/network/network.js'
import {
  ask,
  bytes,
  codeOf,
  codeOfThrown,
  connect,
  countOf,
  echo,
  type NetworkFixture,
  OTHER_RING,
  type Peer,
  pair,
  peer,
  RING,
  STORE
} from './network-peers.js'

export function networkConformance(name: string, makeFixture: () => Promise<NetworkFixture>): void {
  const test = suite<{ fixture: NetworkFixture }>(name)
  test.before.each(async (context) => {
    context.fixture = await makeFixture()
  })
  test.after.each(async (context) => {
    await context.fixture.close()
  })

  test('a request is answered on every class, in both directions', async ({ fixture }) => {
    const [a, b] = await pair(fixture, echo)
    for (const stream of ['control', 'operations', 'bulk'] as const) {
      for (const [from, to] of [
        [a, b],
        [b, a]
      ] as const) {
        const answer = await fixture.wait(ask(from, to, { read: { view: 1, key: bytes(stream) } }, { stream }))
        assert.not.instance(answer, RingdError)
        assert.is(Buffer.from((answer as Body).value!.envelope!).toString(), stream)
      }
    }
  })

  test('an up event describes the other peer as it introduced itself', async ({ fixture }) => {
    const [a, b] = await pair(fixture, echo)
    assert.is(countOf(a, 'up'), 1)
    assert.is(countOf(b, 'up'), 1)
    const { peerId, instance } = b.network
    assert.equal(a.network.link(peerId), { peerId, ringId: RING, storeId: STORE, instance, expects: 0 })
  })

  test('requests arrive in the order in which they were made', async ({ fixture }) => {
    const seen: number[] = []
    const [a, b] = await pair(fixture, ({ network }) =>
      network.serve('operations', (_from, body, respond) => {
        seen.push(body.read!.view)
        respond({ done: {} })
      })
    )
    const answers: Promise<Answer>[] = []
    for (let view = 1; view <= 5000; view++) answers.push(ask(a, b, { read: { view, key: bytes('key') } }))
    await fixture.wait(Promise.all(answers))
    assert.equal(
      seen,
      answers.map((_, index) => index + 1)
    )
  })

  test('a refusal arrives with its code, its message and the knowledge that it carries', async ({ fixture }) => {
    const [a, b] = await pair(fixture, ({ network }) =>
      network.serve('operations', (_from, body, respond) => {
        if (body.read !== undefined) respond(new RingdError('DISK_FULL', 'no room left'))
        else
          respond(
            new InformedRefusal('STALE_VIEW', 'learn', {
              changes: [{ number: 7, joins: [], removals: [], lost: [], votes: [] }],
              bases: [],
              records: [],
              joins: [],
              departures: []
            })
          )
      })
    )
    const plain = await fixture.wait(ask(a, b, { read: { view: 1, key: bytes('k') } }))
    assert.is(codeOf(plain), 'DISK_FULL')
    assert.is((plain as RingdError).message, 'no room left')
    const informed = await fixture.wait(ask(a, b, { done: {} }))
    assert.instance(informed, InformedRefusal)
    assert.is((informed as InformedRefusal).knowledge.changes[0]!.number, 7)
  })

  test('a handler that throws refuses its request, and the link stays up', async ({ fixture }) => {
    const [a, b] = await pair(fixture, ({ network }) => {
      network.serve('operations', (_from, body, respond) => {
        if (body.done !== undefined) throw new Error('a defect')
        respond({ done: {} })
      })
    })
    assert.is(codeOf(await fixture.wait(ask(a, b, { done: {} }))), 'INTERNAL')
    assert.is(codeOf(await fixture.wait(ask(a, b, { read: { view: 1, key: bytes('k') } }))), 'no error')
  })

  test('a request of a class without a handler is refused', async ({ fixture }) => {
    const [a, b] = await pair(fixture, () => {})
    assert.is(codeOf(await fixture.wait(ask(a, b, { done: {} }))), 'NOT_SERVING')
  })

  test('a request that is not answered in time fails with TIMEOUT, and a late answer is ignored', async ({
    fixture
  }) => {
    const held: Respond[] = []
    const [a, b] = await pair(fixture, ({ network }) =>
      network.serve('operations', (_f, _b, respond) => held.push(respond))
    )
    let calls = 0
    const answer = new Promise<Answer>((resolve) =>
      a.network.request(b.network.peerId, 'operations', { done: {} }, 50, (given) => {
        calls++
        resolve(given)
      })
    )
    assert.is(codeOf(await fixture.wait(answer)), 'TIMEOUT')
    held[0]!({ done: {} })
    await fixture.elapse(100)
    assert.is(calls, 1)
  })

  test('a request to a peer that is not up fails with UNREACHABLE, but never before request returns', async ({
    fixture
  }) => {
    const a = await peer(fixture)
    await a.network.start()
    let returned = false
    const answer = new Promise<Answer>((resolve) =>
      a.network.request('nobody', 'control', { done: {} }, 1000, (given) => {
        assert.ok(returned)
        resolve(given)
      })
    )
    returned = true
    assert.is(codeOf(await fixture.wait(answer)), 'UNREACHABLE')
  })

  test('when a peer dies, a down event follows and pending requests fail with UNREACHABLE', async ({ fixture }) => {
    const [a, b] = await pair(fixture, ({ network }) => network.serve('operations', () => {}))
    const answer = ask(a, b, { done: {} }, { timeoutMs: 20_000 })
    await fixture.elapse(20)
    await fixture.kill(b.network)
    assert.is(codeOf(await fixture.wait(answer)), 'UNREACHABLE')
    await fixture.until(() => countOf(a, 'down') === 1, 'a hears that b is down')
    assert.is(a.network.link(b.network.peerId), undefined)
  })

  test('a kept peer is found again when it comes back at a new address', async ({ fixture }) => {
    const [a, b] = await pair(fixture, echo)
    a.network.keep(new Map([[b.network.peerId, b.network.addresses()]]))
    await fixture.kill(b.network)
    await fixture.until(() => countOf(a, 'down') === 1, 'a hears that b is down')
    const again = await peer(fixture, RING, { again: b.network.peerId })
    echo(again)
    await again.network.start()
    assert.is(again.network.peerId, b.network.peerId)
    a.network.keep(new Map([[b.network.peerId, again.network.addresses()]]))
    await fixture.until(() => countOf(a, 'up') === 2, 'b is up again')
    assert.is(codeOf(await fixture.wait(ask(a, again, { ping: { view: 1 } }, { stream: 'control' }))), 'no error')
  })

  test('a peer that is dialled again still answers, whichever side dials', async ({ fixture }) => {
    const [a, b] = await pair(fixture, echo)
    for (const [one, other] of [[a, b] as const, [b, a] as const]) {
      one.network.keep(new Map([[other.network.peerId, other.network.addresses()]]))
      one.network.redial(other.network.peerId)
    }
    await fixture.elapse(1500)
    for (const [one, other] of [[a, b] as const, [b, a] as const]) {
      assert.is(codeOf(await fixture.wait(ask(one, other, { ping: { view: 1 } }))), 'no error')
    }
  })

  test('kept peers connect, whichever of them starts first', async ({ fixture }) => {
    const peers = [await peer(fixture), await peer(fixture), await peer(fixture)]
    for (const one of peers) {
      echo(one)
      await one.network.start()
    }
    const addresses = new Map(peers.map(({ network }) => [network.peerId, network.addresses()]))
    for (const { network } of peers) network.keep(addresses)
    await fixture.until(() => peers.every((one) => countOf(one, 'up') >= 2), 'everyone is up')
    for (const from of peers) {
      for (const to of peers) {
        if (from !== to) assert.is(codeOf(await fixture.wait(ask(from, to, { ping: { view: 1 } }))), 'no error')
      }
    }
  })

  test('two peers that dial each other at once end with links that work', async ({ fixture }) => {
    const peers = [await peer(fixture), await peer(fixture)] as const
    for (const one of peers) {
      echo(one)
      await one.network.start()
    }
    const [a, b] = peers
    await fixture.wait(
      Promise.all([a.network.dial(b.network.addresses()[0]!, 5000), b.network.dial(a.network.addresses()[0]!, 5000)])
    )
    await fixture.elapse(300)
    for (const [from, to] of [
      [a, b],
      [b, a]
    ] as const) {
      for (let count = 0; count < 20; count++) {
        assert.is(codeOf(await fixture.wait(ask(from, to, { ping: { view: 1 } }))), 'no error')
      }
    }
    assert.is(countOf(a, 'down') + countOf(b, 'down'), 0)
  })

  test('peers of two rings refuse each other, and the error names both rings', async ({ fixture }) => {
    const a = await peer(fixture)
    const b = await peer(fixture, OTHER_RING)
    for (const { network } of [a, b]) await network.start()
    const dialled = a.network.dial(b.network.addresses()[0]!, 5000)
    assert.is(await fixture.wait(codeOfThrown(dialled)), 'WRONG_RING')
    await fixture.until(() => countOf(a, 'refused') > 0 && countOf(b, 'refused') > 0, 'both hear of it')
    const refused = a.events.find((event) => event.type === 'refused')!
    assert.match(refused.error.message, RING.slice(0, 8))
    assert.match(refused.error.message, OTHER_RING.slice(0, 8))
    assert.is(countOf(a, 'up') + countOf(b, 'up'), 0)
  })

  test('peers of two wire versions refuse each other with WRONG_VERSION', async ({ fixture }) => {
    const a = await peer(fixture)
    const b = await peer(fixture, RING, { wireVersion: 99 })
    for (const { network } of [a, b]) await network.start()
    assert.is(await fixture.wait(codeOfThrown(a.network.dial(b.network.addresses()[0]!, 5000))), 'WRONG_VERSION')
    assert.is(countOf(a, 'up') + countOf(b, 'up'), 0)
  })

  test('a peer without a ring is served on control only, until it introduces itself', async ({ fixture }) => {
    const member = await peer(fixture)
    const joiner = await peer(fixture, '')
    for (const one of [member, joiner]) {
      echo(one)
      await one.network.start()
    }
    await connect(fixture, joiner, member)
    const ping = { ping: { view: 1 } }
    for (const [from, to] of [
      [joiner, member],
      [member, joiner]
    ] as const) {
      assert.is(codeOf(await fixture.wait(ask(from, to, ping, { stream: 'control' }))), 'no error')
      assert.is(codeOf(await fixture.wait(ask(from, to, ping, { stream: 'operations' }))), 'NOT_SERVING')
      assert.is(codeOf(await fixture.wait(ask(from, to, ping, { stream: 'bulk' }))), 'NOT_SERVING')
    }
    joiner.network.introduce(RING, STORE)
    await fixture.until(() => member.network.link(joiner.network.peerId)?.ringId === RING, 'the member hears of it')
    assert.is(countOf(member, 'down') + countOf(joiner, 'down'), 0)
    for (const [from, to] of [
      [joiner, member],
      [member, joiner]
    ] as const) {
      assert.is(codeOf(await fixture.wait(ask(from, to, ping, { stream: 'operations' }))), 'no error')
      assert.is(codeOf(await fixture.wait(ask(from, to, ping, { stream: 'bulk' }))), 'no error')
    }
  })

  test('a joiner that introduces itself with another ring is disconnected', async ({ fixture }) => {
    const member = await peer(fixture)
    const joiner = await peer(fixture, '')
    for (const { network } of [member, joiner]) await network.start()
    await connect(fixture, joiner, member)
    joiner.network.introduce(OTHER_RING, STORE)
    await fixture.until(() => countOf(member, 'down') === 1 && countOf(joiner, 'down') === 1, 'both are down')
    assert.ok(countOf(joiner, 'refused') > 0)
  })

  test('a body of 8 MiB arrives whole', async ({ fixture }) => {
    const [a, b] = await pair(fixture, echo)
    const key = new Uint8Array(8 * MiB)
    for (let index = 0; index < key.length; index += 1021) key[index] = index
    const answer = await fixture.wait(ask(a, b, { read: { view: 1, key } }, { stream: 'bulk', timeoutMs: 30_000 }))
    assert.is(codeOf(answer), 'no error')
    assert.is(Buffer.compare((answer as Body).value!.envelope!, key), 0)
  })

  test('a body that fits into no packet is refused before it is sent, and the link stays up', async ({ fixture }) => {
    const [a, b] = await pair(fixture, echo)
    const huge = { read: { view: 1, key: new Uint8Array(9 * MiB) } }
    assert.is(codeOf(await fixture.wait(ask(a, b, huge))), 'BAD_REQUEST')
    assert.is(codeOf(await fixture.wait(ask(a, b, { ping: { view: 1 } }))), 'no error')
  })

  test('requests to a peer that answers nothing are bounded: OVERLOADED', async ({ fixture }) => {
    const held: Respond[] = []
    const [a, b] = await pair(fixture, ({ network }) => {
      network.serve('operations', (_from, _body, respond) => held.push(respond))
      network.serve('control', (_from, _body, respond) => respond({ done: {} }))
    })
    const total = 20_000
    const codes = new Map<string, number>()
    let answered = 0
    for (let view = 1; view <= total; view++) {
      a.network.request(b.network.peerId, 'operations', { read: { view, key: bytes('key') } }, 20_000, (answer) => {
        answered++
        codes.set(codeOf(answer), (codes.get(codeOf(answer)) ?? 0) + 1)
      })
    }
    await fixture.until(() => answered === total - 16_384, 'the requests above the bound have been refused')
    assert.equal([...codes.keys()], ['OVERLOADED'])
    await fixture.until(() => held.length >= 4096, 'the peer serves what it takes')
    await fixture.elapse(100)
    assert.ok(held.length < 2 * 4096 + 1, 'a flood is slowed down, not served without bound')
    assert.is(codeOf(await fixture.wait(ask(a, b, { done: {} }, { stream: 'control' }))), 'no error')
    await fixture.until(() => {
      for (const respond of held.splice(0)) respond({ done: {} })
      return answered === total
    }, 'every request is answered in the end')
    assert.is(codes.get('no error'), 16_384)
  })

  test('a rumor reaches every connected peer of the ring', async ({ fixture }) => {
    const peers = [await peer(fixture), await peer(fixture), await peer(fixture)]
    const [a, b, c] = peers as [Peer, Peer, Peer]
    for (const { network } of peers) await network.start()
    await connect(fixture, a, b)
    await connect(fixture, a, c)
    await connect(fixture, b, c)
    // Rumors may be lost, most often right after a connect. So the rumor is published until it has arrived.
    await fixture.until(() => {
      a.network.publish(bytes('hello'))
      return [b, c].every(({ rumors }) =>
        rumors.some(([from, rumor]) => from === a.network.peerId && rumor === 'hello')
      )
    }, 'everyone hears it')
    assert.is(a.rumors.length, 0)
  })

  test('a rumor that is not admitted is not delivered', async ({ fixture }) => {
    const [a, b] = [await peer(fixture), await peer(fixture)]
    b.network.admitRumors((from, rumor) => from === a.network.peerId && Buffer.from(rumor).toString() !== 'bad')
    for (const { network } of [a, b]) await network.start()
    await connect(fixture, a, b)
    await fixture.until(() => {
      a.network.publish(bytes('bad'))
      a.network.publish(bytes('good'))
      return b.rumors.length >= 3
    }, 'the admitted ones are heard')
    assert.not.ok(b.rumors.some(([, rumor]) => rumor === 'bad'))
  })

  test('publish before introduce, or after stop, does nothing', async ({ fixture }) => {
    const a = await peer(fixture, '')
    a.network.publish(bytes('early'))
    await a.network.start()
    a.network.publish(bytes('still no ring'))
    await a.network.stop()
    a.network.publish(bytes('late'))
  })

  test('a dial fails with BAD_ADDRESS, OWN_ADDRESS, or with UNREACHABLE where nobody listens', async ({ fixture }) => {
    const [a, b] = [await peer(fixture), await peer(fixture)]
    for (const { network } of [a, b]) await network.start()
    assert.is(await fixture.wait(codeOfThrown(a.network.dial('nonsense', 1000))), 'BAD_ADDRESS')
    assert.is(await fixture.wait(codeOfThrown(a.network.dial(a.network.addresses()[0]!, 1000))), 'OWN_ADDRESS')
    const address = b.network.addresses()[0]!
    await b.network.stop()
    assert.is(await fixture.wait(codeOfThrown(a.network.dial(address, 1000))), 'UNREACHABLE')
  })

  test('an address without a peer id can be dialled', async ({ fixture }) => {
    const a = await peer(fixture)
    const b = await peer(fixture)
    for (const { network } of [a, b]) await network.start()
    const [address] = b.network.addresses()[0]!.split('/p2p/')
    assert.is(await fixture.wait(a.network.dial(address!, 5000)), b.network.peerId)
  })

  test('stop fails pending and later requests with STOPPED', async ({ fixture }) => {
    const [a, b] = await pair(fixture, ({ network }) => network.serve('operations', () => {}))
    const pending = ask(a, b, { done: {} }, { timeoutMs: 20_000 })
    await fixture.elapse(10)
    await fixture.wait(a.network.stop())
    assert.is(codeOf(await fixture.wait(pending)), 'STOPPED')
    assert.is(codeOf(await fixture.wait(ask(a, b, { done: {} }))), 'STOPPED')
    await fixture.until(() => countOf(b, 'down') === 1, 'b hears that a is down')
    await fixture.wait(a.network.stop())
  })

  test.run()
}
