// The checkers of simulated runs, on random histories. Those of a correct store are accepted. Those broken at random
// are mostly rejected: mostly, because a broken history may happen to be right in another way.

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { allCheckers, clientCheckers } from '../sim/checkers/checkers.js'
import { ObservedState } from '../sim/checkers/observed-state.js'
import { ToyStore } from '../sim/checkers/toy-store.js'
import { idOf } from '../sim/harness/ring-views.js'
import type { Answered, Checker, Invoked, Observation, Stored, Violation } from '../sim/run/observation.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('sim checkers/property')

function violationsOf(observations: readonly Observation[], checkers: readonly Checker[] = allCheckers()): Violation[] {
  for (const observation of observations) for (const checker of checkers) checker.observe(observation)
  for (const checker of checkers) checker.finish(observations.at(-1)?.at ?? 0)
  return checkers.flatMap((checker) => checker.violations)
}

/** A history of a correct store, about 1500 steps long. */
function history(seed: number, expires = false): Observation[] {
  const random = seeded(seed)
  let left = 4500
  return new ToyStore((below) => (left-- > 0 ? Math.floor(random.next() * below) : undefined), { expires }).run()
}

test('every history of a correct store is accepted', () => {
  const choices = fc.array(fc.nat({ max: 39 }), { minLength: 200, maxLength: 1500, size: 'max' })
  const property = fc.property(choices, (list) => {
    let at = 0
    const observations = new ToyStore((below) => (at < list.length ? list[at++]! % below : undefined)).run()
    assert.equal(violationsOf(observations), [])
  })
  fc.assert(property, { numRuns: 150 })
})

test("long histories of a correct store are accepted, also from the clients' view alone", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const observations = history(seed)
    assert.equal(violationsOf(observations), [], `seed ${seed}`)
    const seen = observations.filter(({ type }) => type === 'invoked' || type === 'answered')
    assert.equal(violationsOf(seen, clientCheckers()), [], `seed ${seed}`)
  }
})

test('histories with expiring values and differing clocks are accepted, and only because of those clocks', () => {
  let unexplained = 0
  for (let seed = 1; seed <= 60; seed++) {
    const observations = history(seed, true)
    assert.equal(violationsOf(observations), [], `seed ${seed}`)
    const seen = observations.filter(({ type }) => type === 'invoked' || type === 'answered')
    assert.equal(violationsOf(seen, clientCheckers()), [], `seed ${seed}`)
    const rightClocks = observations.map((one) => (one.type === 'answered' ? { ...one, clock: undefined } : one))
    if (violationsOf(rightClocks).length > 0) unexplained += 1
  }
  assert.ok(unexplained >= 25, `${unexplained} histories`)
})

test('a value read after its expiry is rejected, and a value that vanishes before it mostly', () => {
  const broken = { late: 0, early: 0 }
  const rejected = { late: 0, early: 0 }
  for (let seed = 1; seed <= 60; seed++) {
    const observations = history(seed, true)
    const asked = observations.filter((one) => one.type === 'invoked')
    const expiries = new Map(asked.map(({ value, expiresAt }) => [value, expiresAt]))
    const breaks = (way: 'late' | 'early', pick: (one: Answered, expiry: number) => boolean, by: Partial<Answered>) => {
      const found = observations.find((one) => {
        const expiry = one.type === 'answered' && one.value !== undefined ? expiries.get(one.value) : undefined
        return expiry !== undefined && pick(one as Answered, expiry)
      })
      if (found === undefined) return
      broken[way] += 1
      if (violationsOf(replaced(observations, found, [{ ...(found as Answered), ...by }])).length > 0)
        rejected[way] += 1
    }
    breaks('late', () => true, { clock: [10_000, 10_000] })
    breaks('early', ({ clock }, expiry) => clock![1] < expiry, { value: undefined })
  }
  assert.ok(broken.late >= 50 && broken.early >= 50, JSON.stringify(broken))
  assert.is(rejected.late, broken.late)
  assert.ok(rejected.early >= broken.early * 0.5, JSON.stringify({ broken, rejected }))
})

test('the histories contain every kind of observation', () => {
  const counts: Record<string, number> = {}
  for (let seed = 1; seed <= 60; seed++) {
    for (const { type } of history(seed)) counts[type] = (counts[type] ?? 0) + 1
  }
  for (const type of ['invoked', 'answered', 'stored', 'picture', 'ready', 'erased']) {
    assert.ok((counts[type] ?? 0) >= 40, `${type}: ${counts[type]}`)
  }
})

/** Breaks a history in one way. Undefined when this history cannot be broken in that way. */
type Break = (observations: readonly Observation[], pick: <T>(list: readonly T[]) => T) => Observation[] | undefined

function replaced(observations: readonly Observation[], old: Observation, by: readonly Observation[]): Observation[] {
  return observations.flatMap((one) => (one === old ? by : [one]))
}

function ended(observations: readonly Observation[], kind: Invoked['kind']): [Invoked, Answered][] {
  const asked = new Map<number, Invoked>()
  const found: [Invoked, Answered][] = []
  for (const one of observations) {
    if (one.type === 'invoked' && one.kind === kind) asked.set(one.operation, one)
    if (one.type !== 'answered' || one.error !== undefined) continue
    const invoked = asked.get(one.operation)
    if (invoked !== undefined) found.push([invoked, one])
  }
  return found
}

