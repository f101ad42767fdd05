// The limit for moving data in membership: on disk before it is told, kept over restarts, and believed from members and
// not from the future.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DepartureRequests } from '../../lib/actors/membership/departure-requests.js'
import { DurableRing } from '../../lib/actors/membership/durable-ring.js'
import type { Gossip } from '../../lib/actors/membership/gossip.js'
import type { JoinRequests } from '../../lib/actors/membership/join-requests.js'
import { Learning } from '../../lib/actors/membership/learning.js'
import { Limiting } from '../../lib/actors/membership/limiting.js'
import { readMembership, writeRenunciation } from '../../lib/actors/membership/membership-records.js'
import type { RingdError } from '../../lib/errors.js'
import { MiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import type { MetaWrite } from '../../lib/storage/meta.js'
import { type Knowledge, NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import type { MoveLimit } from '../../lib/views/move-limit.js'
import { digestOf, emptyRing, lacking } from '../../lib/views/ring-state.js'
import { digestFromWire, digestToWire, knowledgeFromWire, knowledgeToWire } from '../../lib/views/wire-codec.js'
import { signerOf } from '../sim/sim-node.js'
import { founding, id, member } from './views-support.js'

const test = suite('membership: limit')

const FOUNDED = { number: 1, joins: [member(1), member(2)], removals: [], founding: founding(2) }
const SKEW_MS = 5000

/** The disk of a member: what was persisted. */
class Disk {
  readonly records = new Map<string, Uint8Array>()
  readonly steps: string[] = []

  readonly persist = async (writes: readonly MetaWrite[]): Promise<void> => {
    for (const { name, value } of writes) {
      if (name === 'move-limit') this.steps.push('stored')
      if (value === undefined) this.records.delete(name)
      else this.records.set(name, value)
    }
  }

  get reader() {
    return {
      get: (name: string) => this.records.get(name),
      names: async (prefix: string) => [...this.records.keys()].filter((name) => name.startsWith(prefix))
    }
  }
}

/** One life of member 1 on its disk. */
async function life(disk: Disk, { now = 10_000, isKnown = true, knowsRing = true } = {}) {
  const time = { nowMs: now, isKnown }
  const limits: MoveLimit[] = []
  const deps = {
    persist: disk.persist,
    onView() {},
    onLimit: (limit: MoveLimit) => {
      disk.steps.push('followed')
      limits.push(limit)
    },
    addresses: () => [],
    signer: signerOf('peer-1'),
    isTrusted: () => true
  }
  const durableRing = new DurableRing(deps, id(1), 'peer-1', await readMembership(disk.reader))
  if (knowsRing) durableRing.learn({ ...NO_KNOWLEDGE, changes: [FOUNDED] })
  await durableRing.commit()
  const pushed: Knowledge[] = []
  const push = (_: string, knowledge: Knowledge) => {
    disk.steps.push('told')
    pushed.push(knowledge)
  }
  const gossip = { links: new Map([['peer-2', {}]]), push, rumor() {} } as unknown as Gossip
  const limiting = new Limiting({
    log: silent,
    durableRing,
    gossip,
    time: {
      now: () => time.nowMs,
      isAhead: (ms) => ms > time.nowMs + SKEW_MS,
      get isKnown() {
        return time.isKnown
      }
    }
  })
  const none = { verify: async () => [] }
  const learning = new Learning({
    log: silent,
    durableRing,
    gossip,
    verifier: { holds: async () => true } as never,
    chainTrust: { believed: async () => ({ snapshot: undefined, changes: [] }) } as never,
    joinRequests: none as unknown as JoinRequests,
    departureRequests: none as unknown as DepartureRequests,
    limiting
  })
  const tell = async (limit: MoveLimit, from = 'peer-2') => {
    await learning.learnPushed({ ...NO_KNOWLEDGE, limit }, from)
    await durableRing.commit()
  }
  return { durableRing, limiting, time, limits, pushed, tell }
}

const codeOf = (act: () => void): string => {
  try {
    act()
    return 'done'
  } catch (thrown) {
    return (thrown as RingdError).code
  }
}

test('an order is on disk before anybody is told, and before moves follow it', async () => {
  const disk = new Disk()
  const { durableRing, limiting, pushed } = await life(disk)
  limiting.order(MiB)
  durableRing.after(() => disk.steps.push('answered'))
  assert.equal(disk.steps, [])
  await durableRing.commit()
  assert.equal(disk.steps, ['stored', 'followed', 'told', 'answered'])
  assert.equal(pushed[0]?.limit, { bytesPerS: MiB, setAtMs: 10_000, setBy: id(1) })
})

test('a limit is kept over restarts, and given up with the membership', async () => {
  const disk = new Disk()
  const first = await life(disk)
  first.limiting.order(MiB)
  await first.durableRing.commit()
  const second = await life(disk, { now: 9000 })
  assert.is(second.durableRing.ring.limit?.bytesPerS, MiB)
  second.limiting.order(2 * MiB)
  assert.is(second.durableRing.ring.limit?.setAtMs, 10_001, 'it is newer, although the clock was set back')
  await second.durableRing.commit()
  second.limiting.order(0)
  await second.durableRing.commit()
  assert.equal((await life(disk)).durableRing.ring.limit, { bytesPerS: 0, setAtMs: 10_002, setBy: id(1) })
  const options = { mayReturn: true, alsoDrop: [] }
  await disk.persist(await writeRenunciation(disk.reader, id(9), options))
  assert.is((await readMembership(disk.reader)).ring.limit, undefined)
})

test('a kill before the disk has the order leaves the former limit', async () => {
  const disk = new Disk()
  const { durableRing, limiting } = await life(disk)
  limiting.order(MiB)
  await durableRing.commit()
  limiting.order(2 * MiB)
  assert.is((await life(disk)).durableRing.ring.limit?.bytesPerS, MiB)
})

test('who is no member, or has compared its clock with nobody, sets nothing', async () => {
  const stranger = await life(new Disk(), { knowsRing: false })
  assert.is(
    codeOf(() => stranger.limiting.order(MiB)),
    'NOT_SERVING'
  )
  const doubtful = await life(new Disk(), { isKnown: false })
  assert.is(
    codeOf(() => doubtful.limiting.order(MiB)),
    'NOT_SERVING'
  )
  for (const bytes of [1, -5, 1.5, 2 ** 50, Number.NaN]) {
    assert.is(
      codeOf(() => doubtful.limiting.order(bytes)),
      'BAD_REQUEST'
    )
  }
  assert.is(doubtful.durableRing.ring.limit, undefined)
})

test('a limit of the far future is not taken, and locks nothing', async () => {
  const disk = new Disk()
  const { durableRing, limiting, time, tell, limits } = await life(disk)
  await tell({ bytesPerS: MiB, setAtMs: 10_000 + SKEW_MS + 1, setBy: id(2) })
  await tell({ bytesPerS: MiB, setAtMs: 2 ** 48 - 1, setBy: id(2) })
  assert.is(durableRing.ring.limit, undefined)
  // At the edge of what is believed, an order of this member may have to wait for a moment, and not longer.
  await tell({ bytesPerS: MiB, setAtMs: 10_000 + SKEW_MS, setBy: id(2) })
  assert.is(limits.at(-1)?.bytesPerS, MiB)
  assert.is(
    codeOf(() => limiting.order(0)),
    'CLOCK_SKEW'
  )
  time.nowMs += 1
  assert.is(
    codeOf(() => limiting.order(0)),
    'done'
  )
  await durableRing.commit()
  assert.is(limits.at(-1)?.bytesPerS, 0)
})

test('only members are believed, the later order counts, and an older one changes nothing', async () => {
  const disk = new Disk()
  const { durableRing, tell, limits } = await life(disk)
  await tell({ bytesPerS: MiB, setAtMs: 9000, setBy: id(3) }, 'peer-3')
  assert.is(durableRing.ring.limit, undefined, 'a stranger is not believed')
  await tell({ bytesPerS: MiB, setAtMs: 9000, setBy: id(2) })
  await tell({ bytesPerS: 2 * MiB, setAtMs: 8000, setBy: id(2) })
  await tell({ bytesPerS: MiB, setAtMs: 9000, setBy: id(2) })
  assert.equal(limits, [{ bytesPerS: MiB, setAtMs: 9000, setBy: id(2) }])
  assert.equal(disk.steps, ['stored', 'followed'])
})

test('an exchange brings the limit to the side that lacks it, and only there', async () => {
  const { durableRing, limiting } = await life(new Disk())
  limiting.order(MiB)
  const { ring } = durableRing
  const other = await life(new Disk())
  const theirs = digestFromWire(digestToWire(digestOf(other.durableRing.ring)))
  const told = knowledgeFromWire(knowledgeToWire(lacking(ring, theirs)))
  assert.equal(told.limit, ring.limit)
  assert.is(lacking(other.durableRing.ring, digestFromWire(digestToWire(digestOf(ring)))).limit, undefined)
  other.durableRing.learn(told)
  assert.is(lacking(ring, digestOf(other.durableRing.ring)).limit, undefined)
  assert.is(lacking(emptyRing(), digestOf(emptyRing())).limit, undefined)
  // A peer of an older version sends a digest without a limit.
  const { limit: _limit, ...older } = digestToWire(digestOf(ring))
  assert.equal(lacking(ring, digestFromWire(older)).limit, ring.limit)
})

test.run()
