// The detector actor: it pings all members or a few, also accepts answers through other peers, suspects closed links at
// once, reports silent members as down, and first checks whether it was itself too slow.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Detector, type DetectorMessage, type Health, type Reach } from '../../lib/actors/detector.js'
import { EMPTY_BYTES, toHex } from '../../lib/bytes.js'
import { every } from '../../lib/clock.js'
import type { Hearing } from '../../lib/detector/eviction-rule.js'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import type { Answer, Body, Network } from '../../lib/network/network.js'
import { type Ref, spawn } from '../../lib/runtime/actor.js'
import { config, idOf, ringView } from '../sim/harness/ring-views.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('detector')

function pongOf(ringDigest: string): Body {
  const signatures = { signature: EMPTY_BYTES, heardSignature: EMPTY_BYTES }
  return { pong: { view: 1, ringDigest, entries: 1, bytes: 2, batch: 0, highestBatchHeard: 0, ...signatures } }
}

async function start(letters = 'abc') {
  const clock = new VirtualClock()
  const own = clock.forNode()
  const unlinked = new Set<string>()
  const mute = new Set<string>()
  /** These peers no longer answer this peer, but still answer others. */
  const deaf = new Set<string>()
  const pinged: string[] = []
  /** What every peer answers instead of a pong. */
  const told: { answer?: Body } = {}
  const helped: string[] = []
  const request: Network['request'] = (to, _stream, { pingThrough }, timeoutMs, done) => {
    const letter = to.slice(-1)
    const target = pingThrough === undefined ? letter : letterOf(toHex(pingThrough.member))
    if (pingThrough === undefined) pinged.push(letter)
    else helped.push(`${letter}>${target}`)
    if (mute.has(letter) || deaf.has(letter)) own.after(timeoutMs, () => done(new RingdError('TIMEOUT')))
    else if (mute.has(target)) own.after(50, () => done(new RingdError('UNREACHABLE')))
    else own.after(5, () => done(told.answer ?? pongOf(target)))
  }
  const link: Network['link'] = (peerId) => {
    const letter = peerId.slice(-1)
    return unlinked.has(letter) ? undefined : { peerId, ringId: '', storeId: idOf(letter) }
  }
  const redialled: string[] = []
  const redial: Network['redial'] = (peerId) => void redialled.push(peerId.slice(-1))
  const network = { request, link, redial } as Partial<Network> as Network
  const base = { clock: own, random: seeded(1), log: silent, metrics: noMetrics }
  const onCrash = (error: RingdError) => {
    throw error
  }
  const onPong = () => {}
  const hearings: Hearing[] = []
  const onHearing = (hearing: Hearing) => void hearings.push(hearing)
  const reaches: Reach[] = []
  const onReach = (reach: Reach) => void reaches.push(reach)
  const make = (self: Ref<DetectorMessage>) => new Detector({ ...base, network, self, onPong, onHearing, onReach })
  const ref = spawn<DetectorMessage>(base, 'detector', make, { onCrash })
  every(own, 1000, () => ref.tell({ type: 'tick' }))
  const view = (number: number, owners: string) =>
    ref.signal({ type: 'view', view: ringView({ number, self: 'a', window: [config(1, owners)] }) })
  view(1, letters)
  await clock.settle()
  const health = async () => {
    let result: Health | RingdError | undefined
    ref.tell({
      type: 'health',
      reply: (answer) => {
        result = answer
      }
    })
    await clock.settle()
    return result as Health
  }
  const states = async () => [...(await health())].map(([id, { liveness }]) => `${letterOf(id)} ${liveness}`)
  const pingThrough = async (from: string, letter: string) => {
    let result: Answer | undefined
    const asker = { peerId: `peer-${from}`, ringId: '', storeId: idOf(from) }
    const respond = (answer: Answer) => {
      result = answer
    }
    ref.signal({ type: 'ping-through', from: asker, member: idOf(letter), respond })
    await clock.advance(1500)
    return result
  }
  const peers = { unlinked, mute, deaf, told }
  return { ...peers, reaches, hearings, clock, own, redialled, pinged, helped, view, health, states, pingThrough }
}

