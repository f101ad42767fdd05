// Pull plans: every plan makes a member ready by one of the two rules, and there is a plan whenever either rule can be
// kept.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MemberId } from '../../lib/member.js'
import { rangesOf, SLOTS } from '../../lib/ring/slots.js'
import { type Config, newestConfig, rebaseConfigs } from '../../lib/views/configs.js'
import { isCurrent, narrowed, type PullJob, type PullPlan, planPull, pullJobs } from '../../lib/views/pull-plan.js'
import { type Readiness, unreadySlots } from '../../lib/views/readiness.js'
import { anyChain, anyReadiness, holds, id, tablesOf } from './views-support.js'

const test = suite('views/pull-plan')

/**
 * Rule 5 (i) of lib/views/README.md, plainly: with the member itself, the sources meet every quorum of each earlier
 * config.
 */
function meetsEveryQuorum(job: PullJob, self: MemberId, sources: readonly MemberId[]): boolean {
  const earlier = job.window.slice(0, -1)
  return earlier.length > 0 && earlier.every((config) => missesNoQuorum(config, [self, ...sources]))
}

/** Every quorum of the owners contains one of `asked`. */
function missesNoQuorum({ owners }: Config, asked: readonly MemberId[]): boolean {
  const quorum = Math.floor(owners.length / 2) + 1
  return owners.filter((owner) => !asked.includes(owner)).length < quorum
}

/** Rule 5 (ii): the source is an owner of the config and ready for it in every slot of the job. */
function canBeCopied(job: PullJob, source: MemberId, readiness: Readiness): boolean {
  const ready = readiness.get(source)
  return job.config.owners.includes(source) && job.slots.every((slot) => ready?.[slot] === job.config.begin)
}

function check(
  job: PullJob,
  self: MemberId,
  up: readonly MemberId[],
  readiness: Readiness,
  plan: PullPlan | undefined
) {
  if (plan === undefined) {
    assert.not(
      up.some((source) => canBeCopied(job, source, readiness)),
      'a copy was possible'
    )
    assert.not(meetsEveryQuorum(job, self, up), 'a merge was possible')
    return
  }
  const { kind, sources } = plan
  assert.ok(sources.every((source) => up.includes(source)))
  assert.is(new Set(sources).size, sources.length)
  if (kind === 'copy') {
    assert.is(sources.length, 1)
    assert.ok(canBeCopied(job, sources[0]!, readiness))
  } else assert.ok(meetsEveryQuorum(job, self, sources))
}

const anyCase = anyChain({ viewsMin: 2 }).chain((changes) =>
  fc.tuple(fc.constant(changes), anyReadiness(changes), fc.array(fc.nat(12), { maxLength: 10 }), fc.array(fc.nat(7)))
)

test('a plan keeps rule (i) or rule (ii), and there is one whenever either can be kept', () => {
  const kinds = new Set<string>()
  holds(
    fc.property(anyCase, ([changes, readiness, order, some]) => {
      const full = tablesOf(changes).at(-1)!
      const bases = Uint32Array.from(full.windows, (window, slot) => {
        return window[(some[slot % (some.length || 1)] ?? 0) % window.length]!.begin
      })
      const table = rebaseConfigs(full, bases)
      const members = [...readiness.keys()]
      for (const self of members) {
        const up = [...new Set(order.map((at) => members[at % members.length]!))].filter((one) => one !== self)
        for (const job of pullJobs(table, self, readiness.get(self)!, 4096)) {
          const plan = planPull(job, { self, preferred: up, readiness, lost: new Set() })
          check(job, self, up, readiness, plan)
          kinds.add(plan?.kind ?? 'none')
        }
      }
    }),
    60
  )
  assert.equal([...kinds].sort(), ['copy', 'merge', 'none'], 'the cases are worth looking at')
})

test('jobs cover every unready slot once, have one window each, and keep their bound', () => {
  holds(
    fc.property(anyCase, fc.constantFrom(1000, 5000, SLOTS), ([changes, readiness], slotsMax) => {
      const table = tablesOf(changes).at(-1)!
      for (const [self, ready] of readiness) {
        const jobs = pullJobs(table, self, ready, slotsMax)
        const covered = jobs.flatMap(({ slots }) => slots).sort((a, b) => a - b)
        assert.equal(covered, unreadySlots(table, self, ready))
        for (const job of jobs) {
          assert.ok(job.slots.length >= 1 && job.slots.length <= slotsMax)
          assert.ok(job.slots.every((slot, at) => at === 0 || slot > job.slots[at - 1]!))
          assert.is(job.config, newestConfig(job.window))
          assert.ok(isCurrent(job, table))
        }
      }
    }),
    15
  )
})

