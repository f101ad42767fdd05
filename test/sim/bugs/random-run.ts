// One random run of whole nodes under load and faults, by its seed, as the hunt for planted bugs uses it.
import { History } from '../history.js'
import { names, SimRing } from '../sim-ring.js'

/** What went wrong; undefined: nothing. */
export async function randomRun(seed: number): Promise<string | undefined> {
  const ring = new SimRing(seed, { hintLoss: 0.3 })
  try {
    await ring.startAll(names(3))
    await ring.untilWhole(3)
    const history = new History(ring, { keys: 40, readers: 10, writePauseMs: 1500, readPauseMs: 40 })
    for (const name of names(3, 3)) {
      await ring.start(name)
      await ring.clock.advance(ring.random.next() * 400)
    }
    await trouble(ring)
    ring.hub.heal()
    await ring.untilWhole(6, 60_000)
    await history.stop()
    await history.readAll()
    return history.violations[0]
  } catch (thrown) {
    return (thrown as Error).message
  } finally {
    ring.close()
  }
}

async function trouble(ring: SimRing): Promise<void> {
  const any = () => `n${Math.floor(ring.random.next() * 6)}`
  for (let round = 0; round < 3; round++) {
    const name = any()
    const crash = ring.random.next() < 0.5
    if (crash) ring.kill(name)
    else ring.hub.reset(name, any())
    ring.hub.cut(any(), any())
    await ring.clock.advance(ring.random.next() * 2500)
    if (crash) await ring.start(name)
    if (ring.random.next() < 0.7) ring.hub.heal()
  }
}