function letterOf(id: string): string {
  return String.fromCharCode(Number.parseInt(id.slice(0, 2), 16))
}

/** The first `count` letters: a, b and so on. */
function lettersOf(count: number): string {
  return String.fromCharCode(...Array.from({ length: count }, (_, index) => 97 + index))
}

test('every other member is pinged each second, and its answer is kept', async () => {
  const { clock, pinged, helped, health, states } = await start()
  await clock.advance(3500)
  assert.equal(pinged.sort(), ['b', 'b', 'b', 'c', 'c', 'c'])
  assert.equal(await states(), ['b up', 'c up'])
  assert.is((await health()).get(idOf('b'))!.pong!.ringDigest, 'b')
  assert.equal(helped, [])
})

test('a member with a closed link is suspect at once, and down after seconds without any answer', async () => {
  const { clock, unlinked, mute, states } = await start()
  await clock.advance(3500)
  unlinked.add('b')
  mute.add('b')
  assert.equal(await states(), ['b suspect', 'c up'])
  await clock.advance(3900)
  assert.equal(await states(), ['b suspect', 'c up'])
  await clock.advance(200)
  assert.equal(await states(), ['b down', 'c up'])
})

test('a silent member with an open link becomes suspect and down later; one answer ends that', async () => {
  const { clock, mute, states } = await start()
  await clock.advance(3100)
  mute.add('b')
  await clock.advance(2300)
  assert.equal(await states(), ['b up', 'c up'])
  await clock.advance(300)
  assert.equal(await states(), ['b suspect', 'c up'])
  await clock.advance(2000)
  assert.equal(await states(), ['b down', 'c up'])
  mute.clear()
  await clock.advance(1100)
  assert.equal(await states(), ['b up', 'c up'])
})

test('only a member that is down on an open link is dialled again', async () => {
  const { clock, mute, unlinked, redialled } = await start('abcd')
  await clock.advance(3100)
  mute.add('b')
  mute.add('c')
  unlinked.add('c')
  await clock.advance(3500)
  assert.equal(redialled, [])
  await clock.advance(2500)
  assert.ok(redialled.length >= 1 && redialled.every((letter) => letter === 'b'), redialled.join(''))
  mute.clear()
  await clock.advance(1100)
  const before = redialled.length
  await clock.advance(5000)
  assert.is(redialled.length, before)
})

test('a suspicion gives its reason', async () => {
  const { clock, unlinked, mute, health } = await start()
  await clock.advance(3500)
  unlinked.add('b')
  mute.add('c')
  await clock.advance(2500)
  const known = await health()
  assert.is(known.get(idOf('b'))!.reason, 'no link')
  assert.is(known.get(idOf('c'))!.reason, 'no answer for 2.0 s, neither directly nor through others')
})

test('a member that still answers others is not suspected, and three of them are asked', async () => {
  const { clock, deaf, helped, states } = await start('abcdefg')
  await clock.advance(3100)
  deaf.add('b')
  await clock.advance(1700)
  assert.equal(helped, [], 'the first question is not overdue yet')
  await clock.advance(300)
  assert.is(helped.length, 3)
  assert.ok(helped.every((help) => help.endsWith('>b') && !help.startsWith('b')))
  await clock.advance(20_000)
  assert.is((await states())[0], 'b up')
})

test('a member without a link that answers through others stays suspect and is not down', async () => {
  const { clock, unlinked, states } = await start()
  await clock.advance(3500)
  unlinked.add('b')
  await clock.advance(20_000)
  assert.equal(await states(), ['b suspect', 'c up'])
})