function config(begin: number, ...owners: number[]): Config {
  return { begin, owners: owners.map(id), quorum: Math.floor(owners.length / 2) + 1 }
}

function jobOf(...window: Config[]): PullJob {
  return { window, config: newestConfig(window), slots: [7] }
}

function ready(...pairs: readonly (readonly [number, number])[]): Readiness {
  return new Map(pairs.map(([number, begin]) => [id(number), new Uint32Array(SLOTS).fill(begin)]))
}

function plan(
  job: PullJob,
  self: MemberId,
  preferred: readonly MemberId[],
  readiness: Readiness,
  lost: MemberId[] = []
) {
  return planPull(job, { self, preferred, readiness, lost: new Set(lost) })
}

test('a member counts itself in the configs where it is an owner, and in no other', () => {
  const [a, b, c] = [id(1), id(2), id(3)]
  const job = jobOf(config(1, 1, 2, 3), config(2, 2, 3, 4))
  assert.equal(plan(job, b, [a, c], new Map()), { kind: 'merge', isAtRisk: false, sources: [a] })
  assert.equal(plan(job, id(4), [a, b, c], new Map()), { kind: 'merge', isAtRisk: false, sources: [a, b] })
  assert.is(plan(job, id(4), [a], new Map()), undefined)
  const twice = jobOf(config(1, 1, 2, 3), config(2, 4, 5, 6), config(3, 1, 2, 4))
  assert.equal(plan(twice, a, [b, c, id(5), id(6)], new Map()), {
    kind: 'merge',
    isAtRisk: false,
    sources: [b, id(5), id(6)]
  })
})

test('a member that owned the slot in every earlier config, each with at most two owners, needs no source', () => {
  const job = jobOf(config(1, 1), config(2, 1, 2), config(3, 1, 2, 3))
  assert.equal(plan(job, id(1), [], new Map()), { kind: 'merge', isAtRisk: false, sources: [] })
  assert.is(plan(job, id(2), [], new Map()), undefined)
  assert.equal(plan(job, id(2), [id(1)], new Map()), { kind: 'merge', isAtRisk: false, sources: [id(1)] })
})

test('one source serves several configs at once', () => {
  const job = jobOf(config(1, 1, 2, 3), config(2, 1, 2, 4), config(3, 5, 6, 7))
  assert.equal(plan(job, id(5), [id(1), id(2), id(3), id(4)], new Map())!.sources, [id(1), id(2)])
})

test('a source that is ready for another config, in only some slots, or not an owner cannot be copied', () => {
  const job = { ...jobOf(config(1, 1, 2, 3), config(2, 2, 3, 4)), slots: [7, 9] }
  const [b, e] = [id(2), id(5)]
  assert.is(plan(job, id(4), [b], ready([2, 1])), undefined)
  assert.is(plan(job, id(4), [b], ready([2, 3])), undefined)
  assert.is(plan(job, id(4), [e], ready([5, 2])), undefined)
  const half = new Map([[b, new Uint32Array(SLOTS).fill(2, 0, 8)]])
  assert.is(plan(job, id(4), [b], half), undefined)
  assert.equal(plan(job, id(4), [b], ready([2, 2])), { kind: 'copy', isAtRisk: false, sources: [b] })
})

test('a job that no owner is ready for as a whole is cut down to the slots of one ready owner', () => {
  const job = { ...jobOf(config(2, 2, 3, 4)), slots: [7, 8, 9] }
  const readiness = new Map([
    [id(2), new Uint32Array(SLOTS).fill(2, 0, 8)],
    [id(3), new Uint32Array(SLOTS).fill(2, 8)],
    [id(5), new Uint32Array(SLOTS).fill(2)]
  ])
  const asker = { self: id(4), preferred: [id(2), id(3), id(5)], readiness, lost: new Set<MemberId>() }
  assert.is(planPull(job, asker), undefined)
  const part = narrowed(job, asker)!
  assert.equal(part.slots, [8, 9])
  assert.equal(planPull(part, asker)!.sources, [id(3)])
  assert.is(narrowed(job, { ...asker, preferred: [id(5)] }), undefined)
})

test('ranges cover exactly the slots, in as few pieces as possible', () => {
  const slots = fc.uniqueArray(fc.integer({ min: 0, max: 40 })).map((list) => list.sort((a, b) => a - b))
  fc.assert(
    fc.property(slots, (list) => {
      const ranges = rangesOf(list)
      const again = ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at))
      assert.equal(again, list)
      ranges.forEach(({ first }, at) => {
        assert.ok(at === 0 || first > ranges[at - 1]!.last + 1)
      })
    })
  )
})

test.run()
