// The detector actor: pings everyone, believes answers, suspects closed links at once, and takes the silent for down.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { spawn } from '../../lib/actor/actor.js'
import { Detector, type DetectorMessage, type Health } from '../../lib/actors/detector.js'
import { every } from '../../lib/clock.js'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import type { Network } from '../../lib/network/network.js'
import { config, idOf, ringView } from '../sim/ring-views.js'
import { VirtualClock } from '../sim/virtual-clock.js'

const test = suite('detector')

async function start(letters = 'abc') {
  const clock = new VirtualClock()
  const unlinked = new Set<string>()
  const mute = new Set<string>()
  const pinged: string[] = []
  const request: Network['request'] = (to, _stream, _body, timeoutMs, done) => {
    const letter = to.slice(-1)
    pinged.push(letter)
    if (mute.has(letter)) clock.after(timeoutMs, () => done(new RingdError('TIMEOUT')))
    else clock.after(5, () => done({ pong: { view: 1, ringDigest: letter, entries: 1, bytes: 2 } }))
  }
  const link: Network['link'] = (peerId) => {
    const letter = peerId.slice(-1)
    return unlinked.has(letter) ? undefined : { peerId, ringId: '', storeId: idOf(letter) }
  }
  const network = { request, link } as Partial<Network> as Network
  const base = { clock, log: silent, metrics: noMetrics }
  const onCrash = (error: RingdError) => {
    throw error
  }
  const ref = spawn<DetectorMessage>(base, 'detector', (self) => new Detector({ ...base, network, self }), { onCrash })
  every(clock, 1000, () => ref.tell({ type: 'tick' }))
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
  const states = async () => {
    const known = await health()
    return [...known].map(
      ([id, { liveness }]) => `${String.fromCharCode(Number.parseInt(id.slice(0, 2), 16))} ${liveness}`
    )
  }
  return { clock, unlinked, mute, pinged, view, health, states }
}

test('every other member is pinged each second, and what it says is kept', async () => {
  const { clock, pinged, health, states } = await start()
  await clock.advance(3500)
  assert.equal(pinged.sort(), ['b', 'b', 'b', 'c', 'c', 'c'])
  assert.equal(await states(), ['b up', 'c up'])
  assert.is((await health()).get(idOf('b'))!.pong!.ringDigest, 'b')
})

test('a closed link makes suspect at once, and down after four and a half silent seconds', async () => {
  const { clock, unlinked, states } = await start()
  await clock.advance(3500)
  unlinked.add('b')
  assert.equal(await states(), ['b suspect', 'c up'])
  await clock.advance(3900)
  assert.equal(await states(), ['b suspect', 'c up'])
  await clock.advance(200)
  assert.equal(await states(), ['b down', 'c up'])
})

test('silence on an open link does the same, later; one answer undoes it', async () => {
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

test('a new member gets its time, and one that left is forgotten', async () => {
  const { clock, unlinked, view, states } = await start()
  await clock.advance(10_000)
  unlinked.add('d')
  view(2, 'acd')
  await clock.settle()
  assert.equal(await states(), ['c up', 'd suspect'])
  await clock.advance(5000)
  assert.equal(await states(), ['c up', 'd down'])
})

test.run()
