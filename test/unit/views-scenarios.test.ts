// Rare orders of events that once lost data in a model of these rules, played on the pure functions. Slot 0 throughout.
// Members are numbers. A ring with few members of equal weight gives every slot to all of them.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SLOTS } from '../../lib/ring/slots.js'
import type { ViewChange } from '../../lib/views/chain.js'
import { type Config, newestConfig, rebaseConfigs, type Window } from '../../lib/views/configs.js'
import type { MemberRecord } from '../../lib/views/join.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import { accept, countVote, promise, propose } from '../../lib/views/paxos.js'
import { isCurrent, type PullJob, planPull } from '../../lib/views/pull-plan.js'
import { basesOf, type Readiness, settle } from '../../lib/views/readiness.js'
import { digestOf, emptyRing, lacking, learn, since } from '../../lib/views/ring-state.js'
import { founding, id, member, tablesOf } from './views-support.js'

const test = suite('views/scenarios')

const GROWTH: ViewChange[] = [
  { number: 1, joins: [member(1)], removals: [], founding: founding(3) },
  { number: 2, joins: [member(2)], removals: [] },
  { number: 3, joins: [member(3)], removals: [] }
]
const NOBODY: Readiness = new Map()

function ready(...pairs: readonly (readonly [number, number])[]): Readiness {
  return new Map(pairs.map(([number, config]) => [id(number), new Uint32Array(SLOTS).fill(config)]))
}

function record(number: number, config: number): MemberRecord {
  const table = new Uint32Array(SLOTS).fill(config)
  return {
    storeId: id(number),
    peerId: `peer-${number}`,
    sequence: config,
    addresses: [],
    ready: table,
    signature: new Uint8Array(0)
  }
}

function config(begin: number, ...owners: number[]): Config {
  return { begin, owners: owners.map(id), quorum: Math.floor(owners.length / 2) + 1 }
}

function job(...window: Config[]): PullJob {
  return { window, config: newestConfig(window), slots: [0] }
}

function sourcesOf(window: Window, self: number, up: readonly number[], readiness = NOBODY): string[] | undefined {
  const plan = planPull(job(...window), { self: id(self), preferred: up.map(id), readiness, lost: new Set() })
  return plan && [...plan.sources]
}

test('growTwo: a member that pulled nothing does not move the base, and is no sole source for a third', () => {
  const [, two, three] = tablesOf(GROWTH)
  assert.is(settle(two!, basesOf(two!), ready([1, 2]))[0], 1)
  assert.is(sourcesOf(three!.windows[0]!, 3, [2]), undefined)
  assert.equal(sourcesOf(three!.windows[0]!, 3, [2, 1]), [id(1)])
})

test('vacuousReady: with one config in the window, an owner needs a source that is ready', () => {
  assert.is(sourcesOf([config(2, 4, 5, 6)], 6, [4, 5]), undefined)
  assert.equal(sourcesOf([config(2, 4, 5, 6)], 6, [4, 5], ready([5, 2])), [id(5)])
})

test('oneSource: one of three earlier owners is not enough for a new owner', () => {
  const window = [config(1, 1, 2, 3), config(2, 4, 5, 6)]
  assert.is(sourcesOf(window, 4, [3]), undefined)
  assert.equal(sourcesOf(window, 4, [3, 2, 1]), [id(3), id(2)])
})

test('lazyStayer, lazyShrinker: an owner that stays must pull as well', () => {
  assert.is(sourcesOf([config(1, 1, 2, 3), config(2, 2, 3, 4)], 3, []), undefined)
  assert.is(sourcesOf([config(1, 1, 2, 3), config(2, 1, 2)], 1, []), undefined)
  assert.equal(sourcesOf([config(1, 1, 2, 3), config(2, 1, 2)], 1, [3]), [id(3)])
})

test('lazyGrower: an owner that came in the middle of the window does not count for configs before', () => {
  const window = [config(1, 1), config(2, 1, 2), config(3, 1, 2, 3)]
  assert.is(sourcesOf(window, 2, [3]), undefined)
  assert.equal(sourcesOf(window, 1, []), [])
})