test('in a large ring a few members are pinged each second, each once a round', async () => {
  const { clock, pinged, states } = await start(lettersOf(61))
  await clock.advance(1500)
  assert.is(pinged.length, 10)
  await clock.advance(5000)
  assert.is(new Set(pinged).size, 60)
  assert.is(pinged.length, 60)
  assert.ok((await states()).every((state) => state.endsWith('up')))
})

test('in a large ring a silent member is pinged again and found down', async () => {
  const { clock, mute, states } = await start(lettersOf(61))
  await clock.advance(500)
  mute.add('b')
  await clock.advance(6000 + 3500)
  assert.is((await states())[0], 'b down')
})

test("time in which this peer did not run counts as no member's silence", async () => {
  const { clock, own, mute, states } = await start()
  await clock.advance(3500)
  mute.add('b')
  await clock.advance(1000)
  own.pause()
  await clock.advance(60_000)
  mute.clear()
  own.resume()
  await clock.settle()
  assert.equal(await states(), ['b up', 'c up'])
  await clock.advance(3000)
  assert.equal(await states(), ['b up', 'c up'])
  mute.add('b')
  await clock.advance(12_000)
  assert.equal(await states(), ['b down', 'c up'])
})

test('membership gets heard members and down times, at every tick while a member is down', async () => {
  const { clock, own, mute, unlinked, hearings } = await start('abcd')
  await clock.advance(3500)
  assert.equal([...hearings.at(-1)!.heard].map(letterOf), ['b', 'c', 'd'])
  const told = hearings.length
  await clock.advance(5000)
  assert.is(hearings.length, told, 'nothing has changed')
  mute.add('b')
  unlinked.add('c')
  await clock.advance(10_000)
  const { at, heard, downSince } = hearings.at(-1)!
  assert.ok(own.elapsed() - at <= 1000)
  assert.equal([...heard].map(letterOf), ['c', 'd'], 'c answers through d')
  assert.equal([...downSince.keys()].map(letterOf), ['b'])
  assert.is(at - downSince.get(idOf('b'))!, 9000)
  mute.clear()
  await clock.advance(1100)
  assert.is(hearings.at(-1)!.downSince.size, 0)
})

test("time in which this peer did not run lengthens no member's down time", async () => {
  const { clock, own, mute, hearings, health } = await start()
  await clock.advance(3500)
  mute.add('b')
  await clock.advance(6000)
  const downMs = () => {
    const { at, downSince } = hearings.at(-1)!
    return at - (downSince.get(idOf('b')) ?? at)
  }
  const before = downMs()
  own.pause()
  await clock.advance(60_000)
  own.resume()
  await health()
  assert.ok(downMs() <= before + 1000, `${downMs()} ms after ${before} ms`)
  await clock.advance(10_000)
  assert.ok(downMs() <= before + 11_000, `${downMs()} ms after ${before} ms`)
})

test('a member is pinged on behalf of another, and its silence is noted here as well', async () => {
  // Without this the member that comes last in the round would not be asked for some seconds.
  const rehearsal = await start(lettersOf(61))
  await rehearsal.clock.advance(6500)
  const last = rehearsal.pinged.at(-1)!
  const asker = rehearsal.pinged.at(-2)!
  const { clock, mute, health, pingThrough } = await start(lettersOf(61))
  const answer = await pingThrough(asker, last)
  assert.is((answer as { pong: { ringDigest: string } }).pong.ringDigest, last)
  mute.add(last)
  assert.is(((await pingThrough(asker, last)) as RingdError).code, 'UNREACHABLE')
  await clock.advance(1000)
  assert.is((await health()).get(idOf(last))!.liveness, 'suspect')
})

test('a ping through this peer is refused from a stranger and to a stranger', async () => {
  const { pinged, pingThrough } = await start()
  assert.is(((await pingThrough('x', 'b')) as RingdError).code, 'BAD_REQUEST')
  assert.is(((await pingThrough('b', 'x')) as RingdError).code, 'BAD_REQUEST')
  assert.ok(!pinged.includes('x'))
})

