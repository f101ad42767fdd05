// Prints text in columns, for people. Pure.
import { stripVTControlCharacters } from 'node:util'

export type Align = 'left' | 'right'

/** Rows under their heads, with two spaces between columns and none at the end. Colour codes have no width. */
export function table(
  heads: readonly string[],
  rows: ReadonlyArray<readonly string[]>,
  align: readonly Align[]
): string {
  const all = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ''))))
  return all
    .map((row) => row.map((cell, column) => pad(cell, widths[column] ?? 0, align[column] ?? 'left')).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

function width(cell: string): number {
  return stripVTControlCharacters(cell).length
}

function pad(cell: string, to: number, align: Align): string {
  const space = ' '.repeat(Math.max(0, to - width(cell)))
  return align === 'left' ? cell + space : space + cell
}

/** 1536 -> '1.5 KiB'. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let amount = bytes
  let unit = 0
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024
    unit++
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`
}
