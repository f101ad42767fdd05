// Tests that every Store must pass. A test file adds them to its own suite.
import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Bytes, compareBytes, EMPTY_BYTES, fromText, toText } from '../../lib/bytes.js'
import { type ErrorCode, RingdError } from '../../lib/errors.js'
import type { Scan, ScanRange, Store, StoreWrite } from '../../lib/storage/store.js'

/** An empty, open store. `destroy` removes it, and closes it first when the test has not. */
export interface TestStore {
  readonly store: Store
  destroy(): Promise<void>
}

const ALL: ScanRange = { from: EMPTY_BYTES, to: fromText('\u{10ffff}') }

export function put(key: string, value: string): StoreWrite {
  return { type: 'put', key: fromText(key), value: fromText(value) }
}

function del(key: string): StoreWrite {
  return { type: 'del', key: fromText(key) }
}

export function textAt(store: Store, key: string): string | undefined {
  const value = store.get(fromText(key))
  return value && toText(value)
}

/** The entries that a scan has not returned yet, as `key=value`. */
export async function drain(scan: Scan, bytesMax = 1 << 20): Promise<string[]> {
  const found: string[] = []
  for (let entries = await scan.next(bytesMax); entries.length > 0; entries = await scan.next(bytesMax)) {
    for (const [key, value] of entries) found.push(`${toText(key)}=${toText(value)}`)
  }
  return found
}

export async function codeOf(work: () => unknown): Promise<ErrorCode | undefined> {
  try {
    await work()
    return undefined
  } catch (thrown) {
    if (thrown instanceof RingdError) return thrown.code
    throw thrown
  }
}

export function addStoreTests(test: Test, make: () => Promise<TestStore>): void {
  function check(name: string, body: (store: Store) => Promise<void>): void {
    test(name, async () => {
      const { store, destroy } = await make()
      try {
        await body(store)
      } finally {
        await destroy()
      }
    })
  }
  addMapTests(check)
  addBytesTests(check)
  addScanTests(check)
  addSnapshotTests(check)
  addLifeTests(check)
}

type Check = (name: string, body: (store: Store) => Promise<void>) => void

function addMapTests(check: Check): void {
  check('a missing key is undefined', async (store) => {
    assert.is(store.get(fromText('a')), undefined)
    assert.is(store.get(EMPTY_BYTES), undefined)
  })

  check('a key is found after a put and not after a delete', async (store) => {
    await store.write([put('a', '1'), put('b', '2')])
    assert.is(textAt(store, 'a'), '1')
    await store.write([del('a'), del('never there')])
    assert.is(textAt(store, 'a'), undefined)
    assert.is(textAt(store, 'b'), '2')
    await store.write([put('a', '3')])
    assert.equal(await drain(store.scan(ALL)), ['a=3', 'b=2'])
  })

  check('within a batch the later write to a key wins', async (store) => {
    await store.write([put('a', '1'), put('a', '2'), del('b'), put('b', '1'), put('c', '1'), del('c')])
    assert.equal(await drain(store.scan(ALL)), ['a=2', 'b=1'])
  })

  check('an empty batch is no error', async (store) => {
    await store.write([])
    assert.equal(await drain(store.scan(ALL)), [])
  })

  check('empty keys and empty values are stored', async (store) => {
    await store.write([put('', 'no key'), put('no value', '')])
    assert.is(textAt(store, ''), 'no key')
    assert.is(textAt(store, 'no value'), '')
    assert.equal(await drain(store.scan(ALL)), ['=no key', 'no value='])
  })

  check('a batch becomes visible as a whole', async (store) => {
    const names = Array.from({ length: 500 }, (_, at) => `key ${at}`)
    let written = false
    const writing = store.write(names.map((name) => put(name, 'x'))).then(() => {
      written = true
    })
    while (!written) {
      const found = (await drain(store.scan(ALL))).length
      assert.ok(found === 0 || found === names.length, `${found} entries of a batch`)
    }
    await writing
    assert.ok(names.every((name) => textAt(store, name) === 'x'))
  })

  check('batches written at the same time are all kept', async (store) => {
    await Promise.all(Array.from({ length: 20 }, (_, at) => store.write([put(`key ${at}`, 'x')])))
    assert.is((await drain(store.scan(ALL))).length, 20)
  })
}

