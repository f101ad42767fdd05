// The house rules for one source file: sizes, headers, words, seams, and which folders it may import from.
// Each message names what to write instead. Rules look at text only; in doubt they accept.
import { type Block, functionBlocks, importsOf, lineAt, resolveImport, type SourceFile } from './source-text.js'

export interface Finding {
  readonly path: string
  /** 0 when the finding is about the file or folder as a whole. */
  readonly line: number
  readonly message: string
}

type Report = (line: number, message: string) => void
type Rule = (file: SourceFile, report: Report, tree: ReadonlyMap<string, SourceFile>) => void

export const FILE_LINES_MAX = 500
/** lib/ holds the protocol. A reader must be able to keep one whole file of it in mind. */
export const LIB_FILE_LINES_MAX = 400
export const FUNCTION_LINES_MAX = 70
export const LINE_LENGTH_MAX = 120
/** The build makes it from wire.proto, so no rule applies. */
export const GENERATED: ReadonlySet<string> = new Set(['lib/network/wire.ts'])

const PURE = /^lib\/(ring|entry|views|detector|anti-entropy)\//
const PURE_PACKAGES = /^(node:(assert|buffer|crypto|util|zlib)|xxhash-wasm|protons-runtime|uint8arrays|uint8arraylist)$/
const ADAPTER = /(^|\/)(level|libp2p[a-z0-9-]*|system-[a-z0-9-]+)\.ts$/
const SEAM_ADAPTER = /^lib\/system-[a-z0-9-]+\.ts$/

/** Built with `+`, so that this file passes its own rule. */
const UNFINISHED = new RegExp(`\\b(${'TO'}${'DO'}|${'FIX'}${'ME'}|${'XX'}${'X'})\\b`, 'g')

/** Words that other systems use, and the word of this project for the same thing. */
const WORDS: ReadonlyArray<readonly [RegExp, string]> = [
  [/coordinator/gi, 'router'],
  [/virtual_?nodes?|vnodes?/gi, 'token'],
  [/shard/gi, 'range'],
  [/epoch/gi, 'view']
]

