// Answers of other peers to reads and writes: what is no answer becomes BAD_MESSAGE, whatever the bytes are.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { prepareAnswer, readAnswer, writeAnswer } from '../../lib/actors/router/peer-answers.js'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { makeVersion } from '../../lib/entry/version.js'
import { RingdError, ValueLarger } from '../../lib/errors.js'

const test = suite('router: answers')

const VERSION = makeVersion(5, 6, new Uint8Array(8))
const ENVELOPE = encodeEnvelope(Buffer.from('key'), { version: VERSION, tombstone: false, value: Buffer.from('value') })

function codeOf(answer: unknown): unknown {
  return answer instanceof RingdError ? answer.code : answer
}

test('an entry, none, and a closed bound are taken as they are', () => {
  assert.equal(readAnswer({ value: { envelope: ENVELOPE } }), ENVELOPE)
  assert.is(readAnswer({ value: {} }), undefined)
  assert.equal(readAnswer({ value: { closed: 7 } }), { envelope: undefined, closed: 7 })
  assert.is(writeAnswer({ written: {} }), undefined)
  assert.equal(writeAnswer({ written: { newerVersion: VERSION } }), { newer: VERSION, had: false })
  assert.equal(writeAnswer({ written: { newerVersion: VERSION, had: true } }), { newer: VERSION, had: true })
  assert.equal(writeAnswer({ written: { promised: VERSION } }), { promised: VERSION })
  assert.equal(prepareAnswer({ preparedKey: { refusedBy: VERSION, tellings: [] } }, 0), { refusedBy: VERSION })
  const telling = { versions: [{ version: VERSION, isShown: true }], isUnknown: false }
  const promised = prepareAnswer({ preparedKey: { envelope: ENVELOPE, tellings: [telling] } }, 1)
  assert.equal(promised, { envelope: ENVELOPE, closed: 0, tellings: [telling] })
})

test('bytes that are no entry or no version reach no other part of the router', () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(3), new Uint8Array(40), ENVELOPE.subarray(0, 21)]) {
    assert.is(codeOf(readAnswer({ value: { envelope: bytes } })), 'BAD_MESSAGE')
    assert.is(codeOf(writeAnswer({ written: { newerVersion: bytes } })), 'BAD_MESSAGE')
  }
  assert.is(codeOf(readAnswer({ done: {} })), 'BAD_MESSAGE')
  assert.is(codeOf(writeAnswer({ done: {} })), 'BAD_MESSAGE')
  assert.is(codeOf(prepareAnswer({ done: {} }, 0)), 'BAD_MESSAGE')
})

test('a promise that tells of other writes than was asked for, or under no version, is refused', () => {
  const telling = { versions: [{ version: VERSION.subarray(1), isShown: true }], isUnknown: false }
  assert.is(codeOf(prepareAnswer({ preparedKey: { tellings: [telling] } }, 1)), 'BAD_MESSAGE')
  assert.is(codeOf(prepareAnswer({ preparedKey: { tellings: [] } }, 1)), 'BAD_MESSAGE')
  assert.is(codeOf(prepareAnswer({ preparedKey: { refusedBy: VERSION.subarray(1), tellings: [] } }, 0)), 'BAD_MESSAGE')
})

test('a size is taken between the limit of the read and that of values, and an entry up to the limit', () => {
  const larger = readAnswer({ value: { size: 101 } }, 100)
  assert.ok(larger instanceof ValueLarger && larger.size === 101)
  assert.is(codeOf(readAnswer({ value: { size: 100 } }, 100)), 'BAD_MESSAGE')
  assert.is(codeOf(readAnswer({ value: { size: 101 } })), 'BAD_MESSAGE')
  assert.is(codeOf(readAnswer({ value: { size: 9_000_000 } }, 100)), 'BAD_MESSAGE')
  assert.is(codeOf(readAnswer({ value: { size: 101, envelope: ENVELOPE } }, 100)), 'BAD_MESSAGE')
  assert.is(codeOf(readAnswer({ value: { envelope: ENVELOPE } }, ENVELOPE.length - 1)), 'BAD_MESSAGE')
  assert.equal(readAnswer({ value: { envelope: ENVELOPE } }, ENVELOPE.length), ENVELOPE)
})

test.run()
