// Splits an inline request into arguments by the quoting rules of Redis. Pure.
// Double quotes know \n \r \t \b \a \xHH \" \\, and any other escaped byte stands for itself. Single quotes know only
// \'. A closing quote must end its argument. Source: Redis 7 (sds.c, sdssplitargs).

const SPACE = 32
const DOUBLE = 34
const SINGLE = 39
const BACKSLASH = 92
const LETTER_X = 120

const ESCAPES = new Map([
  [110, 10],
  [114, 13],
  [116, 9],
  [98, 8],
  [97, 7]
])

/**
 * Returns copies of the arguments; none for an empty line. Returns undefined when a quote is not closed, or when no
 * space follows a closing quote. O(n).
 */
export function splitInline(line: Buffer): Buffer[] | undefined {
  const args: Buffer[] = []
  const scratch = Buffer.allocUnsafe(line.length)
  let at = 0
  for (;;) {
    while (at < line.length && isSpace(line[at])) at++
    if (at >= line.length) return args
    let length = 0
    while (at < line.length && !isSpace(line[at])) {
      const byte = line[at]!
      if (byte !== DOUBLE && byte !== SINGLE) {
        scratch[length++] = byte
        at++
        continue
      }
      const end = readQuoted(line, at, scratch, length)
      if (end === undefined) return undefined
      length = end.length
      at = end.at
      if (at < line.length && !isSpace(line[at])) return undefined
    }
    args.push(Buffer.from(scratch.subarray(0, length)))
  }
}

/** Reads the quoted text that opens at `at` into `scratch` from `length` on. Undefined: the quote is not closed. */
function readQuoted(
  line: Buffer,
  at: number,
  scratch: Buffer,
  length: number
): { at: number; length: number } | undefined {
  const quote = line[at]
  at++
  while (at < line.length) {
    const byte = line[at]!
    if (byte === quote) return { at: at + 1, length }
    const next = line[at + 1]
    if (byte !== BACKSLASH || next === undefined || (quote === SINGLE && next !== SINGLE)) {
      scratch[length++] = byte
      at++
      continue
    }
    const hex = quote === DOUBLE && next === LETTER_X ? hexByte(line[at + 2], line[at + 3]) : undefined
    scratch[length++] = hex ?? (quote === DOUBLE ? (ESCAPES.get(next) ?? next) : next)
    at += hex === undefined ? 2 : 4
  }
  return undefined
}

/** The bytes of isspace in C, and NUL, which ends a line in Redis. */
function isSpace(byte: number | undefined): boolean {
  return byte === SPACE || byte === 0 || (byte !== undefined && byte >= 9 && byte <= 13)
}

function hexByte(high: number | undefined, low: number | undefined): number | undefined {
  const text = String.fromCharCode(high ?? 0, low ?? 0)
  return /^[0-9a-fA-F]{2}$/.test(text) ? Number.parseInt(text, 16) : undefined
}
