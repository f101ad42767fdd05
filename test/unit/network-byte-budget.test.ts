// The account of the bytes that a port holds, and the turns of the reads of clients.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB, MiB } from '../../lib/limits.js'
import { AnswerLanes, type LaneUser, type Turn } from '../../lib/network/answer-lanes.js'
import { ByteBudget, NO_ACCOUNT } from '../../lib/network/byte-budget.js'
import { systemRandom } from '../../lib/system-random.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('byte budget')

test('a peer may hold its limit over all its links, and not more', () => {
  const budget = new ByteBudget({ totalBytesMax: 100 * MiB, peerBytesMax: 10 * MiB })
  const [one, other] = [budget.open('a', () => {}), budget.open('a', () => {})]
  one.hold(6 * MiB)
  assert.ok(other.fits(4 * MiB))
  assert.not.ok(other.fits(4 * MiB + 1))
  other.hold(5 * MiB)
  assert.ok(one.exceeded && other.exceeded)
  one.hold(0)
  assert.not.ok(other.exceeded)
})

test('when the total is short, the peer that holds most has to go', () => {
  const gone: string[] = []
  const budget = new ByteBudget({ totalBytesMax: 40 * MiB, peerBytesMax: 30 * MiB })
  const [greedy, modest] = ['greedy', 'modest'].map((name) => budget.open(name, () => gone.push(name)))
  greedy!.hold(29 * MiB)
  modest!.hold(11 * MiB)
  assert.equal(gone, [])
  assert.not.ok(modest!.fits(MiB))
  modest!.hold(12 * MiB)
  assert.equal(gone, ['greedy'])
  assert.is(budget.bytes, 12 * MiB)
  greedy!.hold(30 * MiB)
  greedy!.close()
  assert.is(budget.bytes, 12 * MiB)
})

test('a peer that holds less than its share never has to go', () => {
  const gone: number[] = []
  const budget = new ByteBudget({ totalBytesMax: 40 * MiB, peerBytesMax: 30 * MiB })
  const modest = budget.open('modest', () => gone.push(-1))
  modest.hold(MiB)
  for (let n = 0; n < 300; n++) {
    const account = budget.open(`p${n % 20}`, () => gone.push(n))
    account.hold(budget.bytesOf(`p${n % 20}`) + MiB)
    assert.ok(budget.bytes <= 41 * MiB)
  }
  assert.ok(gone.length > 20)
  assert.not.ok(gone.includes(-1))
})

test('a peer that had to go begins anew with its next link', () => {
  const budget = new ByteBudget({ totalBytesMax: 10 * MiB, peerBytesMax: 30 * MiB })
  const old = budget.open('a', () => {})
  old.hold(11 * MiB)
  const next = budget.open('a', () => {})
  assert.is(budget.bytesOf('a'), 0)
  next.hold(MiB)
  old.close()
  assert.is(budget.bytes, MiB)
  assert.is(budget.bytesOf('a'), MiB)
})

test('however many greedy peers there are, the total holds and a peer with little is served', () => {
  const budget = new ByteBudget({ totalBytesMax: 96 * MiB, peerBytesMax: 32 * MiB })
  for (let n = 0; n < 1000; n++) {
    const account = budget.open(`greedy ${n}`, () => {})
    for (let bytes = 0; account.fits(MiB) && bytes < 40 * MiB; bytes += MiB) account.hold(bytes + MiB)
    account.hold(budget.bytesOf(`greedy ${n}`) + MiB)
    assert.ok(budget.bytes <= 97 * MiB)
  }
  assert.ok(budget.open('modest', () => {}).fits(64 * KiB))
})

test('after random changes and closes, the total is the sum of what is held', () => {
  const budget = new ByteBudget({ totalBytesMax: 5000 * MiB, peerBytesMax: 10 * MiB })
  const open = new Map<ReturnType<ByteBudget['open']>, number>()
  const draw = (below: number) => Math.floor(systemRandom.next() * below)
  for (let n = 0; n < 20_000; n++) {
    const accounts = [...open.keys()]
    const action = draw(10)
    if (action === 0 || accounts.length === 0)
      open.set(
        budget.open(`p${draw(5)}`, () => {}),
        0
      )
    else if (action === 1) {
      const account = accounts[draw(accounts.length)]!
      account.close()
      account.hold(MiB)
      account.close()
      open.delete(account)
    } else {
      const account = accounts[draw(accounts.length)]!
      const bytes = draw(2 * MiB)
      account.hold(bytes)
      open.set(account, bytes)
    }
    let sum = 0
    for (const bytes of open.values()) sum += bytes
    assert.is(budget.bytes, sum)
  }
  for (const account of open.keys()) account.close()
  assert.is(budget.bytes, 0)
  assert.is(budget.bytesOf('p0'), 0)
  assert.is(budget.share, 5000 * MiB)
})