const BREAKS: Readonly<Record<string, Break>> = {
  'a read returns what an earlier read of the key has returned': (observations, pick) => {
    const reads = ended(observations, 'get')
    const [asked, answered] = pick(reads)
    const others = reads.filter(([{ key }, { at, value }]) => {
      return key === asked.key && at < asked.at - 50 && value !== answered.value && value !== undefined
    })
    if (others.length === 0) return undefined
    return replaced(observations, answered, [{ ...answered, value: pick(others)[1].value }])
  },
  'a read finds nothing': (observations, pick) => {
    const reads = ended(observations, 'get').filter(([, { value }]) => value !== undefined)
    if (reads.length === 0) return undefined
    const [, answered] = pick(reads)
    return replaced(observations, answered, [{ ...answered, value: undefined }])
  },
  'an acknowledged write is on no disk': (observations, pick) => {
    const puts = ended(observations, 'put')
    if (puts.length === 0) return undefined
    const [{ value }] = pick(puts)
    return observations.filter((one) => one.type !== 'stored' || one.value !== value)
  },
  'an acknowledged write is on one disk': (observations, pick) => {
    const puts = ended(observations, 'put')
    if (puts.length === 0) return undefined
    const [{ value }] = pick(puts)
    const { member } = observations.find((one) => one.type === 'stored' && one.value === value) as Stored
    return observations.filter((one) => one.type !== 'stored' || one.value !== value || one.member === member)
  },
  'two owners lose what they had': (observations, pick) => {
    const puts = ended(observations, 'put')
    if (puts.length === 0) return undefined
    const [, answered] = pick(puts)
    const members = observations.flatMap((one) => (one.type === 'picture' ? [one.member] : [])).slice(1, 3)
    const images = members.map((member) => ({ type: 'image' as const, at: answered.at, member, entries: new Map() }))
    return replaced(observations, answered, [answered, ...images])
  },
  'a newcomer is ready and holds nothing': (observations) => {
    const newcomer = idOf('d')
    const fact = observations.find((one) => one.type === 'ready' && one.member === newcomer)
    if (fact === undefined) return undefined
    return observations.filter((one) => one.type !== 'stored' || one.at > fact.at || one.member !== newcomer)
  },
  'a version is used twice': (observations, pick) => {
    const copies = observations.filter((one) => one.type === 'stored')
    const one = pick(copies)
    const others = copies.filter(({ value, key }) => value !== one.value || key !== one.key)
    if (others.length === 0) return undefined
    return replaced(observations, one, [{ ...one, version: pick(others).version }])
  },
  'an owner drops an entry': (observations, pick) => {
    const copies = observations.filter((one) => one.type === 'stored' && one.value !== undefined) as Stored[]
    if (copies.length === 0) return undefined
    const { at, member, key, ...rest } = pick(copies)
    return replaced(observations, copies.find((one) => one.version === rest.version && one.member === member)!, [
      { at, member, key, ...rest },
      { type: 'erased', at, member, key }
    ])
  }
}

/**
 * Of the histories that can be broken in a way, the least share that must be rejected. A little below the measured
 * share.
 */
const LEAST: Readonly<Record<string, number>> = {
  'a read returns what an earlier read of the key has returned': 0.85,
  'a read finds nothing': 0.5,
  'an acknowledged write is on no disk': 1,
  'an acknowledged write is on one disk': 0.75,
  'two owners lose what they had': 1,
  'a newcomer is ready and holds nothing': 0.6,
  'a version is used twice': 1,
  'an owner drops an entry': 0.8
}

for (const [name, breaks] of Object.entries(BREAKS)) {
  test(`mostly rejected: ${name}`, () => {
    let [broken, rejected] = [0, 0]
    for (let seed = 1; seed <= 100; seed++) {
      const random = seeded(seed * 1000)
      const observations = breaks(history(seed), (list) => list[Math.floor(random.next() * list.length)]!)
      if (observations === undefined) continue
      broken += 1
      if (violationsOf(observations).length > 0) rejected += 1
    }
    assert.ok(broken >= 50, `${broken} histories could be broken`)
    assert.ok(rejected >= broken * LEAST[name]!, `${rejected} of ${broken} were rejected`)
  })
}

/** Each key has one writer that counts up, so its values order the writes as versions do. */
test('counting values serve as versions where the disks cannot be seen', () => {
  const versionOf = (value: string) => value.slice(1).padStart(8, '0')
  const asked = (operation: number, at: number, kind: 'put' | 'get', value?: string): Invoked => {
    return { type: 'invoked', at, operation, client: 1, node: 'a', kind, key: 'k', value, consistency: 'quorum' }
  }
  const answered = (operation: number, at: number, value?: string): Answered => {
    return { type: 'answered', at, operation, value }
  }
  const puts = [asked(1, 1, 'put', 'v9'), answered(1, 2), asked(2, 3, 'put', 'v10'), answered(2, 4)]
  const found = (...reads: Observation[]) => {
    return violationsOf([...puts, ...reads], clientCheckers(new ObservedState({ versionOf }))).map(({ rule }) => rule)
  }
  assert.equal(found(asked(3, 5, 'get'), answered(3, 6, 'v10')), [])
  assert.equal(found(asked(3, 5, 'get'), answered(3, 6, 'v9')), ['acknowledged writes'])
  assert.equal(found(asked(3, 5, 'get'), answered(3, 6)), ['acknowledged writes'])
  assert.equal(found({ ...asked(9, 5, 'get'), kind: 'delete' }, asked(3, 6, 'get'), answered(3, 7)), [])
  const twice = (first: string, second: string) =>
    found(
      asked(3, 5, 'put', 'v11'),
      asked(4, 6, 'put', 'v12'),
      ...[asked(5, 7, 'get'), answered(5, 8, first)],
      ...[asked(6, 9, 'get'), answered(6, 10, second)]
    )
  assert.equal(twice('v11', 'v12'), [])
  assert.equal(twice('v12', 'v11'), ['monotone reads'])
})

test.run()
