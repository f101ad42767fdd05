// Plots as SVG text: bars, and lines over a linear or logarithmic axis. Pure. No two texts overlap: each kind of text
// has room of its own, and a text that is longer than its room is cut. The widths of texts are estimates, on the safe
// side.

export interface Bar {
  readonly label: string
  readonly value: number
}

export interface BarPanel {
  readonly title: string
  readonly bars: readonly Bar[]
}

export interface Line {
  readonly name: string
  /** Ascending x. At most COLORS lines have different colours. */
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

/** A moment or place on the x axis, drawn as a dashed line; its text stands in the legend. */
export interface Mark {
  readonly name: string
  readonly x: number
}

export interface LinePanel {
  readonly title: string
  readonly xTitle: string
  readonly xScale: 'linear' | 'log'
  readonly lines: readonly Line[]
  readonly marks?: readonly Mark[]
}

const FONT = 12
/** No character of the font is wider on average. */
const CHAR_WIDTH = 0.62 * FONT
const ROW = 18
const COLORS = ['#1f5fa8', '#c4551c', '#3c8a3f', '#7b4aa0', '#8a6d1a', '#5a5a5a']
const PANEL = { width: 460, height: 220, left: 70, legend: 190, gap: 30, top: 34, bottom: 46 }
const X_TICKS = 6
const Y_TICKS = 5

type Anchor = 'start' | 'middle' | 'end'

/** The width that a text takes at most. */
export function textWidth(text: string): number {
  return text.length * CHAR_WIDTH
}

/** The text, or its beginning and an ellipsis when it is wider than `width`. */
export function fitted(text: string, width: number): string {
  const chars = Math.max(1, Math.floor(width / CHAR_WIDTH))
  return text.length <= chars ? text : `${text.slice(0, chars - 1)}…`
}

/** 0 and up to `count` further round numbers, of which the last is at least `max`. `max` > 0. */
export function roundTicks(max: number, count: number): number[] {
  const least = (max > 0 ? max : 1) / count
  const power = 10 ** Math.floor(Math.log10(least))
  // The tolerance lets 0.3 / 0.1 count as 3.
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= least * (1 - 1e-9))!
  const steps = Math.ceil((max > 0 ? max : 1) / step - 1e-9)
  return Array.from({ length: steps + 1 }, (_, at) => Number((at * step).toPrecision(12)))
}

/** A number in few characters: `12k`, `3.5M`, `0.25`. */
export function brief(value: number): string {
  const [divisor, unit] = Math.abs(value) >= 1e6 ? [1e6, 'M'] : Math.abs(value) >= 1e4 ? [1e3, 'k'] : [1, '']
  return `${Number((value / divisor).toPrecision(3))}${unit}`
}

/** Panels beside each other, a bar for each side, with its value above it. */
export function barsSvg(panels: readonly BarPanel[]): string {
  const parts = panels.map((panel, at) => shifted(at * (PANEL.width + PANEL.gap), 0, barPanel(panel)))
  return svg(panels.length * (PANEL.width + PANEL.gap), panelHeight(), parts)
}

/** Panels below each other, with their legends on the right. */
export function linesSvg(panels: readonly LinePanel[]): string {
  const heights = panels.map((panel) => Math.max(panelHeight(), PANEL.top + legendNames(panel).length * ROW + ROW))
  const tops = heights.map((_, at) => heights.slice(0, at).reduce((sum, height) => sum + height, 0))
  const parts = panels.map((panel, at) => shifted(0, tops[at]!, linePanel(panel)))
  const height = heights.reduce((sum, each) => sum + each, 0)
  return svg(PANEL.width + PANEL.legend + PANEL.gap, height, parts)
}

function panelHeight(): number {
  return PANEL.top + PANEL.height + PANEL.bottom
}

function barPanel({ title, bars }: BarPanel): string {
  const room = (PANEL.width - PANEL.left) / Math.max(1, bars.length)
  const ticks = roundTicks(Math.max(0, ...bars.map(({ value }) => value)) * 1.1, Y_TICKS)
  const y = toY(ticks)
  const drawn = bars.map(({ label, value }, at) => {
    const middle = PANEL.left + (at + 0.5) * room
    const [width, bottom] = [Math.min(90, room * 0.6), y(0)]
    const color = COLORS[at % COLORS.length]
    const [left, height] = [middle - width / 2, bottom - y(value)]
    return [
      `<rect x="${n(left)}" y="${n(y(value))}" width="${n(width)}" height="${n(height)}" fill="${color}"/>`,
      text(middle, y(value) - 5, 'middle', fitted(brief(value), room)),
      text(middle, bottom + ROW, 'middle', fitted(label, room))
    ].join('')
  })
  return [text(PANEL.left, 18, 'start', fitted(title, PANEL.width - PANEL.left), true), yAxis(ticks, y), ...drawn].join(
    ''
  )
}

