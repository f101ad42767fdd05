// What the members' clocks show together: the agreed moment, and the verdict on the own clock.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ClockReading, RingTime } from '../../lib/entry/ring-time.js'
import { idOf } from '../sim/harness/ring-views.js'

const START = 1_735_689_600_000
const HOUR = 3_600_000

const test = suite('ring-time')

/** The clocks of member `a` in a ring of these letters. */
class Peer {
  wallMs = START
  elapsedMs = 1000
  readonly time: RingTime

  constructor(letters = 'abc', agreedMs = 0, lookMs = 0) {
    const clocks = { now: () => this.wallMs, elapsed: () => this.elapsedMs }
    this.time = new RingTime(clocks, { agreedMs, lookMs })
    if (letters !== '') this.view(letters)
  }

  view(letters: string): void {
    this.time.useMembers({ self: idOf('a'), members: new Map(Array.from(letters, (letter) => [idOf(letter), letter])) })
  }

  pass(ms: number): void {
    this.wallMs += ms
    this.elapsedMs += ms
  }

  /** The member's clock shows this much more than a right one, after a round trip of 2 ms. */
  hear(letter: string, aheadMs: number, changes: Partial<ClockReading> = {}): void {
    const at = this.elapsedMs
    const wallMs = START + at - 1000 + aheadMs
    this.time.heard(idOf(letter), { wallMs, agreedMs: START, askedAt: at - 1, answeredAt: at + 1, ...changes })
  }

  get verdict(): string {
    const { verdict } = this.time
    return verdict.state === 'wrong' ? `wrong by ${Math.round(verdict.aheadMs)}` : verdict.state
  }
}

test('a ring of one is right, whatever its clock shows', () => {
  const peer = new Peer('a')
  assert.is(peer.verdict, 'right')
  peer.wallMs += HOUR
  assert.is(peer.verdict, 'right')
  assert.is(peer.time.agreedMs(), START + HOUR)
  peer.wallMs -= HOUR
  assert.is(peer.verdict, 'right')
  assert.equal([peer.time.now(), peer.time.agreedMs()], [START, START + HOUR])
})

test('the clocks are read once a ms, and when a member was heard', () => {
  const peer = new Peer('abc', 0, 1)
  for (const letter of 'bc') peer.hear(letter, 0)
  peer.wallMs += HOUR
  assert.is(peer.verdict, 'right')
  peer.hear('b', 0)
  assert.is(peer.verdict, `wrong by ${HOUR}`)
  peer.wallMs -= HOUR
  peer.pass(1)
  peer.hear('c', 0)
  assert.is(peer.verdict, 'right')
})

test('without a view, and before a majority was heard, a clock is doubtful', () => {
  const peer = new Peer('')
  assert.is(peer.verdict, 'doubtful')
  assert.is(peer.time.provenMs, 0)
  peer.view('abcde')
  assert.is(peer.verdict, 'doubtful')
  peer.hear('b', 0)
  assert.is(peer.verdict, 'doubtful')
  assert.is(peer.time.provenMs, 0)
  peer.hear('c', 10)
  assert.is(peer.verdict, 'right')
  assert.ok(peer.time.provenMs >= START)
})

test('after some seconds one member is enough to compare with, and nobody never is', () => {
  const peer = new Peer('abcde')
  peer.hear('b', 0)
  peer.pass(2999)
  assert.is(peer.verdict, 'doubtful')
  peer.pass(1)
  assert.is(peer.verdict, 'right')
  const alone = new Peer('abc')
  alone.pass(HOUR)
  assert.is(alone.verdict, 'doubtful')
})

test('a clock that differs from most members by more than the bound is wrong, and says by how much', () => {
  for (const [ahead, verdict] of [
    [4400, 'right'],
    [4700, 'wrong by 4700'],
    [7000, 'wrong by 7000'],
    [-7000, 'wrong by -7000'],
    [HOUR, `wrong by ${HOUR}`]
  ] as const) {
    const peer = new Peer()
    peer.wallMs += ahead
    peer.hear('b', 0)
    peer.hear('c', 0)
    assert.is(peer.verdict, verdict)
  }
})

test('one member with a wrong clock, or one that lies, makes no right clock wrong and moves no agreed moment', () => {
  for (const ahead of [HOUR, -HOUR, 2 ** 47]) {
    const peer = new Peer()
    peer.hear('b', 0)
    peer.hear('c', ahead, { agreedMs: START + Math.max(0, ahead) })
    assert.is(peer.verdict, 'right')
    assert.ok(Math.abs(peer.time.agreedMs() - START) <= 1, `agreed on ${peer.time.agreedMs() - START}`)
  }
})

