// The eviction rule: which member is evicted and when, one at a time, and never too many.
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CAUTION,
  type EvictionInput,
  type EvictionOptions,
  type Hearing,
  memberToEvict,
  type OnLoss
} from '../../lib/detector/eviction-rule.js'
import type { Member, MemberId } from '../../lib/member.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { quorum, type View } from '../../lib/views/chain.js'
import type { Window } from '../../lib/views/configs.js'
import { slotsLeftShort } from '../../lib/views/departure.js'
import { idOf } from '../sim/harness/ring-views.js'

const test = suite('detector/eviction-rule')
const AFTER_MS = 1000
const NOW = 1_000_000
const LETTERS = [...'abcdefghijk']

interface Drawn {
  readonly members: number
  readonly replicas: number
  /** For how long each member has been down, by letter. */
  readonly downMs: Readonly<Record<string, number>>
  readonly heard?: readonly string[]
  readonly lost?: readonly string[]
  readonly asDead?: readonly string[]
  /** The windows of the slots, as the letters of each config's owners. Several windows alternate over the slots. */
  readonly windows?: readonly (readonly string[])[]
}

function windowOf(configs: readonly string[]): Window {
  return configs.map((letters, at) => {
    const owners = [...letters].map(idOf).sort()
    return { begin: at + 1, owners, quorum: quorum(owners.length) }
  })
}

function inputOf(drawn: Drawn): EvictionInput {
  const letters = LETTERS.slice(0, drawn.members)
  const member = (letter: string): [MemberId, Member] => {
    const storeId = idOf(letter)
    return [storeId, { storeId, peerId: `peer-${letter}`, tokens: [1], zone: '', weight: 1 }]
  }
  const members = new Map(letters.map(member))
  const view: View = {
    number: 9,
    founding: { ringId: 'ab'.repeat(16), replicas: drawn.replicas },
    members,
    peerIds: new Map(LETTERS.map((letter) => [idOf(letter), `peer-${letter}`])),
    lost: new Set((drawn.lost ?? []).map(idOf))
  }
  const kinds = (drawn.windows ?? [[letters.slice(0, drawn.replicas).join('')]]).map(windowOf)
  const windows = Array.from({ length: SLOTS }, (_, slot) => kinds[slot % kinds.length]!)
  const hearing: Hearing = {
    at: NOW,
    heard: new Set((drawn.heard ?? []).map(idOf)),
    downSince: new Map(Object.entries(drawn.downMs).map(([letter, ms]) => [idOf(letter), NOW - ms]))
  }
  const leavingAsDead = new Set((drawn.asDead ?? []).map(idOf))
  return { view, configs: { view: 9, windows }, hearing, leavingAsDead }
}

const optionsOf = (onLoss: OnLoss, evictAfterMs = AFTER_MS): EvictionOptions => ({ evictAfterMs, onLoss })

function evicted(drawn: Drawn, options = optionsOf('recover')): string | undefined {
  const found = memberToEvict(inputOf(drawn), options)
  return found && LETTERS.find((letter) => idOf(letter) === found.member)
}

test('a member is evicted once it has been down for long enough, and not before', () => {
  const five = { members: 5, replicas: 3 }
  assert.is(evicted({ ...five, downMs: { d: AFTER_MS } }), 'd')
  assert.is(evicted({ ...five, downMs: { d: AFTER_MS - 1 } }), undefined)
  assert.is(evicted({ ...five, downMs: { d: 100 * AFTER_MS } }, optionsOf('recover', 0)), undefined, '0 is never')
  assert.is(evicted({ ...five, downMs: { d: AFTER_MS }, heard: ['d'] }), undefined, 'it is heard after all')
  assert.is(evicted({ ...five, downMs: { k: AFTER_MS } }), undefined, 'no member')
})

test('of several candidates the one with the smallest id is evicted first', () => {
  assert.is(evicted({ members: 9, replicas: 3, downMs: { h: 2 * AFTER_MS, g: AFTER_MS } }), 'g')
  assert.is(evicted({ members: 9, replicas: 3, downMs: { h: 2 * AFTER_MS, g: AFTER_MS - 1 } }), 'h')
})

test('the ring keeps at least as many members as there are copies', () => {
  assert.is(evicted({ members: 3, replicas: 3, downMs: { c: 1e9 } }), undefined)
  assert.is(evicted({ members: 4, replicas: 3, downMs: { d: 1e9 } }), 'd')
})

test('an eviction takes ten times as long while slots move, and when more than a third are down', () => {
  const moving = { members: 6, replicas: 3, windows: [['abc', 'bcd']] }
  assert.is(evicted({ ...moving, downMs: { f: CAUTION * AFTER_MS - 1 } }), undefined)
  assert.is(evicted({ ...moving, downMs: { f: CAUTION * AFTER_MS } }), 'f')
  const many = { members: 6, replicas: 3, windows: [['abc']] }
  assert.is(evicted({ ...many, downMs: { e: AFTER_MS, f: AFTER_MS } }), 'e', 'two of six')
  assert.is(evicted({ ...many, downMs: { d: AFTER_MS, e: AFTER_MS, f: 0 } }), undefined, 'three of six')
  assert.is(evicted({ ...many, downMs: { d: CAUTION * AFTER_MS, e: 1, f: 1 } }), 'd')
})