/** Reads a value of `bytes` as often as there are turns, until `count` reads are done. */
function readAll(user: LaneUser, bytes: number, count: number): void {
  for (let n = 0; n < count; n++) user.enter()!.leave(bytes)
}

test('a client has few turns until its answers have been small, and many then', () => {
  const lanes = new AnswerLanes(new VirtualClock(), { smallMax: 8, smallOfLinkMax: 6, largeMax: 2 })
  const user = lanes.user(NO_ACCOUNT, () => {})
  const first = [user.enter(), user.enter(), user.enter()]
  assert.equal(
    first.map((turn) => turn !== undefined),
    [true, true, false]
  )
  for (const turn of first) turn?.leave(100)
  readAll(user, 100, 4)
  const turns: Turn[] = []
  for (let turn = user.enter(); turn !== undefined; turn = user.enter()) turns.push(turn)
  assert.is(turns.length, 6)
  assert.is(turns[0]!.bytes, 64 * KiB)
})

test('clients with small answers pass by those that wait with large ones', () => {
  const lanes = new AnswerLanes(new VirtualClock(), { smallMax: 8, smallOfLinkMax: 6, largeMax: 2 })
  const small = lanes.user(NO_ACCOUNT, () => {})
  readAll(small, 100, 4)
  const large = Array.from({ length: 100 }, () => lanes.user(NO_ACCOUNT, () => {}))
  assert.is(large.filter((user) => user.enter() !== undefined).length, 2)
  assert.ok(small.enter() !== undefined)
})

test('a large answer takes a client out of the lane of small ones, which becomes narrow for a while', async () => {
  const clock = new VirtualClock()
  const lanes = new AnswerLanes(clock, { smallMax: 40, smallOfLinkMax: 40, largeMax: 1 })
  const [liar, honest] = [lanes.user(NO_ACCOUNT, () => {}), lanes.user(NO_ACCOUNT, () => {})]
  readAll(liar, 100, 4)
  readAll(honest, 100, 4)
  liar.enter()!.leave(8 * MiB)
  assert.not.ok(liar.expectsSmall)
  const count = (): number => {
    const turns: Turn[] = []
    for (let turn = honest.enter(); turn !== undefined; turn = honest.enter()) turns.push(turn)
    for (const turn of turns) turn.leave(100)
    return turns.length
  }
  assert.is(count(), 16)
  await clock.advance(10_000)
  assert.is(count(), 40)
})

test('waiting clients get turns in the order of waiting, and again when only bytes were short', async () => {
  const clock = new VirtualClock()
  const lanes = new AnswerLanes(clock, { smallMax: 8, smallOfLinkMax: 6, largeMax: 1 })
  const order: number[] = []
  let room = true
  const users = [0, 1, 2].map((n) => {
    const account = { ...NO_ACCOUNT, fits: () => room }
    const user: LaneUser = lanes.user(account, () => {
      const turn = user.enter()
      if (turn === undefined) return
      order.push(n)
      turn.leave(MiB)
    })
    return user
  })
  const held = lanes.user(NO_ACCOUNT, () => {}).enter()!
  for (const user of users) assert.is(user.enter(), undefined)
  room = false
  held.leave(MiB)
  assert.equal(order, [])
  room = true
  await clock.advance(50)
  assert.equal(order.sort(), [0, 1, 2])
})

test('a closed client is not woken', async () => {
  const clock = new VirtualClock()
  const lanes = new AnswerLanes(clock, { smallMax: 1, smallOfLinkMax: 1, largeMax: 1 })
  let woken = 0
  const held = lanes.user(NO_ACCOUNT, () => {}).enter()!
  const user = lanes.user(NO_ACCOUNT, () => woken++)
  user.enter()
  user.close()
  held.leave(MiB)
  await clock.advance(1000)
  assert.is(woken, 0)
})

test.run()
