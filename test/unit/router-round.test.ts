// What a round concludes from promises: single cases, the rules written a second time, and rounds of several routers in
// a small model of owners, with lost, late and repeated messages.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { judgeRound, type Promised, type RoundState } from '../../lib/actors/router/round.js'
import { type Envelope, encodeEnvelope, valueBytes, versionOf } from '../../lib/entry/envelope.js'
import { resolve } from '../../lib/entry/read-resolution.js'
import { makeVersion, type Version, versionMs } from '../../lib/entry/version.js'
import type { Config } from '../../lib/views/configs.js'
import { OwnerModel, type Packet, RoundWorld } from './round-world.js'

const test = suite('router: round')
const KEY = Buffer.from('k')
const MEMBER = new Uint8Array(8)

function version(number: number): Version {
  return makeVersion(number, 0, MEMBER)
}

function entry(number: number, origin = number): Envelope {
  return encodeEnvelope(KEY, {
    version: version(number),
    origin: version(origin),
    tombstone: false,
    value: Buffer.from(`${origin}`)
  })
}

/** Versions of one attempt that an owner tells: `5` it has shown, `-5` it has not; '?' it may have had others. */
type Told = readonly (number | '?')[]

function promise(member: string, held: Envelope | undefined, ...attempts: Told[]): Promised {
  const tellings = attempts.map((told) => ({
    isUnknown: told.includes('?'),
    versions: told
      .filter((one) => one !== '?')
      .map((one) => ({ version: version(Math.abs(Number(one))), isShown: Number(one) > 0 }))
  }))
  return { member, envelope: held, closed: 0, tellings }
}

function configOf(owners: string, begin = 1): Config {
  return { begin, owners: [...owners], quorum: Math.floor(owners.length / 2) + 1 }
}

function judge(window: readonly Config[], promised: Promised[], attempts: number[], prefersOwn = false): RoundState {
  return judgeRound(window, promised, attempts.map(version), resolve(promised, false), prefersOwn)
}

test('what a quorum holds exactly may be built on', () => {
  const two = [promise('a', entry(5)), promise('b', entry(5))]
  assert.equal(judge([configOf('abc')], two, []), { type: 'free', isChosen: true })
  assert.equal(judge([configOf('abc')], [promise('a', undefined), promise('b', undefined)], []), {
    type: 'free',
    isChosen: true
  })
})

test('an entry that one owner of a quorum lacks must be written again first', () => {
  assert.equal(judge([configOf('abc')], [promise('a', entry(5)), promise('b', entry(4))], []), {
    type: 'free',
    isChosen: false
  })
  const wide = [configOf('abc'), configOf('abd', 2)]
  const answers = [promise('a', entry(5)), promise('b', undefined), promise('c', entry(5)), promise('d', undefined)]
  assert.equal(
    judge(wide, answers, []),
    { type: 'free', isChosen: false },
    'a quorum of the older config is not enough'
  )
})

test('an attempt is done when a quorum holds it, or had it, in one version', () => {
  const answers = [promise('a', entry(9), [5]), promise('b', entry(5), [5])]
  assert.equal(judge([configOf('abc')], answers, [5]), { type: 'done', attempt: 0 })
})

test('an attempt in two different versions on two owners is not done', () => {
  const answers = [promise('b', entry(37, 35), [37]), promise('a', entry(36), [35])]
  assert.equal(judge([configOf('abc')], answers, [35]), { type: 'own', attempt: 0 })
  const overtaken = [promise('b', entry(40), [37]), promise('a', entry(36), [35])]
  assert.equal(judge([configOf('abc')], overtaken, [35]), { type: 'undecided' })
})

test('the newest entry is written again when it is an attempt of the operation, also when somebody adopted it', () => {
  const answers = [promise('a', entry(37, 35), [37]), promise('b', entry(20), [])]
  assert.equal(judge([configOf('abc')], answers, [30, 35].slice(1)), { type: 'own', attempt: 0 })
  const done = [promise('a', entry(5), [5]), promise('b', entry(5), [5])]
  assert.equal(judge([configOf('abc')], done, [5]), { type: 'done', attempt: 0 })
  assert.equal(judge([configOf('abc')], done, [5], true), { type: 'own', attempt: 0 }, 'all owners must have it')
})

test('an attempt that was never shown had no effect; one that was shown, or is forgotten, leaves a doubt', () => {
  const window = [configOf('abc')]
  const hidden = [promise('a', entry(9), [-5]), promise('b', entry(9), [])]
  assert.equal(judge(window, hidden, [5]), { type: 'free', isChosen: true })
  const shown = [promise('a', entry(9), [5]), promise('b', entry(9), [])]
  assert.equal(judge(window, shown, [5]), { type: 'undecided' })
  const forgotten = [promise('a', entry(9), ['?']), promise('b', entry(9), [])]
  assert.equal(judge(window, forgotten, [5]), { type: 'undecided' })
  assert.equal(judge(window, [...shown, promise('c', entry(9), [])], [5]), { type: 'free', isChosen: true })
})

test('each config must deny an attempt, and each attempt must be denied', () => {
  const window = [configOf('abc'), configOf('ade', 2)]
  const old = [promise('a', entry(9), []), promise('b', entry(9), []), promise('d', entry(9), ['?'])]
  assert.equal(judge(window, [...old, promise('e', entry(9), ['?'])], [5]), { type: 'undecided' })
  const two = [promise('a', entry(9), [], [6]), promise('b', entry(9), [], [])]
  assert.equal(judge([configOf('abc')], two, [5, 6]), { type: 'undecided' })
})