function linePanel(panel: LinePanel): string {
  const { title, xTitle, lines } = panel
  const marks = panel.marks ?? []
  const points = lines.flatMap((line) => line.points)
  const ticks = roundTicks(Math.max(0, ...points.map(([, y]) => y)), Y_TICKS)
  const xs = [...points.map(([x]) => x), ...marks.map(({ x }) => x)]
  const [x, y] = [toX(panel.xScale, xs), toY(ticks)]
  const bottom = PANEL.top + PANEL.height
  const drawnLines = lines.map((line, at) => {
    const path = line.points.map(([px, py]) => `${n(x.place(px))},${n(y(py))}`).join(' ')
    const color = COLORS[at % COLORS.length]
    const dots = line.points.length > 12 ? [] : line.points.map(([px, py]) => dot(x.place(px), y(py), color!))
    return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>${dots.join('')}`
  })
  const drawnMarks = marks.map((mark, at) => {
    return rule(x.place(mark.x), PANEL.top, x.place(mark.x), bottom, markColor(at), '5 4')
  })
  const xTicks = x.ticks.map((tick) => text(x.place(tick), bottom + ROW, 'middle', brief(tick)))
  return [
    text(PANEL.left, 18, 'start', fitted(title, PANEL.width - PANEL.left), true),
    yAxis(ticks, y),
    ...xTicks,
    text((PANEL.left + PANEL.width) / 2, bottom + 2 * ROW, 'middle', fitted(xTitle, PANEL.width - PANEL.left)),
    ...drawnLines,
    ...drawnMarks,
    ...legend(panel)
  ].join('')
}

/** Marks take their colours from the other end, so that they look alike in panels with different numbers of lines. */
function markColor(at: number): string {
  return COLORS[COLORS.length - 1 - (at % COLORS.length)]!
}

function legendNames({ lines, marks }: LinePanel): string[] {
  return [...lines, ...(marks ?? [])].map(({ name }) => name)
}

function legend(panel: LinePanel): string[] {
  const left = PANEL.width + PANEL.gap / 2
  return legendNames(panel).map((name, at) => {
    const y = PANEL.top + at * ROW + FONT
    const markAt = at - panel.lines.length
    const [color, dashes] = markAt < 0 ? [COLORS[at % COLORS.length]!, ''] : [markColor(markAt), '5 4']
    const line = rule(left, y - 4, left + 22, y - 4, color, dashes)
    return `${line}${text(left + 28, y, 'start', fitted(name, PANEL.legend - 28))}`
  })
}

function yAxis(ticks: readonly number[], y: (value: number) => number): string {
  const lines = ticks.map((tick) => rule(PANEL.left, y(tick), PANEL.width, y(tick), tick === 0 ? '#333' : '#ddd', ''))
  const labels = ticks.map((tick) => text(PANEL.left - 6, y(tick) + 4, 'end', fitted(brief(tick), PANEL.left - 6)))
  return [...lines, ...labels].join('')
}

function toY(ticks: readonly number[]): (value: number) => number {
  const max = ticks.at(-1)!
  return (value) => PANEL.top + PANEL.height * (1 - value / max)
}

interface XAxis {
  readonly ticks: readonly number[]
  place(value: number): number
}

/** A logarithmic axis has its ticks at the powers of ten, at most X_TICKS of them. All its values are above 0. */
function toX(scale: 'linear' | 'log', values: readonly number[]): XAxis {
  const of = (value: number) => (scale === 'log' ? Math.log10(value) : value)
  const known = values.length === 0 ? [scale === 'log' ? 1 : 0] : values
  const [low, high] = [Math.min(...known.map(of)), Math.max(...known.map(of))]
  const [first, span] = high > low ? [low, high - low] : [low - 0.5, 1]
  // The first and the last tick keep away from the ends, where their texts would leave the panel.
  const place = (value: number) => PANEL.left + 14 + ((PANEL.width - PANEL.left - 28) * (of(value) - first)) / span
  const step = scale === 'log' ? Math.max(1, Math.ceil(span / X_TICKS)) : roundTicks(span, X_TICKS)[1]!
  const start = Math.ceil(first / step - 1e-9)
  const count = Math.floor((first + span) / step + 1e-9) - start + 1
  const steps = Array.from({ length: Math.max(0, count) }, (_, at) => Number(((start + at) * step).toPrecision(12)))
  return { ticks: steps.map((each) => (scale === 'log' ? 10 ** each : each)), place }
}

function svg(width: number, height: number, parts: readonly string[]): string {
  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`
  const head = `<svg xmlns="http://www.w3.org/2000/svg" ${size}`
  const font = `font-family="sans-serif" font-size="${FONT}" fill="#222"`
  return `${head} ${font}>\n<rect width="${width}" height="${height}" fill="#fff"/>\n${parts.join('\n')}\n</svg>\n`
}

function shifted(x: number, y: number, content: string): string {
  return `<g transform="translate(${n(x)} ${n(y)})">${content}</g>`
}

function text(x: number, y: number, anchor: Anchor, content: string, isBold = false): string {
  const weight = isBold ? ' font-weight="bold"' : ''
  return `<text x="${n(x)}" y="${n(y)}" text-anchor="${anchor}"${weight}>${escaped(content)}</text>`
}

function rule(x1: number, y1: number, x2: number, y2: number, color: string, dashes: string): string {
  const dashed = dashes === '' ? '' : ` stroke-dasharray="${dashes}"`
  return `<line x1="${n(x1)}" y1="${n(y1)}" x2="${n(x2)}" y2="${n(y2)}" stroke="${color}"${dashed}/>`
}

function dot(x: number, y: number, color: string): string {
  return `<circle cx="${n(x)}" cy="${n(y)}" r="3" fill="${color}"/>`
}

function n(value: number): string {
  return String(Number(value.toFixed(1)))
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
