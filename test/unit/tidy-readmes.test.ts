// The house rules about READMEs, on planted trees: files that are not listed, names of files that are missing, and
// citations of protocol rules that do not exist.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkCitations, checkListed, checkNamed } from '../../scripts/readme-rules.js'
import type { Finding } from '../../scripts/tidy-rules.js'

const readmes = suite('house rules of READMEs')

function told(findings: Finding[]): string[] {
  return findings.map(({ path, line, message }) => `${path}:${line} ${message}`)
}

/** What the rule says of these source files when the folder that they are in has this README.md. */
function listed(sources: string[], documents: Record<string, string>): string[] {
  return told(checkListed(sources, new Map(Object.entries(documents))))
}

function named(text: string, sources = ['lib/ring/walk.ts', 'test/unit/ring-tokens.test.ts']): string[] {
  return told(checkNamed(sources, new Map([['lib/ring/README.md', text]])))
}

readmes('name every file of their folder', () => {
  const refused = ['lib/ring/walk.ts:0 name it in lib/ring/README.md, with what it is for']
  assert.equal(listed(['lib/ring/walk.ts'], { 'lib/ring/README.md': '# ring\n' }), refused)
  assert.equal(listed(['lib/ring/walk.ts'], { 'lib/ring/README.md': '| `walk.ts` | the walk |\n' }), [])
  assert.equal(listed(['lib/ring/walk.ts'], { 'lib/ring/README.md': 'See ring/walk.ts.\n' }), [])
  for (const other of ['side-walk.ts', 'walk.tsx', 'walk-ts', 'walk.test.ts', 'a.walk.ts']) {
    assert.equal(listed(['lib/ring/walk.ts'], { 'lib/ring/README.md': other }), refused, other)
  }
})

readmes('name the files of folders below that have no README', () => {
  const documents = { 'README.md': 'queue.ts', 'lib/README.md': 'queue.ts', 'lib/actors/README.md': '# actors\n' }
  assert.equal(listed(['lib/actors/hints/queue.ts'], documents), [
    'lib/actors/hints/queue.ts:0 name it in lib/actors/README.md, with what it is for'
  ])
  assert.equal(listed(['lib/actors/hints/queue.ts'], { ...documents, 'lib/actors/README.md': '`queue.ts`' }), [])
  assert.equal(listed(['lib/actors/hints/queue.ts'], { ...documents, 'lib/actors/hints/README.md': 'queue.ts' }), [])
})

readmes('need not name generated files', () => {
  assert.equal(listed(['lib/network/wire.ts'], { 'lib/network/README.md': '# network\n' }), [])
})

readmes('name no file that is missing', () => {
  assert.equal(named('One.\n\n`walk.ts` and `tokens.ts`.\n'), [
    'lib/ring/README.md:3 tokens.ts: no such file any more; name the file that does this now'
  ])
  assert.equal(named('`walk.ts`, `ring/walk.ts`, `lib/ring/walk.ts`, `../ring/walk.ts`, `ring-tokens.test.ts`'), [])
  assert.match(named('`views/walk.ts`').join(), /:1 views\/walk\.ts: no such file any more/)
  assert.match(named('`ing/walk.ts`').join(), /no such file/)
  assert.match(named('```\nlib/\n  walk.ts tokens.ts\n```\n').join(), /:3 tokens\.ts: no such file/)
  assert.match(named('the span `a\ntokens.ts` ends on the next line').join(), /:2 tokens\.ts: no such file/)
})

readmes('may name patterns, generated files, files of other kinds, and anything outside of backticks', () => {
  assert.equal(named('`*-messages.ts`, `<actor>.ts`, `<actor>/<actor>.ts`, `{a,b}.ts`, `.ts`'), [])
  assert.equal(named('`wire.ts`, `lib/network/wire.ts`, `wire.proto`, `dist/test/a.test.js`, `a.tsv`'), [])
  assert.equal(named('tokens.ts\n\nan open ` mark\n\ntokens.ts, and another ` mark\n'), [])
})

const RULES = ['lib/views/README.md', '0. **Agreement.** View 3. **x**\n1. **Config.** A run.\n2. Plain.\n'] as const

/** The text is joined from words, so that this file cites no rule itself. */
function cited(path: string, ...words: string[]): string[] {
  return told(checkCitations(new Map([[path, words.join(' ')]]), new Map([RULES])))
}

readmes('have every rule that is cited', () => {
  const of = 'of lib/views/README.md.'
  assert.equal(cited('lib/a.ts', '// Rules 0 and', '1', of), [])
  assert.equal(cited('lib/a.ts', '// Source: rule', '2', of), [
    'lib/a.ts:1 lib/views/README.md has no rule 2; cite the number it has there now'
  ])
  assert.is(cited('lib/a.ts', '// rules 3, 0 to 4 and', '5', of).length, 3)
  assert.match(cited('lib/a.ts', 'x\n// as rules 1\n// and', '7\n//', of).join(), /^lib\/a\.ts:2 .* no rule 7/)
  assert.match(cited('lib/a.ts', '/**\n * rule', '7\n *', of).join(), /^lib\/a\.ts:2 .* no rule 7/)
  assert.match(cited('lib/README.md', 'rule', '7 of [views/README.md](views/README.md)').join(), /no rule 7/)
  assert.match(cited('lib/README.md', 'rule', '7 of `lib/views/README.md`').join(), /no rule 7/)
  assert.equal(cited('lib/a.ts', '// rule', '7 of lib/ring/README.md'), [])
  assert.equal(cited('lib/a.ts', '// the rule of 7 members'), [])
})

readmes('in lib/views are "the README here"', () => {
  assert.match(cited('lib/views/a.ts', '// Rule', '2 of the README here.').join(), /no rule 2/)
  assert.equal(cited('lib/views/a.ts', '// Rule', '1 of the README here.'), [])
  assert.equal(cited('lib/ring/a.ts', '// Rule', '2 of the README here.'), [])
})

readmes.run()
