// A logger that bounds the lines of each kind, under virtual time.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { limitedLog } from '../../lib/limited-log.js'
import type { Fields, Logger } from '../../lib/logger.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('limited log')

type Line = readonly [level: string, fields: Fields, message: string]

function keeping(lines: Line[], extra: Fields = {}): Logger {
  const keep = (level: string) => (fields: Fields, message: string) =>
    void lines.push([level, { ...extra, ...fields }, message])
  return {
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
    child: (fields) => keeping(lines, { ...extra, ...fields })
  }
}

test('writes the first lines of a kind, then one line with the number of the others', async () => {
  const clock = new VirtualClock()
  const lines: Line[] = []
  const log = limitedLog(keeping(lines), clock, { linesMax: 3, periodMs: 1000 })
  for (let n = 0; n < 100_000; n++) log.warn({ n }, 'bad packet')
  assert.equal(
    lines.map(([, { n }]) => n),
    [0, 1, 2]
  )
  await clock.advance(1000)
  assert.equal(lines.slice(3), [['warn', { suppressed: 99_997, periodMs: 1000 }, 'bad packet']])
})

test('a new period begins with full lines, and a quiet period writes none', async () => {
  const clock = new VirtualClock()
  const lines: Line[] = []
  const log = limitedLog(keeping(lines), clock, { linesMax: 2, periodMs: 1000 })
  log.info({}, 'a')
  await clock.advance(5000)
  assert.is(lines.length, 1)
  for (let n = 0; n < 2; n++) log.info({ n }, 'a')
  assert.is(lines.length, 3)
})

test('kinds do not hide each other, and a level is a kind of its own', () => {
  const lines: Line[] = []
  const log = limitedLog(keeping(lines), new VirtualClock(), { linesMax: 1 })
  for (let n = 0; n < 50; n++) {
    log.warn({}, 'a')
    log.error({}, 'a')
    log.warn({}, 'b')
  }
  assert.equal(
    lines.map(([level, , message]) => `${level} ${message}`),
    ['warn a', 'error a', 'warn b']
  )
})

test('debug lines are not bounded', () => {
  const lines: Line[] = []
  const log = limitedLog(keeping(lines), new VirtualClock(), { linesMax: 1 })
  for (let n = 0; n < 50; n++) log.debug({}, 'a')
  assert.is(lines.length, 50)
})

test('children share the limit and keep their fields', () => {
  const lines: Line[] = []
  const log = limitedLog(keeping(lines), new VirtualClock(), { linesMax: 2 })
  for (const peer of ['x', 'y', 'z']) log.child({ peer }).warn({ n: 1 }, 'a')
  assert.equal(lines, [
    ['warn', { peer: 'x', n: 1 }, 'a'],
    ['warn', { peer: 'y', n: 1 }, 'a']
  ])
})

test('messages that are not constant do not grow the table without bound', () => {
  const lines: Line[] = []
  const log = limitedLog(keeping(lines), new VirtualClock())
  for (let n = 0; n < 5000; n++) log.warn({}, `message ${n}`)
  assert.is(lines.length, 1024)
})

test.run()