test('sameOwnersAgain: readiness for the first config does not count for a later one with the same owners', () => {
  const changes = [...GROWTH.slice(0, 2), { number: 3, joins: [], removals: [id(2)] }]
  const table = tablesOf(changes).at(-1)!
  assert.is(settle(table, basesOf(table), ready([1, 1]))[0], 1)
  assert.equal(sourcesOf(table.windows[0]!, 1, []), [], 'it must say so anew, though it lacks nothing')
})

test('blindJoiner: a joiner honours every config that it does not know to be settled', () => {
  const ring = learn(emptyRing(), { ...NO_KNOWLEDGE, changes: GROWTH, records: [record(1, 2), record(2, 2)] })
  const joiner = learn(emptyRing(), lacking(ring, digestOf(emptyRing())))
  for (const state of [ring, joiner])
    assert.equal(
      state.configs!.windows[0]!.map(({ begin }) => begin),
      [2, 3]
    )
  const { bases: _untold, ...chain } = since(ring, 0)
  const untold = learn(emptyRing(), chain)
  assert.equal(
    untold.configs!.windows[0]!.map(({ begin }) => begin),
    [1, 2, 3]
  )
})

test('narrowMidPull, mootPull: a pull is over when its window has changed at either end', () => {
  const [, two, three] = tablesOf(GROWTH)
  const pull = { window: two!.windows[0]!, config: newestConfig(two!.windows[0]!), slots: [0] }
  assert.ok(isCurrent(pull, two!))
  assert.not(isCurrent(pull, three!), 'a newer config')
  assert.not(isCurrent(pull, rebaseConfigs(two!, new Uint32Array(SLOTS).fill(2))), 'a newer base')
})

test('twoMajorities: a majority of the remaining members alone chooses nothing', () => {
  const removal = { number: 2, joins: [], removals: [id(1), id(2), id(3)] }
  let proposal = propose([1, 2, 3, 4, 5].map(id), { round: 1, storeId: id(4) }, removal)
  const vote = { granted: true, promised: proposal.ballot }
  for (const voter of [4, 5]) proposal = countVote(proposal, id(voter), 'preparing', vote)
  assert.is(proposal.phase, 'preparing')
})

test('forgetfulAcceptor: an acceptor passes the value it accepted to the next proposer', () => {
  const mine: ViewChange = { number: 2, joins: [member(4)], removals: [] }
  const theirs: ViewChange = { number: 2, joins: [member(5)], removals: [] }
  const low = { round: 1, storeId: id(1) }
  const high = { round: 2, storeId: id(3) }
  const [promised] = promise({ instance: 2 }, low)
  const [accepted] = accept(promised, { ballot: low, change: mine })
  let proposal = propose([1, 2, 3].map(id), high, theirs)
  proposal = countVote(proposal, id(2), 'preparing', promise(accepted, high)[1])
  proposal = countVote(proposal, id(3), 'preparing', promise({ instance: 2 }, high)[1])
  assert.is(proposal.phase, 'accepting')
  assert.equal(proposal.change, mine)
})

test('leaverTakesFact: a base that was told stays without the members whose readiness made it', () => {
  const ring = learn(emptyRing(), { ...NO_KNOWLEDGE, changes: GROWTH, records: [record(1, 3), record(2, 3)] })
  const heir = learn(emptyRing(), { ...NO_KNOWLEDGE, changes: GROWTH, bases: ring.bases })
  assert.is(heir.records.size, 0)
  assert.equal(
    heir.configs!.windows[0]!.map(({ begin }) => begin),
    [3]
  )
})

test('deadJoinersWedge: two of three new owners lost before they were ready block every later config', () => {
  const window = [config(1, 1, 2, 3), config(2, 4, 5, 6), config(3, 1, 2, 3)]
  assert.is(sourcesOf(window, 1, [2, 3, 4]), undefined)
})

test.run()
