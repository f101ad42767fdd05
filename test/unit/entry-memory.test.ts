// What an owner remembers of its entries, against a model that forgets nothing.
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EntryMemory } from '../../lib/actors/replica/entry-memory.js'
import { type Envelope, encodeEnvelope, versionOf } from '../../lib/entry/envelope.js'
import { dataKey, type StoredKey } from '../../lib/entry/keys.js'
import { makeVersion, type Version } from '../../lib/entry/version.js'
import { slotOf } from '../../lib/ring/slots.js'

const test = suite('replica: entry memory')
const MEMBER = new Uint8Array(8)
const START = 1_000_000

function version(ms: number): Version {
  return makeVersion(START + ms, 0, MEMBER)
}

function stored(key: string): StoredKey {
  const bytes = Buffer.from(key)
  return dataKey(slotOf(bytes), bytes)
}

function entry(ms: number, origin = ms): Envelope {
  return encodeEnvelope(Buffer.from('k'), {
    version: version(ms),
    origin: version(origin),
    tombstone: false,
    value: Buffer.from('v')
  })
}

const KEY = stored('k')
const SLOT = slotOf(Buffer.from('k'))

/** What is told of an origin: `versions` as ms, a star behind each that is shown. */
function told(memory: EntryMemory, origin: number, held: Envelope | undefined, boundMs = 0, key = KEY): string {
  const { versions, isUnknown } = memory.tell(key, version(origin), held, boundMs)
  const names = versions.map(({ version: told, isShown }) => {
    const ms = Buffer.from(told).readUIntBE(0, 6) - START
    return `${ms}${isShown ? '*' : ''}`
  })
  return [...names, ...(isUnknown ? ['?'] : [])].join(' ')
}

test('what entered and was overwritten is had, and shown only when somebody was told of it', () => {
  const memory = new EntryMemory(START)
  memory.entered(KEY, undefined, entry(10), false)
  memory.entered(KEY, entry(10), entry(20), false)
  memory.show(KEY, entry(20))
  memory.entered(KEY, entry(20), entry(30), false)
  memory.entered(KEY, entry(30), entry(40, 10), true)
  memory.entered(KEY, entry(40, 10), entry(50), false)
  assert.is(told(memory, 10, entry(50)), '40* 10')
  assert.is(told(memory, 20, entry(50)), '20*')
  assert.is(told(memory, 30, entry(50)), '30')
  assert.is(told(memory, 50, entry(50)), '50*', 'the one that is held counts as shown')
  assert.is(told(memory, 25, entry(50)), '', 'it never had it')
  assert.is(told(memory, 30, entry(50), START + 31), '30 ?', 'below the purge bound it does not know')
  assert.is(memory.hasHad(KEY, entry(20)), true)
  assert.is(memory.hasHad(KEY, entry(25)), false)
})

test('what was stored before the start is unknown, until the store has been counted', () => {
  const memory = new EntryMemory(START + 100)
  memory.entered(KEY, entry(90), entry(120), false)
  assert.is(told(memory, 95, entry(120)), '?')
  assert.is(told(memory, 110, entry(120)), '')
  memory.counted(START + 92)
  assert.is(told(memory, 95, entry(120)), '')
  assert.is(told(memory, 91, entry(120)), '?')
  memory.counted(Number.POSITIVE_INFINITY)
  assert.is(told(memory, 95, entry(120)), '', 'a floor that was proven low stays low')
})

test('an entry that is not remembered counts as shown when it is overwritten', () => {
  const memory = new EntryMemory(START)
  memory.pulled(entry(10))
  memory.entered(KEY, entry(10), entry(20), false)
  assert.is(told(memory, 10, entry(20)), '10*')
})

test('a member that becomes ready knows nothing of before', () => {
  const memory = new EntryMemory(START)
  memory.entered(KEY, undefined, entry(10), false)
  memory.entered(KEY, entry(10), entry(20), false)
  memory.forgetSlots([SLOT])
  assert.is(told(memory, 10, entry(20)), '?')
  assert.is(told(memory, 20, entry(20)), '20* ?')
  assert.is(memory.hasHad(KEY, entry(10)), false)
  memory.entered(KEY, entry(20), entry(30), false)
  memory.entered(KEY, entry(30), entry(40), false)
  assert.is(told(memory, 30, entry(40)), '30')
  const other = stored('another key')
  memory.entered(other, undefined, entry(41), false)
  memory.entered(other, entry(41), entry(42), false)
  assert.is(told(memory, 41, entry(42), 0, other), '41', 'other slots are as before')
})

