// Which of two peers dials the other, and how often.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { Dialer } from '../../lib/network/dialer.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('dialer')

function hubHarness(self: string) {
  const clock = new VirtualClock()
  const up = new Set<string>()
  const dials: Array<readonly [atMs: number, peerId: string, address: string | undefined]> = []
  const anews: number[] = []
  let reachable = false
  const dialer = new Dialer({
    clock,
    random: { next: () => 0.5, bytes: (length) => new Uint8Array(length) },
    log: silent,
    self,
    isUp: (peerId) => up.has(peerId),
    async connect(peerId, addresses, anew) {
      dials.push([Math.round(clock.elapsed()), peerId, addresses[0]])
      if (anew) anews.push(Math.round(clock.elapsed()))
      if (!reachable) throw new RingdError('UNREACHABLE')
      up.add(peerId)
    }
  })
  dialer.start()
  return {
    clock,
    up,
    dials,
    anews,
    dialer,
    allow(value: boolean) {
      reachable = value
    }
  }
}

test('of the addresses of a peer sixteen are tried, and no more than 64 peers are dialled at a time', async () => {
  const clock = new VirtualClock()
  const counts: number[] = []
  let now = 0
  let most = 0
  const dialer = new Dialer({
    clock,
    random: { next: () => 0.5, bytes: (length) => new Uint8Array(length) },
    log: silent,
    self: 'a',
    isUp: () => false,
    async connect(_peerId, addresses) {
      counts.push(addresses.length)
      most = Math.max(most, ++now)
      await new Promise<void>((resolve) => void clock.after(100, resolve))
      now--
    }
  })
  dialer.start()
  const addresses = Array.from({ length: 64 }, (_, n) => `/x/${n}`)
  dialer.keep(new Map(Array.from({ length: 500 }, (_, n) => [`p${n}`, addresses] as const)))
  for (let n = 0; n < 9; n++) await clock.advance(100)
  assert.is(most, 64)
  assert.ok(counts.length >= 500, `${counts.length} dials`)
  assert.ok(counts.every((count) => count === 16))
  dialer.stop()
})

test('the peer with the lower id dials at once, the other one after two seconds', async () => {
  for (const [self, expected] of [
    ['a', 0],
    ['z', 2000]
  ] as const) {
    const { clock, dials, dialer, allow } = hubHarness(self)
    allow(true)
    dialer.keep(new Map([['m', ['/x']]]))
    await clock.advance(10_000)
    assert.equal(dials, [[expected, 'm', '/x']])
  }
})

test('a peer that does not answer is dialled again without end, at most every five seconds', async () => {
  const { clock, dials, dialer } = hubHarness('a')
  dialer.keep(new Map([['m', ['/x']]]))
  await clock.advance(60_000)
  const gaps = dials.slice(1).map(([atMs], index) => atMs - dials[index]![0])
  assert.ok(gaps[0]! <= 200, 'soon at first')
  assert.ok(Math.max(...gaps) <= 5000 && gaps.at(-1)! >= 2500, 'slowly in the end')
  assert.ok(60_000 - dials.at(-1)![0] <= 5000)
})

test('a peer that is up is not dialled, and a lost one is dialled again', async () => {
  const { clock, up, dials, dialer, allow } = hubHarness('a')
  up.add('m')
  allow(true)
  dialer.keep(new Map([['m', ['/x']]]))
  await clock.advance(10_000)
  assert.is(dials.length, 0)
  up.delete('m')
  dialer.lost('m')
  await clock.advance(200)
  assert.is(dials.length, 1)
})

test('new addresses are tried at once, and a peer that left the set is not dialled any more', async () => {
  const { clock, dials, dialer } = hubHarness('a')
  dialer.keep(new Map([['m', ['/x']]]))
  await clock.advance(20_000)
  dialer.keep(new Map([['m', ['/y']]]))
  const before = dials.length
  await clock.settle()
  assert.is(dials.length, before + 1)
  assert.is(dials.at(-1)![2], '/y')
  dialer.keep(new Map())
  dialer.lost('m')
  await clock.advance(20_000)
  assert.is(dials.length, before + 1)
})

test('a doubted peer is dialled while it is up, only by the lower peer id, and less and less often', async () => {
  for (const self of ['a', 'z']) {
    const { clock, up, anews, dialer } = hubHarness(self)
    up.add('m')
    dialer.keep(new Map([['m', ['/x']]]))
    dialer.redial('n')
    for (let second = 0; second < 60; second++) {
      dialer.redial('m')
      dialer.redial('m')
      await clock.advance(1000)
    }
    if (self === 'z') assert.equal(anews, [])
    else {
      const gaps = anews.slice(1).map((atMs, index) => atMs - anews[index]!)
      assert.ok(gaps[0]! <= 1000 && gaps.at(-1)! >= 2500 && Math.max(...gaps) <= 6000, gaps.join(' '))
    }
    const before = anews.length
    up.delete('m')
    await clock.advance(20_000)
    dialer.redial('m')
    assert.is(anews.length, before)
  }
})

test('nothing is dialled after stop, and a peer never dials itself', async () => {
  const { clock, dials, dialer } = hubHarness('m')
  dialer.keep(new Map([['m', ['/x']]]))
  await clock.advance(10_000)
  dialer.keep(new Map([['z', ['/x']]]))
  dialer.stop()
  await clock.advance(10_000)
  assert.is(dials.length, 0)
})

test.run()