test('of two clocks the earlier one is believed', () => {
  const early = new Peer('ab')
  early.hear('b', 7000)
  assert.is(early.verdict, 'right')
  assert.is(early.time.agreedMs(), START)
  const late = new Peer('ab')
  late.hear('b', -7000)
  assert.is(late.verdict, 'wrong by 7000')
  assert.is(late.time.agreedMs(), START - 7000)
})

test('a jump makes a clock doubtful until others answer, and then wrong; the time of the others goes on', () => {
  const peer = new Peer()
  peer.hear('b', 0)
  peer.hear('c', 0)
  peer.pass(500)
  peer.wallMs += HOUR
  assert.is(peer.verdict, 'doubtful')
  assert.is(peer.time.now(), START + 500)
  assert.is(peer.time.agreedMs(), START + 500)
  peer.pass(100)
  peer.hear('b', 0)
  assert.is(peer.verdict, `wrong by ${HOUR}`)
  assert.is(peer.time.now(), START + 600)
  peer.wallMs -= HOUR
  assert.is(peer.verdict, 'right')
  assert.is(peer.time.agreedMs(), START + 600)
})

test('after a machine has slept, its clock is doubtful and then right', () => {
  const peer = new Peer()
  peer.hear('b', 0)
  peer.hear('c', 0)
  peer.pass(500)
  peer.wallMs += HOUR
  assert.is(peer.verdict, 'doubtful')
  peer.hear('b', HOUR)
  assert.is(peer.verdict, 'right')
})

test('when all clocks were ahead and are right again, the agreed moment stays', () => {
  const peer = new Peer()
  peer.wallMs += HOUR
  peer.hear('b', HOUR)
  peer.hear('c', HOUR)
  assert.is(peer.verdict, 'right')
  assert.is(peer.time.provenMs, START + HOUR)
  peer.wallMs -= HOUR
  peer.hear('b', 0)
  peer.hear('c', 0)
  assert.is(peer.verdict, 'right')
  assert.equal([peer.time.now(), peer.time.agreedMs()], [START, START + HOUR])
})

test('a peer takes over what a majority had agreed on, and not what fewer say', () => {
  const later = { agreedMs: START + HOUR }
  const peer = new Peer()
  peer.hear('b', 0, later)
  assert.ok(peer.time.agreedMs() < START + 1000)
  peer.hear('c', 0, later)
  assert.is(peer.time.provenMs, START + HOUR)
  // A joiner is no member: it takes the word of a majority of the others.
  const joiner = new Peer('')
  joiner.view('bcd')
  joiner.hear('b', 0, later)
  assert.is(joiner.time.isInformed, false)
  joiner.hear('c', 0, later)
  assert.is(joiner.time.isInformed, true)
  assert.is(joiner.time.provenMs, START + HOUR)
})

test('readings of strangers, and readings that make no sense, are ignored', () => {
  const peer = new Peer()
  peer.hear('x', 0)
  peer.hear('a', 0)
  const nonsense = [{ wallMs: -1 }, { wallMs: 0.5 }, { wallMs: 2 ** 48 }, { agreedMs: Number.NaN }, { askedAt: 1e9 }]
  for (const changes of nonsense) for (const letter of 'bc') peer.hear(letter, 0, changes)
  assert.is(peer.verdict, 'doubtful')
})

test('a reading with a long way keeps no better one out, unless they contradict each other', () => {
  const peer = new Peer()
  peer.hear('b', 0)
  peer.hear('c', 0)
  // Each of these answers came 2 s late, which looks like a clock that is 1 s behind.
  for (const letter of 'bc') peer.hear(letter, -2000, { askedAt: peer.elapsedMs - 2000, answeredAt: peer.elapsedMs })
  assert.is(Math.round(peer.time.aheadMs), 0)
  for (const letter of 'bc') peer.hear(letter, 9000, { askedAt: peer.elapsedMs - 2000, answeredAt: peer.elapsedMs })
  assert.is(peer.verdict, 'wrong by -10000')
})

test('members that left count no more', () => {
  const peer = new Peer()
  peer.wallMs += 7000
  peer.hear('b', 0)
  peer.hear('c', 0)
  assert.is(peer.verdict, 'wrong by 7000')
  peer.view('a')
  assert.is(peer.verdict, 'right')
})

test.run()
