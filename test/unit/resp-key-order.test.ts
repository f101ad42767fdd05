// Commands of one connection on one key take effect in order.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KeyOrder } from '../../daemon/doors/resp/key-order.js'
import { RingdError } from '../../lib/errors.js'
import { FakeRing } from './resp-support.js'

const test = suite('resp key order')

function setUp() {
  const ring = new FakeRing('manual')
  const order = new KeyOrder(ring)
  const seen: string[] = []
  const text = (result: unknown) => (result instanceof RingdError ? result.code : String(result))
  return {
    ring,
    seen,
    get: (key: string) => order.get(Buffer.from(key), 'one', (result) => seen.push(`get ${key} ${text(result)}`)),
    put: (key: string, value: string) =>
      order.put(Buffer.from(key), Buffer.from(value), 'one', (result) => seen.push(`put ${value} ${text(result)}`)),
    remove: (key: string) =>
      order.delete(Buffer.from(key), 'one', (result) => seen.push(`delete ${key} ${text(result)}`))
  }
}

test('reads of one key, and commands on different keys, run at once', () => {
  const { ring, get, put } = setUp()
  get('a')
  get('a')
  put('b', '1')
  put('c', '1')
  assert.is(ring.inFlight, 4)
})

test('a read waits for an earlier write, and later reads wait as well', () => {
  const { ring, seen, get, put } = setUp()
  put('a', '1')
  get('a')
  get('a')
  assert.is(ring.inFlight, 1)
  ring.release()
  assert.is(ring.inFlight, 2)
  ring.release()
  assert.equal(seen, ['put 1 undefined', 'get a 1', 'get a 1'])
})

test('a write waits for all earlier reads', () => {
  const { ring, seen, get, put } = setUp()
  get('a')
  get('a')
  put('a', '1')
  ring.release(1)
  assert.is(ring.asked.length, 2)
  ring.release(1)
  assert.is(ring.asked.length, 3)
  ring.release()
  assert.equal(seen, ['get a undefined', 'get a undefined', 'put 1 undefined'])
})

test('adjacent waiting writes become the last of them, and all get its outcome', () => {
  const { ring, seen, get, put, remove } = setUp()
  put('a', '1')
  put('a', '2')
  put('a', '3')
  get('a')
  put('a', '4')
  remove('a')
  put('a', '5')
  while (ring.inFlight > 0) ring.release(1)
  assert.equal(ring.asked, ['put a one', 'put a one', 'get a one', 'put a one', 'delete a one', 'put a one'])
  assert.equal(seen, [
    'put 1 undefined',
    'put 2 undefined',
    'put 3 undefined',
    'get a 3',
    'put 4 undefined',
    'delete a true',
    'put 5 undefined'
  ])
})

test('a failure is passed on, and the queue continues', () => {
  const { ring, seen, get, put } = setUp()
  put('a', '1')
  get('a')
  ring.failure = 'NO_QUORUM'
  ring.release(1)
  ring.failure = undefined
  ring.release()
  assert.equal(seen, ['put 1 NO_QUORUM', 'get a 1'])
})

test('a long queue that never empties, and operations that end at once, keep their order', () => {
  const { ring, seen, get, put } = setUp()
  const expected: string[] = []
  for (let i = 0; i < 2000; i++) {
    put('a', `${i}`)
    get('a')
    expected.push(`put ${i} undefined`, `get a ${i}`)
    if (i > 500) ring.release(2)
  }
  while (ring.inFlight > 0) ring.release(1)
  assert.equal(seen, expected)

  const quick = new FakeRing()
  const order = new KeyOrder(quick)
  let answers = 0
  for (let i = 0; i < 10_000; i++) order.put(Buffer.from('k'), Buffer.from(`${i}`), 'one', () => answers++)
  assert.is(answers, 10_000)
})

test('no operation starts too early under random schedules', () => {
  for (let seed = 1; seed < 200; seed++) {
    const { ring, seen, get, put } = setUp()
    let state = seed
    const next = (bound: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
      return (state >> 8) % bound
    }
    const value = new Map<string, string>()
    const expected: string[] = []
    for (let i = 0; i < 60; i++) {
      const key = 'abc'[next(3)]!
      if (next(2) === 0) {
        put(key, `${i}`)
        value.set(key, `${i}`)
      } else {
        get(key)
        expected.push(`get ${key} ${value.get(key)}`)
      }
      if (next(3) === 0) ring.release(next(3))
    }
    while (ring.inFlight > 0) ring.release(1)
    for (const key of 'abc') {
      const of = (list: string[]) => list.filter((line) => line.startsWith(`get ${key}`))
      assert.equal(of(seen), of(expected), `seed ${seed}`)
    }
  }
})

test.run()
