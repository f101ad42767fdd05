// `node dist/scripts/tidy.js [root]`: checks the house rules over the whole tree and prints a line for each finding.
// Owns the walk and the rules about folders and names. tidy-rules.ts has the rules for one file, readme-rules.ts those
// for READMEs, and import-graph.ts finds import circles.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ImportGraph, importCircles } from './import-graph.js'
import { checkCitations, checkListed, checkNamed } from './readme-rules.js'
import { importsOf, readSource, resolveImport, type SourceFile } from './source-text.js'
import { checkFile, type Finding, GENERATED } from './tidy-rules.js'

const FOLDERS = ['daemon', 'lib', 'scripts', 'test']
const TOP_LEVEL_FILES =
  /^(package(-lock)?\.json|tsconfig\.json|biome\.json|(README|CONTRIBUTING|SECURITY)\.md|LICENSE|\..+)$/
const TOP_LEVEL_FOLDERS = /^(daemon|lib|scripts|test|dist|node_modules|coverage|\..+)$/
const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*$/
/** Old bytes that tests read. They stay as they were written, so no rule applies to their names and contents. */
const EVIDENCE = 'test/fixtures'

interface Tree {
  readonly sources: Map<string, SourceFile>
  /** The text of every .md file, by path. */
  readonly documents: Map<string, string>
}

/** Every finding in the tree under `root`, by path. Reads all sources and documents once. */
export function tidy(root: string): Finding[] {
  const tree: Tree = { sources: new Map(), documents: new Map() }
  const findings = checkTopLevel(root, tree)
  for (const folder of FOLDERS) {
    if (existsSync(join(root, folder))) findings.push(...walk(root, folder, tree))
  }
  for (const file of tree.sources.values()) findings.push(...checkFile(file, tree.sources))
  findings.push(...checkCircles(tree.sources), ...checkDocuments(tree))
  return findings.sort((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1))
}

function checkTopLevel(root: string, tree: Tree): Finding[] {
  const findings: Finding[] = []
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    const known = TOP_LEVEL_FOLDERS.test(entry.name) || (!entry.isDirectory() && TOP_LEVEL_FILES.test(entry.name))
    if (known && entry.name.endsWith('.md'))
      tree.documents.set(entry.name, readFileSync(join(root, entry.name), 'utf8'))
    if (!known) findings.push({ path: entry.name, line: 0, message: `move it into one of ${FOLDERS.join(', ')}` })
  }
  return findings
}

function walk(root: string, folder: string, tree: Tree): Finding[] {
  if (folder === EVIDENCE) return []
  const findings: Finding[] = []
  const entries = readdirSync(join(root, folder), { withFileTypes: true })
  const needsReadme = FOLDERS.includes(folder) || /^lib\/[^/]+$/.test(folder)
  if (needsReadme && !entries.some((entry) => entry.name === 'README.md')) {
    findings.push({
      path: folder,
      line: 0,
      message: 'no README.md; write one that says what the folder is for and lists its files'
    })
  }
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`
    if (entry.name !== 'README.md' && !KEBAB.test(entry.name)) {
      findings.push({ path, line: 0, message: 'name it in kebab-case, like entry-codec.ts' })
    }
    if (entry.isDirectory()) findings.push(...walk(root, path, tree))
    else if (entry.name.endsWith('.ts'))
      tree.sources.set(path, readSource(path, readFileSync(join(root, path), 'utf8')))
    else if (entry.name.endsWith('.md')) tree.documents.set(path, readFileSync(join(root, path), 'utf8'))
  }
  return findings
}

function checkCircles(tree: ReadonlyMap<string, SourceFile>): Finding[] {
  return importCircles(importGraph(tree)).map(({ line, files }) => {
    const message = `an import circle: ${files.join(' -> ')}; move the shared type into a file of its own`
    return { path: files[0] ?? '', line, message }
  })
}

function importGraph(tree: ReadonlyMap<string, SourceFile>): ImportGraph {
  const graph = new Map<string, Array<{ to: string; line: number }>>()
  for (const file of tree.values()) {
    if (GENERATED.has(file.path)) continue
    const edges = importsOf(file).map(({ specifier, line }) => ({
      to: resolveImport(file.path, specifier) ?? '',
      line
    }))
    graph.set(
      file.path,
      edges.filter(({ to }) => tree.has(to) && !GENERATED.has(to))
    )
  }
  return graph
}

function checkDocuments({ sources, documents }: Tree): Finding[] {
  const texts = new Map([...documents, ...[...sources].map(([path, file]) => [path, file.text] as const)])
  return [
    ...checkListed(sources.keys(), documents),
    ...checkNamed(sources.keys(), documents),
    ...checkCitations(texts, documents)
  ]
}

if (import.meta.main) {
  const findings = tidy(process.argv[2] ?? process.cwd())
  for (const { path, line, message } of findings) console.log(`${path}${line > 0 ? `:${line}` : ''}  ${message}`)
  console.log(findings.length === 0 ? 'tidy: no findings' : `tidy: ${findings.length} findings`)
  process.exitCode = findings.length === 0 ? 0 : 1
}