function addBytesTests(check: Check): void {
  check('the caller may change bytes that it has passed to the store', async (store) => {
    const key = fromText('key')
    const value = fromText('value')
    const writing = store.write([{ type: 'put', key, value }])
    key.fill(0)
    value.fill(0)
    await writing
    assert.is(textAt(store, 'key'), 'value')
  })

  check('the caller may keep and change bytes that the store returned', async (store) => {
    await store.write([put('a', 'first'), put('b', 'second')])
    const kept = store.get(fromText('a'))!
    const [scanned] = await store.scan(ALL).next(1 << 20)
    await store.write([put('a', 'other')])
    for (let at = 0; at < 100; at++) store.get(fromText('b'))
    assert.is(toText(kept), 'first')
    kept.fill(0)
    scanned![0].fill(0)
    scanned![1].fill(0)
    store.get(fromText('b'))!.fill(0)
    assert.equal(await drain(store.scan(ALL)), ['a=other', 'b=second'])
  })
}

function addScanTests(check: Check): void {
  check('a scan begins at its lower bound and ends before its upper bound', async (store) => {
    await store.write(['a', 'b', 'b\0', 'c', 'd'].map((key) => put(key, '')))
    const within = (from: string, to: string) => drain(store.scan({ from: fromText(from), to: fromText(to) }))
    assert.equal(await within('b', 'd'), ['b=', 'b\0=', 'c='])
    assert.equal(await within('aa', 'cc'), ['b=', 'b\0=', 'c='])
    assert.equal(await within('b', 'b'), [])
    assert.equal(await within('d', 'a'), [])
    assert.equal(await within('', 'b'), ['a='])
    assert.equal(await within('e', 'f'), [])
  })

  check('keys come in the order of their bytes', async (store) => {
    const keys: Bytes[] = []
    for (let high = 0; high < 256; high += 15) {
      for (const rest of [[], [0], [0, 0], [127], [128], [255]]) keys.push(Uint8Array.from([high, ...rest]))
    }
    const shuffled = keys.map((key, at) => keys[(at * 31) % keys.length] ?? key)
    await store.write(shuffled.map((key) => ({ type: 'put', key, value: EMPTY_BYTES })))
    const found = await store.scan({ from: EMPTY_BYTES, to: new Uint8Array(4).fill(255) }).next(1 << 20)
    assert.is(found.length, keys.length)
    found.forEach(([key], at) => {
      assert.is(compareBytes(key, keys[at]!), 0)
    })
  })

  check('a chunk ends once it exceeds its bytes, and holds at least one entry', async (store) => {
    await store.write(['a', 'b', 'c', 'd', 'e', 'f'].map((key) => put(key, '123456789')))
    const scan = store.scan(ALL)
    assert.is((await scan.next(20)).length, 2)
    assert.is((await scan.next(21)).length, 3)
    assert.is((await scan.next(0)).length, 1)
    assert.is((await scan.next(100)).length, 0)
    assert.is((await scan.next(100)).length, 0)
    await scan.close()
  })

  check('a value larger than a chunk is returned in a chunk of its own', async (store) => {
    const large = 'x'.repeat(1 << 20)
    await store.write([put('a', '1'), put('b', large), put('c', '2')])
    const scan = store.scan(ALL)
    const sizes: number[] = []
    for (let got = await scan.next(1); got.length > 0; got = await scan.next(1))
      sizes.push(got[0]![1].length, got.length)
    assert.equal(sizes, [1, 1, large.length, 1, 1, 1])
  })

  check('a long scan in small chunks sees every entry once', async (store) => {
    const count = 20_000
    const name = (at: number) => `key ${String(at).padStart(6, '0')}`
    for (let from = 0; from < count; from += 5000) {
      await store.write(
        Array.from({ length: 5000 }, (_, at) => put(name(((from + at) * 7) % count), 'v'.repeat(at % 50)))
      )
    }
    const found = await drain(store.scan(ALL), 4096)
    assert.is(found.length, count)
    assert.ok(found.every((entry, at) => entry.startsWith(`${name(at)}=`)))
  })
}

