// Parses times to live that users type, and prints the remaining time. Pure.
import { InvalidArgumentError } from 'commander'

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** A thousand years. A value that must live longer needs no time to live. */
const TTL_MS_MAX = 365_000 * 86_400_000

/** `90`, `90s`, `500ms`, `10m`, `2h` or `7d` in ms. Throws InvalidArgumentError. */
export function parseTtl(text: string): number {
  const [, digits = '', unit = 's'] = /^(\d{1,15})(ms|s|m|h|d)?$/.exec(text) ?? []
  const ms = Number(digits) * UNITS_MS[unit]!
  if (ms >= 1 && ms <= TTL_MS_MAX) return ms
  throw new InvalidArgumentError('Expected seconds, or a number with ms, s, m, h or d, such as 500ms or 2h.')
}

/** 93 784 000 -> '1d 2h 3m 4s'. Below a minute it shows the ms: '4.050s', '50ms'. */
export function humanDuration(ms: number): string {
  if (ms < 1000) return `${ms}ms`
  if (ms < UNITS_MS['m']!) return `${(ms / 1000).toFixed(3)}s`
  const parts: string[] = []
  let rest = ms
  for (const unit of ['d', 'h', 'm', 's']) {
    const count = Math.floor(rest / UNITS_MS[unit]!)
    rest -= count * UNITS_MS[unit]!
    if (count > 0) parts.push(`${count}${unit}`)
  }
  return parts.join(' ')
}
