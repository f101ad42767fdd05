// The number of files that the process may open: how it is read, divided and told.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { limitInText, OPEN_FILES_MIN, openFilesLimit, shareOpenFiles } from '../../daemon/open-files.js'
import { RingdError } from '../../lib/errors.js'

const test = suite('open files')
/** For the store, the log, and what the process opens itself. */
const KEPT = 160

test('the shares leave the files of the store and of the process', () => {
  for (let limit = OPEN_FILES_MIN; limit < 20_000; limit += 37) {
    const { redis, network } = shareOpenFiles(limit)
    const { member, data, operator, pending } = network
    assert.ok(redis + member + data + operator + pending <= limit - KEPT, `${limit} files`)
    assert.ok(Math.min(redis, member, data, operator, pending) > 0, `${limit} files`)
  }
})

test('with a high limit each part has its full number', () => {
  for (const limit of [30_000, Number.POSITIVE_INFINITY]) {
    const { redis, network } = shareOpenFiles(limit)
    assert.is(redis, 4096)
    assert.equal(network, { member: 4096, data: 1024, operator: 64, pending: 512 })
  }
})

test('a limit that is too low is refused, with what to do', () => {
  try {
    shareOpenFiles(OPEN_FILES_MIN - 1)
    assert.unreachable()
  } catch (thrown) {
    assert.ok(thrown instanceof RingdError)
    assert.is(thrown.code, 'BAD_CONFIG')
    assert.match(thrown.message, /255 files.*ulimit -n/)
  }
})

test('the limit is read from the text of Linux', () => {
  const text = [
    'Limit                     Soft Limit           Hard Limit           Units     ',
    'Max processes             96355                96355                processes ',
    'Max open files            1024                 524288               files     '
  ].join('\n')
  assert.is(limitInText(text), 1024)
  assert.is(limitInText(text.replace('1024', 'unlimited')), Number.POSITIVE_INFINITY)
  assert.is(limitInText(''), undefined)
})

test('the limit of this process is known', () => assert.ok(openFilesLimit() >= OPEN_FILES_MIN))

test.run()