test('an owner that has purged a tombstone counts as one that holds it', () => {
  const gone = encodeEnvelope(KEY, { version: version(5000), tombstone: true, value: new Uint8Array(0) })
  const purged = { ...promise('b', undefined), closed: 10 }
  assert.equal(judge([configOf('abc')], [promise('a', gone), purged], []), { type: 'free', isChosen: true })
  const open = promise('b', undefined)
  assert.equal(judge([configOf('abc')], [promise('a', gone), open], []), { type: 'free', isChosen: false })
})

// ---- the rules a second time, as sentences of set arithmetic ----

const anyTold = fc.uniqueArray(fc.oneof(fc.integer({ min: -4, max: 4 }).filter(Boolean), fc.constant('?' as const)), {
  maxLength: 3,
  selector: (told) => (told === '?' ? told : Math.abs(told))
})
const anyAnswer = fc.record({ held: fc.integer({ min: 0, max: 4 }), told: fc.tuple(anyTold, anyTold) })
const anyRound = fc.record({
  configs: fc.array(fc.uniqueArray(fc.constantFrom(...'abcde'), { minLength: 1, maxLength: 5 }), {
    minLength: 1,
    maxLength: 2
  }),
  answers: fc.dictionary(fc.constantFrom(...'abcde'), anyAnswer, { minKeys: 1 }),
  attempts: fc.integer({ min: 0, max: 2 })
})

test('the rules, written a second time, say the same', () => {
  fc.assert(
    fc.property(anyRound, ({ configs, answers, attempts }) => {
      const promised = Object.entries(answers).map(([member, { held, told }]) =>
        promise(member, held === 0 ? undefined : entry(held + 10), ...told.slice(0, attempts))
      )
      const window = configs.map((owners, at) => configOf(owners.join(''), at + 1))
      const origins = [14, 12].slice(0, attempts)
      assert.equal(judge(window, promised, origins), plainly(configs, answers, origins))
    }),
    { numRuns: 3000 }
  )
})

type Answers = Record<string, { held: number; told: readonly Told[] }>

function plainly(configs: readonly string[][], answers: Answers, origins: readonly number[]): RoundState {
  const heard = Object.keys(answers)
  const majority = (owners: readonly string[]) => Math.floor(owners.length / 2) + 1
  const inEach = (who: readonly string[], least: (owners: readonly string[]) => number) =>
    configs.every((owners) => owners.filter((owner) => who.includes(owner)).length >= least(owners))
  const newest = Math.max(...heard.map((owner) => answers[owner]!.held))
  const told = (owner: string, at: number) => answers[owner]!.told[at]!
  for (const at of origins.keys()) {
    for (const version of [1, 2, 3, 4]) {
      const knows = heard.filter((owner) => told(owner, at).some((one) => one !== '?' && Math.abs(one) === version))
      if (inEach(knows, majority)) return { type: 'done', attempt: at }
    }
  }
  const own = origins.indexOf(newest + 10)
  if (newest > 0 && own !== -1) return { type: 'own', attempt: own }
  for (const at of origins.keys()) {
    for (const version of [0, 1, 2, 3, 4]) {
      if (version > 0 && !heard.some((owner) => told(owner, at).some((one) => Math.abs(Number(one)) === version)))
        continue
      const denies = heard.filter((owner) => !told(owner, at).includes('?') && !told(owner, at).includes(version))
      if (!inEach(denies, (owners) => owners.length - majority(owners) + 1)) return { type: 'undecided' }
    }
  }
  const holders = heard.filter((owner) => answers[owner]!.held === newest)
  return { type: 'free', isChosen: inEach(holders, majority) }
}

// ---- rounds of several routers on modelled owners ----

test('appends of racing routers take effect once each, in one order, whatever is lost or late', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.integer(), (owners, seed) => {
      const world = new RoundWorld(owners, seed, { version, entry: appended, listOf })
      world.run()
      world.check()
    }),
    { numRuns: 400 }
  )
})

/** The list of operations that an entry holds, and its version as a number. */
function listOf(envelope: Envelope | undefined): { number: number; list: number[] } {
  if (envelope === undefined) return { number: 0, list: [] }
  const text = Buffer.from(valueBytes(envelope)).toString()
  return { number: versionMs(versionOf(envelope)), list: text === '' ? [] : text.split(',').map(Number) }
}

function appended(number: number, origin: number, list: readonly number[]): Envelope {
  const value = Buffer.from(list.join())
  return encodeEnvelope(KEY, { version: version(number), origin: version(origin), tombstone: false, value })
}

test('the model of owners refuses as the rules say', () => {
  const owner = new OwnerModel('a', { version, entry: appended, listOf })
  const write = (number: number): string =>
    owner.take({ type: 'write', entry: appended(number, number, []) } as Packet).type
  assert.is(owner.take({ type: 'prepare', ballot: 10, origins: [] } as unknown as Packet).type, 'promised')
  assert.is(write(9), 'refused')
  assert.is(write(10), 'ok')
  assert.is(write(8), 'refused')
  assert.is(owner.take({ type: 'prepare', ballot: 10, origins: [] } as unknown as Packet).type, 'refused')
})

test.run()
