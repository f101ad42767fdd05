// The handoff actor: it keeps checking for slots that others own, also when timers fire early.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Handoff, type HandoffMessage } from '../../lib/actors/migration/handoff.js'
import type { ReplicaMessage } from '../../lib/actors/replica/replica-messages.js'
import type { Clock } from '../../lib/clock.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import type { Network } from '../../lib/network/network.js'
import { spawn } from '../../lib/runtime/actor.js'
import type { RingView } from '../../lib/views/ring-view.js'
import { config, ringView } from '../sim/harness/ring-views.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('handoff')

const LIMITS = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }

/** A member that stores slots of others and can reach no owner. `looks` are the times at which it checked. */
function harness(surplus: readonly number[], earlyMs = 0) {
  const clock = new VirtualClock()
  const looks: number[] = []
  const replica = {
    isOver: false,
    signal() {},
    tell(message: ReplicaMessage) {
      if (message.type !== 'surplus') return false
      looks.push(clock.elapsed())
      clock.defer(() => message.reply(surplus))
      return true
    }
  }
  const early: Clock = {
    now: () => clock.now(),
    elapsed: () => clock.elapsed(),
    after: (delayMs, task) => clock.after(delayMs - earlyMs, task),
    defer: (task) => clock.defer(task)
  }
  const base = { clock: early, log: silent, metrics: noMetrics }
  const membership = { isOver: false, tell: () => true, signal() {} }
  const network = { link: () => undefined } as unknown as Network
  const deps = { ...base, network, replica, membership, learned() {} }
  const onCrash = (error: Error) => {
    throw error
  }
  const ref = spawn<HandoffMessage>(base, 'retirement', (self) => new Handoff({ ...deps, self }, { limits: LIMITS }), {
    onCrash
  })
  return { clock, looks, ref }
}

/** Each number gives another view, so the owners count as changed. */
function view(number: number): RingView {
  return ringView({ number, self: 'a', window: [config(number, 'bcd')] })
}

test('the actor keeps checking while a slot cannot be released yet', async () => {
  const { clock, looks, ref } = harness([0])
  ref.signal({ type: 'view', view: view(1) })
  await clock.advance(60_000)
  assert.ok(looks.length >= 118, `${looks.length} looks in a minute`)
  await ref.stop()
})

test('a timer that fires slightly early does not end the checking', async () => {
  const { clock, looks, ref } = harness([0], 0.5)
  ref.signal({ type: 'view', view: view(1) })
  await clock.advance(60_000)
  assert.ok(looks.length >= 118, `${looks.length} looks in a minute`)
  await ref.stop()
})

test('after a change of the ring the actor checks soon, and once', async () => {
  const { clock, looks, ref } = harness([])
  ref.signal({ type: 'view', view: view(1) })
  await clock.advance(1000)
  assert.equal(looks, [500])
  for (const number of [2, 3, 4]) ref.signal({ type: 'view', view: view(number) })
  await clock.advance(1000)
  assert.equal(looks, [500, 1500])
  await clock.advance(5000)
  assert.equal(looks, [500, 1500, 6500])
  await ref.stop()
})

test.run()