test('a member whose eviction leaves slots short is evicted late, or never under the policy `wait`', () => {
  const short = { members: 6, replicas: 3, lost: ['k'], windows: [['abk']] }
  assert.is(evicted({ ...short, downMs: { b: AFTER_MS } }), undefined)
  assert.is(evicted({ ...short, downMs: { b: CAUTION * AFTER_MS } }), 'b')
  assert.is(evicted({ ...short, downMs: { b: 1e9 } }, optionsOf('wait')), undefined)
  assert.is(memberToEvict(inputOf({ ...short, downMs: { b: 1e9 } }), optionsOf('recover'))!.slotsAtRisk, SLOTS)
  assert.is(evicted({ ...short, downMs: { b: AFTER_MS, d: AFTER_MS } }), 'd', 'who owns nothing there may go before')
  const asked = { members: 6, replicas: 3, asDead: ['a'], windows: [['abc']] }
  assert.is(evicted({ ...asked, downMs: { b: AFTER_MS } }, optionsOf('wait')), undefined, 'an operator removes another')
})

const windows = fc.array(
  fc.array(
    fc.uniqueArray(fc.constantFrom(...LETTERS), { minLength: 3, maxLength: 3 }).map((owners) => owners.join('')),
    { minLength: 1, maxLength: 3 }
  ),
  { minLength: 1, maxLength: 2 }
)
const drawn = fc.record({
  members: fc.integer({ min: 1, max: LETTERS.length }),
  replicas: fc.integer({ min: 1, max: 5 }),
  downMs: fc.dictionary(fc.constantFrom(...LETTERS), fc.integer({ min: 0, max: 20 * AFTER_MS })),
  heard: fc.subarray(LETTERS, { maxLength: 3 }),
  lost: fc.subarray(LETTERS, { maxLength: 3 }),
  asDead: fc.subarray(LETTERS, { maxLength: 2 }),
  windows
})
const onLoss = fc.constantFrom<OnLoss>('recover', 'wait')
const RUNS = { numRuns: 150 }

test('for any input, an evicted member is down for long enough and not heard, and enough members stay', () => {
  fc.assert(
    fc.property(drawn, onLoss, (one, policy) => {
      const input = inputOf(one)
      const found = memberToEvict(input, optionsOf(policy))
      if (found === undefined) return
      const { view, hearing, configs } = input
      const { member, slotsAtRisk } = found
      const downMs = NOW - hearing.downSince.get(member)!
      assert.ok(view.members.has(member) && !hearing.heard.has(member))
      assert.ok(downMs >= AFTER_MS)
      assert.ok(view.members.size - 1 >= view.founding.replicas)
      const short = slotsLeftShort(configs, member, new Set([...view.lost, ...input.leavingAsDead]))
      assert.is(slotsAtRisk, short)
      if (short > 0) assert.ok(policy === 'recover' && downMs >= CAUTION * AFTER_MS)
      if (configs.windows.some((window) => window.length > 1)) assert.ok(downMs >= CAUTION * AFTER_MS)
    }),
    RUNS
  )
})

test('a peer that hears fewer of the others evicts no earlier', () => {
  fc.assert(
    fc.property(drawn, onLoss, fc.constantFrom(...LETTERS), (one, policy, alsoDown) => {
      if (one.downMs[alsoDown] !== undefined || one.heard.includes(alsoDown)) return
      const fewer = memberToEvict(inputOf({ ...one, downMs: { ...one.downMs, [alsoDown]: 0 } }), optionsOf(policy))
      if (fewer === undefined) return
      const more = memberToEvict(inputOf(one), optionsOf(policy))
      assert.equal(more === undefined ? undefined : 'somebody', 'somebody')
    }),
    RUNS
  )
})

test('a longer down time never prevents an eviction, and `wait` never evicts more than `recover`', () => {
  fc.assert(
    fc.property(drawn, fc.integer({ min: 0, max: 5 * AFTER_MS }), (one, moreMs) => {
      const later = Object.fromEntries(Object.entries(one.downMs).map(([letter, ms]) => [letter, ms + moreMs]))
      const now = memberToEvict(inputOf(one), optionsOf('wait'))
      if (now === undefined) return
      assert.ok(memberToEvict(inputOf({ ...one, downMs: later }), optionsOf('wait')) !== undefined)
      assert.ok(memberToEvict(inputOf(one), optionsOf('recover')) !== undefined)
    }),
    RUNS
  )
})

test.run()
