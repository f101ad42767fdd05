// Acknowledged writes stay readable at every moment through every node while the ring grows and faults happen. Every
// seed is a run of its own. `SEED=n` and `SEEDS=n` in the environment choose the first seed and the number of runs.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { History } from '../sim/history.js'
import type { HubOptions } from '../sim/seams/memory-network.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node history')
const { SEED = '1', SEEDS = '2' } = process.env
const FIRST = Number(SEED)
const COUNT = Number(SEEDS)

type Trouble = (ring: SimRing) => Promise<void>

/**
 * Three nodes grow to six under load, with `trouble` on the way. Then all faults heal and every key is read through
 * every node.
 */
async function run(seed: number, trouble: Trouble, options: HubOptions & { skewMs?: number } = {}): Promise<History> {
  const ring = new SimRing(seed, options)
  const skew = () => ({ skewMs: Math.round((ring.random.next() * 2 - 1) * (options.skewMs ?? 0)) })
  try {
    for (const name of names(3)) await ring.start(name, skew())
    await ring.untilWhole(3)
    const history = new History(ring, { keys: 40, readers: 10, writePauseMs: 1500, readPauseMs: 40 })
    await ring.clock.advance(200)
    for (const name of names(3, 3)) {
      await ring.start(name, skew())
      await ring.clock.advance(ring.random.next() * 400)
    }
    await trouble(ring)
    ring.hub.heal()
    await ring.untilWhole(6, 60_000)
    await history.stop()
    await history.readAll()
    assert.equal(history.violations, [], `seed ${seed}`)
    assert.ok(history.writes > 50 && history.reads > 100, `seed ${seed}: ${history.writes}, ${history.reads}`)
    return history
  } catch (thrown) {
    throw new Error(`SEED=${seed} SEEDS=1: ${(thrown as Error).message}`, { cause: thrown })
  } finally {
    ring.close()
  }
}

function everySeed(name: string, body: (seed: number) => Promise<void>): void {
  test(name, async () => {
    for (let seed = FIRST; seed < FIRST + COUNT; seed++) await body(seed)
  })
}

everySeed('three grow to six: no operation fails, nothing is lost', async (seed) => {
  const history = await run(seed, async () => {})
  assert.equal(history.failures, [], `seed ${seed}`)
})

everySeed('a random member is killed and restarted meanwhile', async (seed) => {
  await run(seed, async (ring) => {
    for (let round = 0; round < 2; round++) {
      await ring.clock.advance(ring.random.next() * 1500)
      const name = `n${Math.floor(ring.random.next() * 3)}`
      ring.kill(name)
      await ring.clock.advance(ring.random.next() * 3000)
      await ring.start(name)
    }
  })
})

everySeed('rumors get lost, links are slow, cut and reset', async (seed) => {
  await run(
    seed,
    async (ring) => {
      const any = () => `n${Math.floor(ring.random.next() * 6)}`
      for (let round = 0; round < 8; round++) {
        const [one, other] = [any(), any()]
        const dice = ring.random.next()
        if (dice < 0.3) ring.hub.slow(one, ring.random.next() * 60)
        else if (dice < 0.6) ring.hub.reset(one, other)
        else if (one !== other) ring.hub.cut(one, other)
        await ring.clock.advance(ring.random.next() * 800)
        if (ring.random.next() < 0.5) ring.hub.heal()
      }
      for (const name of names(6)) ring.hub.slow(name, 0)
    },
    { rumorLoss: 0.5 }
  )
})

everySeed('wall clocks differ by up to two seconds', async (seed) => {
  const history = await run(seed, async () => {}, { skewMs: 1000 })
  assert.equal(history.failures, [], `seed ${seed}`)
})

everySeed('everything at once', async (seed) => {
  await run(
    seed,
    async (ring) => {
      for (let round = 0; round < 3; round++) {
        const name = `n${Math.floor(ring.random.next() * 6)}`
        const disk = ring.random.next() < 0.5
        if (disk) ring.kill(name)
        else ring.hub.reset(name, `n${Math.floor(ring.random.next() * 6)}`)
        ring.hub.cut(`n${Math.floor(ring.random.next() * 6)}`, `n${Math.floor(ring.random.next() * 6)}`)
        await ring.clock.advance(ring.random.next() * 2500)
        if (disk) await ring.start(name)
        if (ring.random.next() < 0.7) ring.hub.heal()
      }
    },
    { rumorLoss: 0.3, skewMs: 1000 }
  )
})

test.run()