test('what a puller is told counts as shown', () => {
  const memory = new EntryMemory(START)
  memory.entered(KEY, undefined, entry(10), false)
  memory.showSlots(SLOT, SLOT)
  memory.entered(KEY, entry(10), entry(20), false)
  memory.entered(KEY, entry(20), entry(30), false)
  assert.is(told(memory, 10, entry(30)), '10*')
  assert.is(told(memory, 20, entry(30)), '20')
})

test('after a failed batch and after healing nothing is known of the key', () => {
  const memory = new EntryMemory(START)
  memory.entered(KEY, undefined, entry(10), false)
  memory.entered(KEY, entry(10), entry(20), false)
  memory.forget(KEY)
  assert.is(told(memory, 10, entry(10)), '10* ?')
  assert.is(told(memory, 20, entry(10)), '?')
  memory.entered(KEY, entry(30), entry(25), false)
  assert.is(told(memory, 30, entry(25)), '')
  memory.entered(KEY, entry(25), entry(26), false)
  memory.entered(KEY, entry(26), entry(24), false)
  assert.is(told(memory, 26, entry(24)), '?', 'a newer entry was taken away')
})

test('random writes of a few keys are told as they were, or as unknown; never as not had', () => {
  const step = fc.record({
    key: fc.nat(5),
    isShown: fc.boolean(),
    origin: fc.option(fc.nat(40), { nil: undefined }),
    show: fc.boolean(),
    other: fc.nat(20)
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.constantFrom(16, 64, 1024), (steps, recordsMax) => {
      const memory = new EntryMemory(START, recordsMax)
      const had = new Map<number, { entry: Envelope; origin: number; isShown: boolean }[]>()
      let ms = 50
      for (const { key, isShown, origin, show, other } of steps) {
        ms += 1
        const name = stored(`key ${key}`)
        const list = had.get(key) ?? []
        had.set(key, list)
        const first = origin === undefined || list.length === 0 ? ms : list[origin % list.length]!.origin
        const next = entry(ms, first)
        memory.entered(name, list.at(-1)?.entry, next, isShown)
        list.push({ entry: next, origin: first, isShown })
        if (show) {
          memory.show(name, next)
          list.at(-1)!.isShown = true
        }
        if (other === 0) memory.forgetSlots([slotOf(Buffer.from(`key ${key}`))])
      }
      for (const [key, list] of had) {
        const held = list.at(-1)!.entry
        for (const { origin } of list) {
          const { versions, isUnknown } = memory.tell(stored(`key ${key}`), version(origin), held, 0)
          const tells = new Map(versions.map((one) => [Buffer.from(one.version).toString('hex'), one.isShown]))
          const mine = list.filter((one) => one.origin === origin)
          const isMine = (name: string) => mine.some((one) => hex(one.entry) === name)
          assert.ok([...tells.keys()].every(isMine), 'nothing is told that was not had')
          if (isUnknown) continue
          for (const one of mine) {
            const shown = tells.get(hex(one.entry))
            assert.ok(shown !== undefined, 'an entry that was had is told, or the origin is unknown')
            assert.ok(shown || !one.isShown, 'an entry that was shown is told as shown')
          }
        }
      }
    }),
    { numRuns: 1500 }
  )
})

test('with enough room nothing is forgotten, however many keys there are', () => {
  const memory = new EntryMemory(START)
  for (let number = 0; number < 20_000; number++) {
    memory.entered(stored(`many ${number}`), undefined, entry(number + 1), false)
    memory.entered(stored(`many ${number}`), entry(number + 1), entry(number + 2), false)
  }
  let known = 0
  for (let number = 0; number < 20_000; number += 100) {
    if (told(memory, number + 1, entry(number + 2), 0, stored(`many ${number}`)) === `${number + 1}`) known += 1
  }
  assert.is(known, 200)
})

function hex(envelope: Envelope): string {
  return Buffer.from(versionOf(envelope)).toString('hex')
}

test.run()