/** Globals that bypass a seam, and the seam to use instead. */
const GLOBALS: ReadonlyArray<readonly [RegExp, string]> = [
  [/(?<![.\w$#])Date\b(?!\s*[:}])/g, 'Clock.now() of lib/clock.ts'],
  [/(?<![.\w$#])performance\./g, 'Clock.elapsed() of lib/clock.ts'],
  [
    /(?<![.\w$#])(setTimeout|setInterval|setImmediate|queueMicrotask)\b/g,
    'Clock.after(), Clock.defer() or every() of lib/clock.ts'
  ],
  [/\bMath\.random\b/g, 'Random.next() of lib/random.ts'],
  [
    /(?<![\w$#])(randomBytes|randomUUID|randomInt|randomFillSync|getRandomValues)\b/g,
    'Random.bytes() of lib/random.ts'
  ],
  [/(?<![.\w$#])process\s*[.[]/g, 'an option that daemon/ fills in'],
  [/(?<![.\w$#])console\./g, 'Logger of lib/logger.ts'],
  [/(?<![.\w$#])globalThis\b/g, 'a seam (Clock, Random, Logger)']
]

/** Folders that a folder must not import from, and the remedy. Types count: they also tie the folders together. */
const FORBIDDEN: ReadonlyArray<readonly [from: RegExp, to: RegExp, remedy: string]> = [
  [/^lib\/runtime\//, /^lib\/(actors|node)\//, 'the runtime serves every actor and knows none; pass it in'],
  [/^lib\/actors\//, /^lib\/node\//, 'the node builds the actors; take it in the constructor'],
  [
    /^lib\/((network|storage)\/|[^/]+\.ts$)/,
    /^lib\/(actors|node)\//,
    'seams and adapters lie below the actors; move what both need into the seam or into a pure folder'
  ]
]

/** Built-in modules that only some folders of lib/ may use. */
const MODULES: ReadonlyArray<readonly [RegExp, RegExp | undefined, string]> = [
  [/^node:fs(\/promises)?$/, /^lib\/storage\//, 'a seam with its adapter in lib/storage/'],
  [/^node:(net|tls|http|https|http2|dgram|dns)(\/promises)?$/, /^lib\/network\//, 'Network of lib/network/network.ts'],
  [/^node:timers(\/promises)?$/, undefined, 'Clock of lib/clock.ts'],
  [/^node:perf_hooks$/, undefined, 'Clock.elapsed() of lib/clock.ts'],
  [/^node:(process|child_process)$/, undefined, 'an option that daemon/ fills in']
]

const sizes: Rule = (file, report) => {
  const lines = file.text.replace(/\n$/, '').split('\n')
  const linesMax = file.path.startsWith('lib/') ? LIB_FILE_LINES_MAX : FILE_LINES_MAX
  if (lines.length > linesMax) {
    report(0, `${lines.length} lines, the limit is ${linesMax}; move one part into a file of its own, named after it`)
  }
  for (const [index, line] of lines.entries()) {
    if (line.length > LINE_LENGTH_MAX) report(index + 1, `${line.length} columns; wrap it at ${LINE_LENGTH_MAX}`)
  }
  for (const block of functionBlocks(file)) {
    if (block.length > FUNCTION_LINES_MAX && !holdsSuite(file, block)) {
      report(block.line, `a function of ${block.length} lines; name its steps, ${FUNCTION_LINES_MAX} is the limit`)
    }
  }
}

/** A conformance suite is one long function of short tests, so the limit does not apply to it. */
function holdsSuite(file: SourceFile, block: Block): boolean {
  if (!file.path.startsWith('test/')) return false
  const lines = file.code.split('\n').slice(block.line, block.line + block.length)
  return lines.some((line) => /(?<![.\w])(suite(<|\()|test\()/.test(line))
}

const header: Rule = (file, report) => {
  const first = file.text.replace(/^#!.*\n/, '').trimStart()
  if (!/^(\/\/|\/\*)/.test(first)) report(1, 'no header comment; say what the file owns and what it must not do')
}

const words: Rule = (file, report) => {
  for (const match of file.text.matchAll(UNFINISHED)) {
    report(lineAt(file.text, match.index), `${match[0]}; finish it, or describe the limitation in README.md`)
  }
  for (const match of file.code.matchAll(/\.only\s*\(/g)) {
    report(lineAt(file.code, match.index), '.only( silences the other tests; remove it')
  }
  for (const [pattern, replacement] of WORDS) {
    for (const match of file.code.matchAll(pattern)) {
      report(lineAt(file.code, match.index), `"${match[0]}" is not a word of this project; say "${replacement}"`)
    }
  }
}

const seams: Rule = (file, report) => {
  if (!file.path.startsWith('lib/') || SEAM_ADAPTER.test(file.path)) return
  for (const [pattern, replacement] of GLOBALS) {
    for (const match of file.code.matchAll(pattern)) {
      const name = match[0].replace(/\s*[.[]$/, '')
      report(lineAt(file.code, match.index), `${name} bypasses a seam; use ${replacement}`)
    }
  }
  for (const { line, specifier, typeOnly } of importsOf(file)) {
    for (const [module, home, replacement] of MODULES) {
      if (typeOnly || !module.test(specifier) || home?.test(file.path)) continue
      report(line, `${specifier} bypasses a seam; use ${replacement}`)
    }
  }
}

const errors: Rule = (file, report) => {
  if (!/^(lib|daemon)\//.test(file.path)) return
  for (const match of file.code.matchAll(/\bnew (Type|Range)?Error\(/g)) {
    report(lineAt(file.code, match.index), 'an error without a code; use RingdError with a code of lib/errors.ts')
  }
}

const packages: Rule = (file, report) => {
  if (file.path.startsWith('test/')) return
  for (const { line, specifier } of importsOf(file)) {
    if (specifier === 'classic-level' && file.path !== 'lib/storage/level.ts') {
      report(line, 'classic-level is imported in lib/storage/level.ts alone; use Store of lib/storage/store.ts')
    }
    if (/^(libp2p|@libp2p\/.+|@chainsafe\/.+)$/.test(specifier) && !file.path.startsWith('lib/network/')) {
      report(line, `${specifier} is imported in lib/network/ alone; use what that folder exports`)
    }
  }
}

const directions: Rule = (file, report) => {
  for (const { line, specifier, typeOnly } of importsOf(file)) {
    const target = resolveImport(file.path, specifier)
    if (target !== undefined && file.path.startsWith('lib/') && !target.startsWith('lib/')) {
      report(line, `lib/ imports ${target}; let the caller pass it in`)
    }
    if (target !== undefined && file.path.startsWith('daemon/') && /^(scripts|test)\//.test(target)) {
      report(line, `daemon/ imports ${target}; move it to lib/`)
    }
    for (const [from, to, remedy] of FORBIDDEN) {
      if (target !== undefined && from.test(file.path) && to.test(target)) report(line, `imports ${target}; ${remedy}`)
    }
    if (PURE.test(file.path)) checkPure(line, specifier, target, report)
    if (file.path.startsWith('lib/actors/') && target !== undefined && !typeOnly && ADAPTER.test(target)) {
      report(line, `an actor imports the adapter ${target}; take its interface in the constructor`)
    }
  }
}

function checkPure(line: number, specifier: string, target: string | undefined, report: Report): void {
  if (target === undefined) {
    if (!PURE_PACKAGES.test(specifier)) report(line, `a pure folder imports ${specifier}; take the data as an argument`)
    return
  }
  const fine = PURE.test(target) || GENERATED.has(target) || (/^lib\/[^/]+\.ts$/.test(target) && !ADAPTER.test(target))
  if (!fine) report(line, `a pure folder imports ${target}; take the data as an argument`)
}

/** An actor uses another one through its messages and its ref, so it may import the class as a type only. */
const actorClasses: Rule = (file, report, tree) => {
  if (!file.path.startsWith('lib/actors/')) return
  for (const { line, specifier, names } of importsOf(file)) {
    const target = resolveImport(file.path, specifier)
    if (target === undefined || !target.startsWith('lib/actors/')) continue
    for (const name of names) {
      const isActor = new RegExp(`^export class ${name}\\b[^{]*\\bimplements\\s+Actor\\b`, 'm')
      if (isActor.test(tree.get(target)?.code ?? ''))
        report(line, `an actor imports the class ${name}; use import type and a ref`)
    }
  }
}

/** Other folders may use an actor's main file, its messages and its client, so its inner parts can change freely. */
const insides: Rule = (file, report, tree) => {
  if (/^(lib\/node|test)\//.test(file.path)) return
  for (const { line, specifier } of importsOf(file)) {
    const target = resolveImport(file.path, specifier)
    const actor = /^lib\/actors\/([^/]+)\//.exec(target ?? '')?.[1]
    if (target === undefined || actor === undefined) continue
    if (file.path.startsWith(`lib/actors/${actor}/`) || isFace(actor, target)) continue
    const faces = [...tree.keys()].filter((path) => path.startsWith(`lib/actors/${actor}/`) && isFace(actor, path))
    const names = faces.map((path) => path.slice(path.lastIndexOf('/') + 1)).join(', ')
    report(line, `imports ${target}, an inner part of ${actor}; import its messages or client instead (${names})`)
  }
}

function isFace(actor: string, path: string): boolean {
  return path === `lib/actors/${actor}/${actor}.ts` || /-(messages|client)\.ts$/.test(path)
}

const RULES = [sizes, header, words, seams, errors, packages, directions, actorClasses, insides]

/** Every rule that one file can break. */
export function checkFile(file: SourceFile, tree: ReadonlyMap<string, SourceFile>): Finding[] {
  if (GENERATED.has(file.path)) return []
  const findings: Finding[] = []
  const report: Report = (line, message) => findings.push({ path: file.path, line, message })
  for (const rule of RULES) rule(file, report, tree)
  return findings
}
