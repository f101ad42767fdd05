// Rings of many whole nodes on the lean network, on which the measurements of scale are based.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import type { Answer, PeerEvent } from '../../lib/network/network.js'
import { measureScale } from '../sim/scale/measure.js'
import { ScaleHub } from '../sim/scale/network.js'
import { ScaleRing } from '../sim/scale/ring.js'
import { difference, Traffic, total } from '../sim/scale/traffic.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('sim scale')
const COMMAND = fileURLToPath(new URL('../../scripts/sim-scale.js', import.meta.url))

test('a seed that is no whole number is refused', () => {
  for (const seed of ['x', '1.5', '-1', '', '1e3']) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [COMMAND, `--seed=${seed}`, '--members', '3'], {
      encoding: 'utf8',
      timeout: 60_000
    })
    assert.is(status, 1, `${seed}: ${stdout}`)
    assert.is(stderr, `--seed ${seed}: expected a whole number from 0\n`)
  }
})

const ADDRESS = '/ip4/10.0.0.1/tcp/4710'

async function pair() {
  const clock = new VirtualClock()
  const hub = new ScaleHub(clock)
  const one = hub.network('one', ADDRESS)
  const other = hub.network('other', '/ip4/10.0.0.2/tcp/4710')
  const events: PeerEvent['type'][] = []
  one.onPeer(({ type }) => events.push(type))
  await Promise.all([one.start(), other.start()])
  other.serve('control', (_from, _body, respond) => respond({ done: {} }))
  one.keep(new Map([['other', other.addresses()]]))
  await clock.advance(10)
  const ask = async (limitMs = 100) => {
    const answers: Answer[] = []
    one.request('other', 'control', { ping: { view: 1 } }, 50, (answer) => answers.push(answer))
    assert.is(answers.length, 0, 'never before the request returns')
    await clock.advance(limitMs)
    return answers
  }
  return { clock, hub, one, other, events, ask }
}

test('kept peers are linked, and a request is answered once', async () => {
  const { one, events, ask, hub } = await pair()
  assert.is(one.link('other')?.peerId, 'other')
  assert.equal(events, ['up'])
  assert.equal(await ask(), [{ done: {} }])
  assert.equal([...hub.traffic.counts.keys()], ['ping', 'done'])
})

test('a peer that stops is lost and found again, and one that vanishes only stops answering', async () => {
  const { clock, other, events, ask } = await pair()
  await other.stop()
  assert.is(((await ask()) as RingdError[])[0]!.code, 'UNREACHABLE')
  await other.start()
  await clock.advance(2000)
  assert.equal(events, ['up', 'down', 'up'])
  other.vanish()
  assert.is(((await ask()) as RingdError[])[0]!.code, 'TIMEOUT')
  assert.equal(events, ['up', 'down', 'up'])
})

test('traffic counts the bytes of the wire, and gossip by its copies', () => {
  const traffic = new Traffic()
  traffic.request({ ping: { view: 1 } })
  traffic.request({ learn: { changes: [], bases: [], records: [], joins: [], departures: [] } })
  traffic.answer(new RingdError('BEHIND', 'x'.repeat(100)))
  traffic.rumor(100, 3)
  const { counts } = traffic
  assert.equal([...counts.keys()], ['ping', 'learn', 'refusal', 'rumor'])
  assert.ok(counts.get('ping')!.bytes > 20 && counts.get('ping')!.bytes < 40)
  assert.ok(counts.get('refusal')!.bytes > 100)
  assert.is(counts.get('rumor')!.messages, 9, 'three listeners hear it from each other at most three times')
  assert.is(total(counts).messages, 12)
})

test('a founded ring is whole, and sends only the messages of an idle ring', async () => {
  const ring = new ScaleRing(1)
  await ring.found(20)
  // All nodes were started at once, so each first compares itself with the others.
  await ring.clock.advance(60_000)
  const before = ring.hub.traffic.counts
  await ring.clock.advance(15_000)
  const said = [...difference(before, ring.hub.traffic.counts)].filter(([, { messages }]) => messages > 0)
  assert.ok(ring.nodes.every(({ node }) => node.view?.members.size === 20 && node.view.number === 1))
  assert.equal(said.map(([kind]) => kind).sort(), [
    'exchange',
    'exchanged',
    'ping',
    'pong',
    'repairDiffering',
    'repairSums'
  ])
})

test('a ring that loses every rumor learns everything by exchanges, also with short digests', async () => {
  const ring = new ScaleRing(2)
  ring.hub.losesRumors = true
  await ring.found(20)
  await ring.join(2)
  const isWhole = () =>
    ring.nodes.every(
      ({ node: { view } }) => view?.members.size === 22 && view.configs.windows.every((w) => w.length === 1)
    )
  for (let waited = 0; !isWhole(); waited += 100) {
    assert.ok(waited < 60_000, 'not settled within a minute')
    await ring.clock.advance(100)
  }
  assert.ok(!ring.hub.traffic.counts.has('rumor'))
})

test('a measurement reports the cost of joins and of silence, and a seed repeats it', async () => {
  const texts: string[] = []
  const reports = [await measureScale(4, 3, (text) => texts.push(text)), await measureScale(4, 3, () => {})]
  const [one, again] = reports.map(({ idle: { perMemberSecond }, one, ten, silence }) => {
    return { perMemberSecond, one: { ...one, cpuMs: 0 }, ten: { ...ten, cpuMs: 0 }, silence }
  })
  assert.equal(one, again)
  assert.is(texts.length, 5)
  assert.is(one!.one.views, 1)
  assert.ok(one!.one.agreedMs > 900 && one!.one.agreedMs <= one!.one.settledMs)
  assert.ok(one!.ten.perMember.bytes > one!.one.perMember.bytes)
  assert.ok(one!.silence.lastMs < 8000)
})

test.run()
