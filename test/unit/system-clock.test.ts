// The real clock keeps the promises of its seam, although Node's timers do not.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sleep } from '../../lib/clock.js'
import { systemClock } from '../../lib/system-clock.js'

const test = suite('system clock')

test('no timer fires before the monotonic clock has moved by its delay', async () => {
  let earliestMs = Number.POSITIVE_INFINITY
  const chain = async (delayMs: number) => {
    for (let round = 0; round < 20; round++) {
      const from = systemClock.elapsed()
      await sleep(systemClock, delayMs)
      earliestMs = Math.min(earliestMs, systemClock.elapsed() - from - delayMs)
    }
  }
  // Many timers at once, so that the event loop is often awake just before one of them is due.
  await Promise.all(Array.from({ length: 50 }, (_, index) => chain(5 + index / 7)))
  assert.ok(earliestMs >= 0, `${-earliestMs} ms early`)
})

test('a delay of more than 31 bits does not fire at once', async () => {
  let fired = false
  const timer = systemClock.after(2 ** 31 + 1000, () => {
    fired = true
  })
  await sleep(systemClock, 20)
  timer.cancel()
  assert.not(fired)
})

test('a cancelled task does not run, and cancelling twice does nothing', async () => {
  let fired = false
  const timer = systemClock.after(5, () => {
    fired = true
  })
  timer.cancel()
  timer.cancel()
  await sleep(systemClock, 20)
  assert.not(fired)
})

test.run()