function addSnapshotTests(check: Check): void {
  check('a scan does not see what is written after it was opened', async (store) => {
    await store.write([put('a', '1'), put('b', '1'), put('d', '1')])
    const scan = store.scan(ALL)
    await store.write([put('a', '2'), del('b'), put('c', '2')])
    assert.equal(await drain(scan), ['a=1', 'b=1', 'd=1'])
    assert.equal(await drain(store.scan(ALL)), ['a=2', 'c=2', 'd=1'])
  })

  check('a scan does not see a write of the same turn', async (store) => {
    await store.write([put('a', '1')])
    const scan = store.scan(ALL)
    const writing = store.write([put('a', '2'), put('b', '2')])
    assert.equal(await drain(scan), ['a=1'])
    await writing
    assert.is(textAt(store, 'a'), '2')
  })

  check('a scan does not see a write made between two of its chunks', async (store) => {
    await store.write(['a', 'b', 'c'].map((key) => put(key, '1')))
    const scan = store.scan(ALL)
    assert.is((await scan.next(1)).length, 1)
    await store.write([put('b', '2'), put('bb', '2'), del('c')])
    assert.equal(await drain(scan), ['b=1', 'c=1'])
  })

  check('many scans each keep their own snapshot', async (store) => {
    const scans: Scan[] = []
    for (let round = 0; round < 50; round++) {
      await store.write([put('round', String(round)), put(`key ${round}`, '')])
      scans.push(store.scan(ALL))
    }
    const found = await Promise.all(scans.map((scan) => drain(scan)))
    found.forEach((entries, round) => {
      assert.is(entries.length, round + 2)
      assert.ok(entries.includes(`round=${round}`))
    })
  })
}

function addLifeTests(check: Check): void {
  check('reopening keeps written entries', async (store) => {
    await store.write([put('a', '1')])
    await store.reopen()
    assert.is(textAt(store, 'a'), '1')
    await store.write([put('b', '2')])
    await store.reopen()
    assert.equal(await drain(store.scan(ALL)), ['a=1', 'b=2'])
  })

  check('a closed store can be opened again', async (store) => {
    await store.write([put('a', '1')])
    await store.close()
    await store.reopen()
    assert.is(textAt(store, 'a'), '1')
  })

  check('a write that began before closing is kept', async (store) => {
    const writing = store.write([put('a', '1')])
    await store.close()
    await writing
    await store.reopen()
    assert.is(textAt(store, 'a'), '1')
  })

  check('a closed store refuses everything but closing', async (store) => {
    await store.close()
    await store.close()
    assert.is(await codeOf(() => store.get(EMPTY_BYTES)), 'STOPPED')
    assert.is(await codeOf(() => store.write([put('a', '1')])), 'STOPPED')
    assert.is(await codeOf(() => store.scan(ALL)), 'STOPPED')
  })

  check('closing the store ends its scans, also those that are being read', async (store) => {
    await store.write(Array.from({ length: 3000 }, (_, at) => put(`key ${at}`, 'x'.repeat(200))))
    const untouched = store.scan(ALL)
    const begun = store.scan(ALL)
    await begun.next(1)
    const busy = store.scan(ALL)
    const reading = codeOf(() => busy.next(1 << 30))
    await store.close()
    assert.ok([undefined, 'STOPPED'].includes(await reading))
    for (const scan of [untouched, begun, busy]) {
      assert.is(await codeOf(() => scan.next(1)), 'STOPPED')
      await scan.close()
    }
  })

  check('reopening ends the scans opened before', async (store) => {
    await store.write([put('a', '1'), put('b', '1')])
    const scan = store.scan(ALL)
    await scan.next(1)
    await store.reopen()
    assert.is(await codeOf(() => scan.next(1)), 'STOPPED')
  })

  check('a closed scan returns nothing more', async (store) => {
    await store.write([put('a', '1'), put('b', '1')])
    const scan = store.scan(ALL)
    await scan.next(1)
    await scan.close()
    await scan.close()
    assert.is(await codeOf(() => scan.next(1)), 'STOPPED')
  })
}
