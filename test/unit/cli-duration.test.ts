// Times to live on the command line.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { humanDuration, parseTtl } from '../../daemon/commands/duration.js'

const test = suite('command line: durations')

test('a time to live is seconds, or a number with a unit', () => {
  const known: ReadonlyArray<readonly [string, number]> = [
    ['90', 90_000],
    ['90s', 90_000],
    ['500ms', 500],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['365000d', 365_000 * 86_400_000]
  ]
  for (const [text, ms] of known) assert.is(parseTtl(text), ms, text)
})

test('any other text is refused', () => {
  for (const text of [
    '',
    '0',
    '0ms',
    '-1',
    '1.5',
    '1e3',
    ' 1',
    '1 s',
    '1S',
    '1w',
    'ms',
    '1m30s',
    '365001d',
    '9'.repeat(99)
  ]) {
    assert.throws(() => parseTtl(text), /Expected seconds/, text)
  }
  const property = fc.property(fc.string(), (text) => {
    if (!/^\d+(ms|s|m|h|d)?$/.test(text)) assert.throws(() => parseTtl(text), /Expected seconds/)
  })
  fc.assert(property)
})

test('a remaining time is shown in the largest units that fit', () => {
  const known: ReadonlyArray<readonly [number, string]> = [
    [0, '0ms'],
    [50, '50ms'],
    [4050, '4.050s'],
    [59_999, '59.999s'],
    [60_000, '1m'],
    [93_784_999, '1d 2h 3m 4s'],
    [604_800_000, '7d']
  ]
  for (const [ms, text] of known) assert.is(humanDuration(ms), text)
})

test('a shown time can be typed again, exact to the second', () => {
  const property = fc.property(fc.integer({ min: 60_000, max: 2 ** 44 }), (ms) => {
    const parts = humanDuration(ms).split(' ')
    const sum = parts.reduce((total, part) => total + parseTtl(part), 0)
    assert.is(sum, Math.floor(ms / 1000) * 1000)
  })
  fc.assert(property)
})

test.run()
