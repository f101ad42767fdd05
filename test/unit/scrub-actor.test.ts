// The scrub actor: it reads every entry once per pass, has damaged entries healed, and continues after a restart.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ReplicaMessage, ScrubbedStretch } from '../../lib/actors/replica/replica-messages.js'
import { Scrub, type ScrubMessage } from '../../lib/actors/scrub.js'
import type { Bytes } from '../../lib/bytes.js'
import { dataKey } from '../../lib/entry/keys.js'
import { silent } from '../../lib/logger.js'
import { slotOf } from '../../lib/ring/slots.js'
import { spawn } from '../../lib/runtime/actor.js'
import type { RingView } from '../../lib/views/ring-view.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('scrub')

test('a damaged entry that no client reads is healed within one pass', async () => {
  const ring = new SimRing(1)
  await ring.startAll(names(3), { scrubMs: 60_000, repairEveryMs: 0 })
  await ring.untilWhole(3)
  await ring.wait(ring.node('n0').put('key', 'value'))
  await ring.clock.advance(1000)
  const stored = dataKey(slotOf(Buffer.from('key')), Buffer.from('key'))
  const { store } = ring.node('n1')
  const sound = Buffer.from(store.get(stored)!)
  const rotten = Buffer.from(sound)
  rotten[rotten.length - 1]! ^= 1
  await store.write([{ type: 'put', key: stored, value: rotten }])
  await ring.until(() => Buffer.from(store.get(stored)!).equals(sound), 90_000, 'it is healed')
  ring.close()
})

const STRETCH: ScrubbedStretch = { entries: 10, bytes: 1000, damaged: 0, reached: Buffer.from('x') }

/** A scrub whose replica gives the answers of the test. */
function harness(everyMs: number, bytes: number, progress?: Bytes) {
  const clock = new VirtualClock()
  const asked: (string | undefined)[] = []
  const saved: (Bytes | undefined)[] = []
  const answers: ScrubbedStretch[] = []
  const replica = {
    isOver: false,
    signal() {},
    tell(message: ReplicaMessage) {
      if (message.type !== 'scrub') return false
      asked.push(message.after && Buffer.from(message.after).toString())
      const answer = answers.shift() ?? STRETCH
      clock.after(1, () => message.reply(answer))
      return true
    }
  }
  const metrics = new KeptMetrics()
  const base = { clock, log: silent, metrics }
  const deps = {
    ...base,
    replica,
    totals: () => ({ entries: 1, bytes }),
    persist: async ([write]: readonly { readonly value: Bytes | undefined }[]) => void saved.push(write!.value)
  }
  const onCrash = (error: Error) => {
    throw error
  }
  const ref = spawn<ScrubMessage>(base, 'scrub', (self) => new Scrub({ ...deps, self }, { everyMs, progress }), {
    onCrash
  })
  ref.signal({ type: 'view', view: {} as RingView })
  const lastPass = () => metrics.values.get('ringd_scrub_last_pass_seconds')
  return { clock, asked, saved, answers, ref, lastPass }
}

test("a pass ends with a check of the store's files, and damage found there ends the node", async () => {
  const ring = new SimRing(2)
  await ring.startAll(names(3), { scrubMs: 60_000, repairEveryMs: 0 })
  await ring.untilWhole(3)
  await ring.wait(ring.node('n0').put('key', 'value'))
  const { node, store } = ring.node('n1')
  let damage: string | undefined
  let looks = 0
  const check = async (between: () => Promise<void>) => {
    looks += 1
    await between()
    return damage
  }
  Object.assign(store, { check })
  await ring.until(() => looks > 0, 90_000, 'the files are checked')
  damage = '000001.ldb: its index is damaged'
  const failed = node.failed
  let why: string | undefined
  void failed.then(({ code, message }) => {
    why = `${code} ${message}`
  })
  await ring.until(() => why !== undefined, 90_000, 'the node fails')
  assert.match(why ?? '', /^DATA_DAMAGED the store is damaged: 000001\.ldb: its index is damaged/)
  ring.close()
})

test('the scrub reads as fast as a pass over the whole store requires, and no faster', async () => {
  // 100 MB in 1000 s and 1000 bytes at once make a hundred stretches a second.
  const { clock, asked, ref } = harness(1_000_000, 100_000_000)
  await clock.advance(15_000)
  assert.ok(asked.length > 850 && asked.length < 1010, `${asked.length} in ten seconds`)
  await ref.stop()
})

test('with zero days nothing is read', async () => {
  const { clock, asked, ref } = harness(0, 1000)
  await clock.advance(100_000)
  assert.equal(asked, [])
  await ref.stop()
})

test('a restart continues where the scrub stopped; the next pass begins when its time has come', async () => {
  const first = harness(1_000_000, 100_000)
  await first.clock.advance(120_000)
  assert.is(first.asked[0], undefined)
  assert.is(first.asked[1], 'x')
  assert.ok(first.saved.length >= 1 && first.saved.length <= 3, `${first.saved.length} times on disk in two minutes`)
  await first.ref.stop()
  const again = harness(1_000_000, 100_000, first.saved[0])
  again.answers.push({ entries: 0, bytes: 0, damaged: 0, reached: undefined })
  await again.clock.advance(500_000)
  assert.equal(again.asked, ['x'])
  await again.clock.advance(1_000_000)
  assert.is(again.asked[1], undefined)
  assert.ok(again.asked.length > 1)
  await again.ref.stop()
})

test('the end of the last pass is known after a restart', async () => {
  const first = harness(1_000_000, 100_000)
  first.answers.push({ entries: 0, bytes: 0, damaged: 0, reached: undefined })
  assert.is(first.lastPass(), 0)
  await first.clock.advance(120_000)
  const endedAt = first.lastPass()!
  assert.ok(endedAt > 0)
  await first.ref.stop()
  const again = harness(1_000_000, 100_000, first.saved.at(-1))
  await again.clock.settle()
  assert.is(again.lastPass(), endedAt)
  await again.ref.stop()
})

test('a stretch with damaged entries is read again, a bounded number of times', async () => {
  const { clock, asked, answers, ref } = harness(1_000_000, 100_000)
  answers.push(...Array.from({ length: 40 }, () => ({ ...STRETCH, damaged: 1 })))
  await clock.advance(36_000)
  assert.equal(
    asked.slice(0, 6),
    Array.from({ length: 6 }, () => undefined)
  )
  assert.is(asked[6], 'x')
  await ref.stop()
})

test('a scrub with unreadable progress on disk begins a new pass', async () => {
  const { clock, asked, ref } = harness(1_000_000, 100_000, Buffer.from('{"startedAt":'))
  await clock.advance(6000)
  assert.is(asked[0], undefined)
  assert.ok(asked.length > 0)
  await ref.stop()
})

test.run()
