// Plots of benchmarks: every text lies inside of the plot and over no other text, whatever the values are.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LoadResult, RingdMove, SizeResult } from '../../scripts/bench-move-figures.js'
import { sizeShapes } from '../../scripts/bench-move-figures.js'
import { loadPlot, movePlot, sizesPlot } from '../../scripts/bench-move-plots.js'
import { barsSvg, brief, fitted, linesSvg, roundTicks, textWidth } from '../../scripts/bench-svg.js'

const test = suite('bench svg')

const FONT = 12

interface Box {
  readonly text: string
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

function boxesOf(svg: string): Box[] {
  const boxes: Box[] = []
  let [dx, dy] = [0, 0]
  const part = /<g transform="translate\((\S+) (\S+)\)">|<text x="(\S+)" y="(\S+)" text-anchor="(\w+)"[^>]*>([^<]*)</g
  for (const [, groupX, groupY, x, y, anchor, content] of svg.matchAll(part)) {
    if (groupX !== undefined) {
      ;[dx, dy] = [Number(groupX), Number(groupY)]
      continue
    }
    const text = content!.replace(/&\w+;/g, '&')
    const width = textWidth(text)
    const left = dx + Number(x) - (anchor === 'end' ? width : anchor === 'middle' ? width / 2 : 0)
    const base = dy + Number(y)
    boxes.push({ text, left, right: left + width, top: base - 0.8 * FONT, bottom: base + 0.2 * FONT })
  }
  return boxes
}

function checkTexts(svg: string): Box[] {
  const boxes = boxesOf(svg)
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!.map(Number)
  for (const [at, box] of boxes.entries()) {
    const isInside = box.left >= 0 && box.top >= 0 && box.right <= width! && box.bottom <= height!
    assert.ok(isInside, `"${box.text}" leaves the plot`)
    const over = boxes.slice(at + 1).find((other) => {
      return box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom
    })
    assert.is(over, undefined, `"${box.text}" and "${over?.text}" overlap`)
  }
  assert.not.match(svg, /NaN|Infinity|undefined/)
  return boxes
}

const LONG = 'a name that is much longer than the room for it & <more>'

test('texts of bars do not overlap, also when they are long', () => {
  const bars = [12, 0, 123_456_789, 0.001].map((value) => ({ label: LONG, value }))
  const panel = { title: LONG.repeat(3), bars }
  const boxes = checkTexts(barsSvg([panel, panel]))
  assert.ok(boxes.some(({ text }) => text === '123M'))
  checkTexts(barsSvg([{ title: 'nothing', bars: [] }]))
  checkTexts(barsSvg([{ title: 'zero', bars: [{ label: 'a', value: 0 }] }]))
})

test('texts of lines do not overlap, on both scales', () => {
  const lines = Array.from({ length: 15 }, (_, at) => ({
    name: `${LONG} ${at}`,
    points: [[10, at] as const, [1e9, 5e8] as const]
  }))
  const marks = [{ name: LONG, x: 20 }]
  for (const xScale of ['linear', 'log'] as const) {
    checkTexts(
      linesSvg([
        { title: LONG, xTitle: LONG.repeat(2), xScale, lines, marks },
        { title: '', xTitle: 'x', xScale, lines: [] }
      ])
    )
    const points = [[100, 3] as const]
    checkTexts(linesSvg([{ title: 'one point', xTitle: 'x', xScale, lines: [{ name: 'a', points }] }]))
  }
})

test('a bar is as high as its value on the axis', () => {
  const svg = barsSvg([{ title: 't', bars: [1, 2].map((value) => ({ label: 'a', value })) }])
  const heights = Array.from(svg.matchAll(/<rect x="\S+" y="\S+" width="\S+" height="(\S+)"/g), ([, height]) =>
    Number(height)
  )
  assert.is(heights.length, 2)
  assert.ok(Math.abs(heights[1]! / heights[0]! - 2) < 0.01)
  const top = Number(/y="([\d.]+)" width="\S+" height="[\d.]+" fill="#c4551c"/.exec(svg)?.[1])
  const label = Number(/y="([\d.]+)" text-anchor="end">2</.exec(svg)?.[1])
  assert.ok(Math.abs(top - (label - 4)) < 0.2, `the bar ends at ${top}, the axis has its value at ${label - 4}`)
})

test('ticks are round and reach the largest value', () => {
  assert.equal(roundTicks(10, 5), [0, 2, 4, 6, 8, 10])
  assert.equal(roundTicks(0.3, 3), [0, 0.1, 0.2, 0.3])
  assert.ok(roundTicks(97, 5).at(-1)! >= 97)
  assert.ok(roundTicks(0, 5).at(-1)! > 0)
})

test('numbers are brief, and long texts are cut', () => {
  assert.equal([0, 0.25, 9999, 12_345, 2_500_000].map(brief), ['0', '0.25', '10000', '12.3k', '2.5M'])
  assert.is(fitted('abcdef', textWidth('abc')), 'ab…')
  assert.is(fitted('abc', textWidth('abc')), 'abc')
})

const move = { keysPerSecond: 12_345, mibPerSecond: 11.7, seconds: 20 } as RingdMove

test('the plots of move show what was measured, and nothing else', () => {
  const rounds = [
    { floor: { keysPerSecond: 80_000, mibPerSecond: 79 }, ringd: move, redis: undefined, loaded: undefined }
  ]
  const texts = checkTexts(movePlot(rounds)).map(({ text }) => text)
  assert.ok(texts.includes('floor') && texts.includes('ringd') && texts.includes('11.7'))
  assert.not.ok(texts.includes('redis'))
  const results: SizeResult[] = sizeShapes({ keys: 1e9, valueBytes: 1e9 }).map((size) => ({
    ...size,
    move: size.skipped ? undefined : move
  }))
  const svg = sizesPlot(results)
  assert.is(checkTexts(svg).filter(({ text }) => text === '100k').length, 3)
  assert.is(svg.match(/<circle/g)!.length, 21)
  checkTexts(sizesPlot([]))
})

test('the plot of a load skips seconds without a good answer', () => {
  const latency = { requests: 10, failed: 0, missing: 0 }
  const seconds = Array.from({ length: 60 }, (_, at) => ({
    ...{ ...latency, second: at - 20, mib: at < 20 ? 0 : 11 },
    ...(at === 30 ? { p50Ms: undefined, p99Ms: undefined } : { p50Ms: 2, p99Ms: 30 })
  }))
  const svg = loadPlot({ seconds } as unknown as LoadResult, 25)
  checkTexts(svg)
  const counts = Array.from(svg.matchAll(/<polyline points="([^"]*)"/g), ([, points]) => points!.split(' ').length)
  assert.equal(counts, [59, 59, 60])
})

test.run()