test('a new member gets its full time before it is suspected, and a former member is dropped', async () => {
  const { clock, unlinked, mute, view, states } = await start()
  await clock.advance(10_000)
  unlinked.add('d')
  mute.add('d')
  view(2, 'acd')
  await clock.settle()
  assert.equal(await states(), ['c up', 'd suspect'])
  await clock.advance(5000)
  assert.equal(await states(), ['c up', 'd down'])
})

test('a member that answers only others is not reached, and is again with its first answer to this peer', async () => {
  const { clock, deaf, unlinked, reaches, health } = await start('abcdefg')
  await clock.advance(3100)
  assert.equal(reaches, [])
  deaf.add('b')
  unlinked.add('c')
  await clock.advance(3000)
  assert.ok((await health()).get(idOf('b'))!.isReached, 'not for a pause of less than 3.5 s')
  await clock.advance(3000)
  assert.equal(reaches.at(-1)!.unreached.map(letterOf), ['b', 'c'])
  const known = await health()
  assert.equal(
    [...known].filter(([, { isReached }]) => !isReached).map(([id]) => letterOf(id)),
    ['b', 'c']
  )
  assert.is(known.get(idOf('b'))!.liveness, 'up', 'it answers through others')
  deaf.clear()
  unlinked.clear()
  await clock.advance(2000)
  const told = reaches.length
  assert.equal(reaches.at(-1), { unreached: [], unreachedBy: [] })
  assert.ok([...(await health()).values()].every(({ isReached }) => isReached))
  await clock.advance(5000)
  assert.is(reaches.length, told, 'nothing has changed')
})

test('in a large ring a member that answers only others is pinged each second, and soon reached again', async () => {
  const { clock, deaf, reaches, pinged, states } = await start(lettersOf(121))
  await clock.advance(1500)
  const [letter = ''] = pinged
  deaf.add(letter)
  await clock.advance(25_000)
  assert.equal(reaches.at(-1)?.unreached.map(letterOf), [letter])
  assert.ok((await states()).includes(`${letter} up`))
  deaf.clear()
  await clock.advance(2100)
  assert.equal(reaches.at(-1)?.unreached, [])
})

test('members that tell that they do not reach this peer are known, until they say otherwise or are down', async () => {
  const { clock, told, mute, reaches, health } = await start()
  const trouble = { conditions: [], unreached: [Buffer.from(idOf('a'), 'hex')], unreachedCount: 1, untrusted: false }
  told.answer = { pong: { ...pongOf('x').pong!, trouble } }
  await clock.advance(2500)
  assert.equal(reaches.at(-1)!.unreachedBy.map(letterOf), ['b', 'c'])
  assert.equal((await health()).get(idOf('b'))!.trouble.unreached.map(letterOf), ['a'])
  mute.add('b')
  await clock.advance(8000)
  assert.equal(reaches.at(-1)!.unreachedBy.map(letterOf), ['c'])
  delete told.answer
  await clock.advance(2500)
  assert.equal(reaches.at(-1)!.unreachedBy, [])
})

test('a pong with troubles beyond their bounds counts as none', async () => {
  const { clock, health, told } = await start('ab')
  const trouble = {
    conditions: [{ name: 'x'.repeat(99), says: '' }],
    unreached: [],
    unreachedCount: 0,
    untrusted: false
  }
  told.answer = { pong: { ...pongOf('x').pong!, trouble } }
  await clock.advance(10_000)
  assert.is((await health()).get(idOf('b'))!.liveness, 'down')
})

test('a pong with fields of any length counts as none', async () => {
  const { clock, health, pinged, told } = await start('ab')
  await clock.advance(1000)
  assert.is((await health()).get(idOf('b'))!.liveness, 'up')
  told.answer = pongOf('x'.repeat(200))
  await clock.advance(10_000)
  assert.ok(pinged.length > 5)
  assert.is((await health()).get(idOf('b'))!.liveness, 'down')
})

test.run()
