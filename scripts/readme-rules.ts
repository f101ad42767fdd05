// The house rules about documents: a README names every file of its folder and no file that is missing, and a cited
// protocol rule exists. Pure: it gets paths and texts. Rules look at text only.
import { lineAt } from './source-text.js'
import { type Finding, GENERATED } from './tidy-rules.js'

/** Texts by path. */
type Texts = ReadonlyMap<string, string>

/** Where the protocol rules are numbered: `4. **Fence.** ...`. */
const RULES_README = 'lib/views/README.md'

/** Every source file is named in the nearest README.md. Generated files may be left out: a fresh clone lacks them. */
export function checkListed(sources: Iterable<string>, documents: Texts): Finding[] {
  const findings: Finding[] = []
  for (const path of sources) {
    const readme = nearestReadme(path, documents)
    if (GENERATED.has(path) || readme === undefined) continue
    const name = path.slice(path.lastIndexOf('/') + 1)
    const named = new RegExp(`(?<![\\w.-])${name.replaceAll('.', '\\.')}(?![\\w-])`)
    if (named.test(documents.get(readme) ?? '')) continue
    findings.push({ path, line: 0, message: `name it in ${readme}, with what it is for` })
  }
  return findings
}

/** In the file's folder, or in the first folder above it that has one; the top level does not count. */
function nearestReadme(path: string, documents: Texts): string | undefined {
  for (let folder = parent(path); folder !== ''; folder = parent(folder)) {
    if (documents.has(`${folder}/README.md`)) return `${folder}/README.md`
  }
  return undefined
}

function parent(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0))
}

/** A block between fences, or a span, which ends in its paragraph. */
const CODE = /```[\s\S]*?```|`(?:[^`\n]|\n(?!\s*\n))+`/g

/** Every `name.ts` in backticks, also with folders before it, is the end of the path of a source file. */
export function checkNamed(sources: Iterable<string>, documents: Texts): Finding[] {
  const paths = [...sources, ...GENERATED].map((path) => `/${path}`)
  const findings: Finding[] = []
  for (const [path, text] of documents) {
    for (const span of text.matchAll(CODE)) {
      // Not `*-messages.ts` or `<actor>.ts`: these are patterns.
      for (const match of span[0].matchAll(/(?<![\w*{}<>./-])(?:\.{1,2}\/)*(\w[\w./-]*\.ts)(?![\w*-])/g)) {
        if (paths.some((known) => known.endsWith(`/${match[1]}`))) continue
        const line = lineAt(text, span.index + match.index)
        findings.push({ path, line, message: `${match[0]}: no such file any more; name the file that does this now` })
      }
    }
  }
  return findings
}

/** A blank, or the end of a line with the mark of a comment on the next one. */
const GAP = String.raw`(?:[ \t]*\n[ \t]*(?:\/\/|\*)?[ \t]*|[ \t]+)`
const CITATION = new RegExp(
  String.raw`\brules?${GAP}(\d+(?:(?:,|${GAP}(?:and|or|to))${GAP}\d+|-\d+)*)${GAP}of${GAP}(?:` +
    String.raw`[\[\x60]*(?:\.\.?\/|lib\/)*views\/README\.md|(the${GAP}README${GAP}here))`,
  'gi'
)

/** Every number in 'rules 4 and 5 of lib/views/README.md' is a rule there; in lib/views also 'of the README here'. */
export function checkCitations(texts: Texts, documents: Texts): Finding[] {
  const numbered = (documents.get(RULES_README) ?? '').matchAll(/^(\d+)\. \*\*/gm)
  const rules = new Set([...numbered].map((match) => match[1]))
  const findings: Finding[] = []
  for (const [path, text] of texts) {
    for (const match of text.matchAll(CITATION)) {
      if (match[2] !== undefined && parent(path) !== parent(RULES_README)) continue
      for (const [number] of (match[1] ?? '').matchAll(/\d+/g)) {
        if (rules.has(number)) continue
        const message = `${RULES_README} has no rule ${number}; cite the number it has there now`
        findings.push({ path, line: lineAt(text, match.index), message })
      }
    }
  }
  return findings
}
