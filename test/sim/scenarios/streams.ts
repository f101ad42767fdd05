// Pull streams: what is written beside them, how much is under way, and what a restart makes of half a pull.
import { headOf, PART_BYTES_MAX, PULLED, WINDOW_BYTES } from '../../../lib/actors/migration/pull-frames.js'
import { SLOTS, slotOf } from '../../../lib/ring/slots.js'
import type { SentMessage } from '../seams/memory-network.js'
import { message } from '../seams/steering.js'
import { asksFor, type Scenario } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
/** A hash tag of a slot that is among the first to be pulled. */
const TAG = Array.from({ length: SLOTS }, (_, at) => `tag-${at}`).find((tag) => slotOf(Buffer.from(tag)) < 64)!

const writtenBeforePull: Scenario = {
  name: 'writtenBeforePull',
  summary:
    'a newcomer stores the newer value of a key before it pulls the older one, from an owner that missed the write',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    // Promises are asked for first.
    const isData = ({ body }: SentMessage) => body.pull?.what !== PULLED.indexOf('promises')
    const isPull = message('pull', ['n3'])
    const pulls = cluster.steering.hold((sent) => isPull(sent) && isData(sent))
    cluster.ring.hub.partition(['n3'], ['n0'])
    await cluster.join(['n3'], 'n1')
    const entries = () => pulls.caught.filter(({ body }) => body.pull?.what === PULLED.indexOf('entries'))
    const isAsked = (key: string) => entries().some((sent) => sent.to === 'n1' && asksFor(sent, key))
    await cluster.when(() => cluster.keys.some(isAsked), 'n3 asks n1 for entries')
    const key = cluster.keys.find(isAsked)!
    cluster.steering.lose(message('write', undefined, ['n1']))
    const write = await cluster.answered(cluster.put('n2', key, 'new'))
    cluster.reached(write.state === 'done', 'the write is acknowledged without n1')
    cluster.reached(cluster.holds('n3', key) === 'new', 'n3 has the newer value')
    // The other source has the newer value, and would hide a mistake.
    const isSums = ({ from, body }: SentMessage) => from === 'n3' && body.pull?.what === PULLED.indexOf('sums')
    const sums = cluster.steering.hold(isSums)
    pulls.release()
    await cluster.when(() => sums.caught.length > 0, 'n3 has the entries of n1')
    await cluster.advance(1000)
    cluster.promise(cluster.holds('n3', key) === 'new', 'an older value has replaced a newer one')
    await cluster.heal(4)
  }
}

const slowPuller: Scenario = {
  name: 'slowPuller',
  summary: 'the disk of a newcomer takes nothing while it pulls much',
  async run(cluster) {
    await cluster.grow(['n0'])
    const keys = Array.from({ length: 40 }, (_, at) => `{${TAG}}-${at}`)
    await cluster.fill('n0', keys, 'v'.repeat(250_000))
    const pulls = cluster.steering.hold(message('pull', ['n1']))
    await cluster.join(['n1'], 'n0')
    await cluster.when(() => pulls.caught.length > 0, 'n1 wants to pull')
    cluster.disk('n1').hold()
    let bytes = 0
    cluster.steering.alter = ({ to }, frame) => {
      const { part } = headOf(frame)
      // Compressed parts take the memory of what they hold.
      if (to === 'n1' && part !== undefined) bytes += part.holds || frame.body.length
      return frame
    }
    pulls.release()
    await cluster.advance(5000)
    cluster.reached(bytes > WINDOW_BYTES / 2, 'much of it has come')
    // One part waits at the source for its credit.
    const most = WINDOW_BYTES + PART_BYTES_MAX
    cluster.promise(bytes <= most, `parts of ${bytes} bytes are on their way to a disk that takes nothing`)
    cluster.disk('n1').release()
    await cluster.heal(2)
  }
}

const restartedPuller: Scenario = {
  name: 'restartedPuller',
  summary: 'a newcomer dies after a part of a slot has come, and pulls the rest when it is back',
  async run(cluster) {
    await cluster.grow(['n0'])
    const keys = Array.from({ length: 40 }, (_, at) => `{${TAG}}-${at}`)
    await cluster.fill('n0', keys, 'v'.repeat(100_000))
    const pulls = cluster.steering.hold(message('pull', ['n1']))
    await cluster.join(['n1'], 'n0')
    await cluster.when(() => pulls.caught.length > 0, 'n1 wants to pull')
    pulls.release()
    const held = () => keys.filter((key) => cluster.holds('n1', key) !== undefined).length
    await cluster.when(() => held() > 0, 'a part has come')
    cluster.reached(held() < keys.length, 'a part is missing')
    cluster.kill('n1')
    await cluster.start('n1')
    await cluster.untilWhole(2)
    for (const key of keys) cluster.promise(cluster.holds('n1', key) !== undefined, `n1 is ready and lacks ${key}`)
    await cluster.heal(2)
  }
}

export const STREAMS: readonly Scenario[] = [writtenBeforePull, slowPuller, restartedPuller]
