// Window updates held back and added up.
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '../../lib/limits.js'
import { WindowUpdates } from '../../lib/network/window-updates.js'
import { header } from './raw-peer.js'

const test = suite('window updates')
const WINDOW = 256 * KiB
const UPDATE = 1

function parse(frame: Uint8Array): { readonly type: number; readonly stream: number; readonly bytes: number } {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  assert.is(view.getUint8(0), 0, 'the version of yamux')
  assert.is(view.getUint16(2), 0, 'no flags')
  return { type: view.getUint8(1), stream: view.getUint32(4), bytes: view.getUint32(8) }
}

test('what is held back of a stream stays below half its window, and the rest is sent', () => {
  const update = fc.record({ stream: fc.integer({ min: 1, max: 400 }), bytes: fc.integer({ min: 1, max: WINDOW }) })
  fc.assert(
    fc.property(fc.array(update, { maxLength: 2000 }), (all) => {
      const updates = new WindowUpdates(WINDOW)
      const held = new Map<number, number>()
      for (const { stream, bytes } of all) {
        held.set(stream, (held.get(stream) ?? 0) + bytes)
        for (const frame of updates.next(header(UPDATE, 0, stream, bytes))) {
          const sent = parse(frame)
          assert.is(sent.type, UPDATE)
          held.set(sent.stream, held.get(sent.stream)! - sent.bytes)
        }
        for (const left of held.values()) assert.ok(left >= 0 && left < WINDOW / 2, `${left} bytes are held back`)
      }
    })
  )
})

test('small updates are not sent, and come with the one that reaches half a window', () => {
  const updates = new WindowUpdates(WINDOW)
  for (let sent = 0; sent < 127; sent++) assert.is(updates.next(header(UPDATE, 0, 1, KiB)).length, 0)
  const [frame, ...more] = updates.next(header(UPDATE, 0, 1, KiB))
  assert.equal(parse(frame!), { type: UPDATE, stream: 1, bytes: 128 * KiB })
  assert.is(more.length, 0)
})

test('frames of other kinds, and updates with flags, pass as they are', () => {
  const updates = new WindowUpdates(WINDOW)
  for (const [type, flags] of [
    [0, 0],
    [UPDATE, 1],
    [UPDATE, 2],
    [UPDATE, 4],
    [UPDATE, 8],
    [2, 1],
    [3, 0]
  ] as const) {
    const frame = header(type, flags, 7, 0)
    assert.equal(updates.next(frame), [frame])
  }
  const data = Buffer.concat([header(0, 0, 7, 3), Buffer.from('abc')])
  assert.equal(updates.next(data), [data])
})

test('the streams whose updates are held back are bounded, and no update is lost', () => {
  const updates = new WindowUpdates(WINDOW)
  let sent = 0
  for (let stream = 1; stream <= 10_000; stream++) sent += updates.next(header(UPDATE, 0, stream, 5)).length
  assert.ok(sent >= 10_000 - 256, `${sent} of 10000 are sent`)
})

test.run()
