// Matches the glob patterns of Redis: `*` `?` `[a-z]` `[^a]` `\x`. Pure. The time is at most the length of the pattern
// times the length of the text. So callers refuse patterns above PATTERN_BYTES_MAX, and the texts are their own.

/** No name that a pattern may match is longer. */
export const PATTERN_BYTES_MAX = 256

/** Whether the whole `text` matches `pattern`. Ignores case. */
export function matchGlob(pattern: string, text: string): boolean {
  const glob = pattern.toLowerCase()
  const subject = text.toLowerCase()
  let g = 0
  let s = 0
  let star = -1
  let starText = 0
  while (s < subject.length) {
    if (glob[g] === '*') {
      star = g++
      starText = s
      continue
    }
    const after = g < glob.length ? matchOne(glob, g, subject[s]!) : undefined
    if (after !== undefined) {
      g = after
      s++
    } else if (star >= 0) {
      g = star + 1
      s = ++starText
    } else return false
  }
  while (glob[g] === '*') g++
  return g === glob.length
}

/** The position behind the pattern element at `at` when it matches `char`, else undefined. */
function matchOne(glob: string, at: number, char: string): number | undefined {
  if (glob[at] === '?') return at + 1
  if (glob[at] === '[') return matchClass(glob, at + 1, char)
  const literal = glob[at] === '\\' && at + 1 < glob.length ? at + 1 : at
  return glob[literal] === char ? literal + 1 : undefined
}

function matchClass(glob: string, at: number, char: string): number | undefined {
  const negated = glob[at] === '^'
  if (negated) at++
  let found = false
  while (at < glob.length && glob[at] !== ']') {
    if (glob[at] === '\\' && at + 1 < glob.length) at++
    const low = glob[at]!
    let high = low
    if (glob[at + 1] === '-' && at + 2 < glob.length) {
      high = glob[at + 2]!
      at += 2
    }
    if ((char >= low && char <= high) || (char >= high && char <= low)) found = true
    at++
  }
  return found === negated ? undefined : Math.min(at + 1, glob.length)
}
