// Reads TypeScript as text for the house rules: it separates code from comments and strings, and finds imports.
// It is not a parser. It relies on biome's layout: a block ends at the first brace that is indented as its first line.

export interface SourceFile {
  /** Relative to the root, with forward slashes. */
  readonly path: string
  readonly text: string
  /** The text with comments and the insides of strings blanked; same length, same lines. */
  readonly code: string
  /** The text with comments blanked. */
  readonly uncommented: string
}

export interface Import {
  readonly line: number
  /** As written: './ring.js', 'node:fs', 'pino'. */
  readonly specifier: string
  /** `import type` or `export type`: the compiled code does not import it. */
  readonly typeOnly: boolean
  /** Names that are imported as values; empty for a namespace or a bare import. */
  readonly names: readonly string[]
}

export function readSource(path: string, text: string): SourceFile {
  return { path, text, code: blank(text, true), uncommented: blank(text, false) }
}

/** The number of the line that holds this offset; the first line has number 1. */
export function lineAt(text: string, offset: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line++
  return line
}

const TOKENS = new RegExp(
  [
    String.raw`\/\/[^\n]*`,
    String.raw`\/\*[\s\S]*?\*\/`,
    String.raw`'(?:\\.|[^'\\\n])*'`,
    String.raw`"(?:\\.|[^"\\\n])*"`,
    '`(?:\\\\[\\s\\S]|[^`\\\\])*`',
    // A regular expression: a slash where a value may begin. Elsewhere a slash divides.
    String.raw`(?<=[(,=:[!&|?{;]\s*|^\s*|\breturn\s+)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\/`
  ].join('|'),
  'gm'
)

function blank(text: string, strings: boolean): string {
  return text.replace(TOKENS, (token) => {
    const comment = token.startsWith('//') || token.startsWith('/*')
    if (comment) return token.replace(/[^\n]/g, ' ')
    if (!strings) return token
    if (token.startsWith('`')) return blankTemplate(token)
    return token[0] + token.slice(1, -1).replace(/[^\n]/g, ' ') + token.at(-1)
  })
}

/** Keeps the text in `${}`, because it is code. */
function blankTemplate(token: string): string {
  return token.replace(/\$\{[^{}`]*\}|[^\n`]/g, (part) => (part.startsWith('${') ? part : ' '))
}

export function importsOf(source: SourceFile): Import[] {
  const found: Import[] = []
  const statement = /^(?:import|export)\s+(?:(type)\s+)?(?:([^'";]*?)\s*\bfrom\s+)?['"]([^'"\n]+)['"]/gm
  for (const match of source.uncommented.matchAll(statement)) {
    const [, type, clause = '', specifier = ''] = match
    found.push({
      line: lineAt(source.text, match.index),
      specifier,
      typeOnly: type === 'type',
      names: type === 'type' ? [] : valueNames(clause)
    })
  }
  for (const match of source.uncommented.matchAll(/\bimport\(\s*['"]([^'"\n]+)['"]\s*\)/g)) {
    found.push({ line: lineAt(source.text, match.index), specifier: match[1] ?? '', typeOnly: false, names: [] })
  }
  return found
}

function valueNames(clause: string): string[] {
  const braces = /\{([^}]*)\}/.exec(clause)?.[1] ?? ''
  return braces
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '' && !part.startsWith('type '))
    .map((part) => part.split(/\s+as\s+/)[0] ?? part)
}

/** The path in the tree of the `.ts` file that a relative import names; undefined for packages. */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  const parts = from.split('/').slice(0, -1)
  for (const step of specifier.split('/')) {
    if (step === '..') parts.pop()
    else if (step !== '.') parts.push(step)
  }
  return parts.join('/').replace(/\.js$/, '.ts')
}

export interface Block {
  readonly line: number
  readonly length: number
}

/** Bodies of functions (and of loops and branches, which lie within functions), by their first line. */
export function functionBlocks(source: SourceFile): Block[] {
  const lines = source.code.split('\n')
  const blocks: Block[] = []
  for (const [index, line] of lines.entries()) {
    if (!/(?:\)|=>|\)\s*:\s.+)\s*\{$/.test(line)) continue
    const indent = /^\s*/.exec(line)?.[0] ?? ''
    const end = lines.findIndex((later, at) => at > index && later.startsWith(`${indent}}`))
    if (end !== -1) blocks.push({ line: index + 1, length: end - index + 1 })
  }
  return blocks
}
