// The house rules, on planted trees: each violation is refused, and its clean twin is accepted.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { tidy } from '../../scripts/tidy.js'

const rules = suite('house rules')
const LIB_FOLDERS = ['ring', 'anti-entropy', 'runtime', 'actors', 'node', 'storage', 'network']
/** The files that these tests plant, so that only the tests of tidy-readmes.test.ts break the rules about READMEs. */
const LISTING = `# x

a.ts b.ts c.ts clock.ts level.ts operation.ts readAll.ts router.ts router-client.ts router-messages.ts a.test.ts
system-clock.ts
`
let root = ''

rules.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'ringd-tidy-'))
  for (const folder of ['daemon', 'lib', 'scripts', 'test']) write(`${folder}/README.md`, LISTING)
  for (const folder of LIB_FOLDERS) write(`lib/${folder}/README.md`, LISTING)
})
rules.after.each(() => rmSync(root, { recursive: true, force: true }))

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

/** The findings in the tree while it holds this file. */
function findings(path: string, body: string, header = '// What it owns.\n'): string[] {
  write(path, header + body)
  const found = tidy(root).map((finding) => `${finding.path}:${finding.line} ${finding.message}`)
  rmSync(join(root, path))
  return found
}

function sees(path: string, body: string, expected: RegExp): void {
  const found = findings(path, body)
  assert.is(found.length, 1, `${path}: ${body}\n${found.join('\n')}`)
  assert.match(found[0] ?? '', expected)
}

function accepts(path: string, body: string): void {
  assert.equal(findings(path, body), [], `${path}: ${body}`)
}

rules('say nothing of a tidy tree', () => {
  assert.equal(tidy(root), [])
})

rules('see files, functions and lines that are too long', () => {
  sees('lib/a.ts', 'x\n'.repeat(400), /^lib\/a\.ts:0 401 lines, the limit is 400; move one part/)
  accepts('lib/a.ts', 'x\n'.repeat(399))
  sees('daemon/a.ts', 'x\n'.repeat(500), /^daemon\/a\.ts:0 501 lines, the limit is 500/)
  for (const folder of ['daemon', 'scripts', 'test']) accepts(`${folder}/a.ts`, 'x\n'.repeat(499))
  accepts('lib/network/wire.ts', 'x\n'.repeat(5000))
  sees('lib/a.ts', `const x = '${'y'.repeat(120)}'\n`, /:2 132 columns; wrap/)
  const body = '  x()\n'.repeat(69)
  sees('lib/a.ts', `export function f(): void {\n${body}}\n`, /:2 a function of 71 lines/)
  sees(
    'lib/a.ts',
    `class A {\n  f(\n    a: B\n  ): void {\n${body.replaceAll('  x', '    x')}  }\n}\n`,
    /:5 a function/
  )
  sees('lib/a.ts', `const f = async () => {\n${body}}\n`, /a function of 71 lines/)
  accepts('test/conformance/a.ts', `export function f(): void {\n  const test = suite<X>('x')\n${body}}\n`)
  accepts('lib/a.ts', `const table = {\n${body}}\n`)
  accepts('lib/a.ts', `export function f(): void {\n${body.slice(6)}}\n`)
})

rules('see a missing header, also under a shebang', () => {
  assert.match(findings('daemon/a.ts', 'x()\n', '')[0] ?? '', /:1 no header comment/)
  assert.match(findings('daemon/a.ts', 'x()\n', '#!/usr/bin/env node\n')[0] ?? '', /no header comment/)
  assert.equal(findings('daemon/a.ts', 'x()\n', '#!/usr/bin/env node\n// What it owns.\n'), [])
})

rules('see code in lib that bypasses a seam, and name the seam', () => {
  const bypasses: Array<[body: string, seam: RegExp]> = [
    ['const now = Date.now()\n', /Clock\.now\(\)/],
    ['const now = new Date()\n', /Clock\.now\(\)/],
    ['const now = performance.now()\n', /Clock\.elapsed\(\)/],
    ['setTimeout(f, 1)\n', /Clock\.after\(\)/],
    ['setInterval(f, 1)\n', /every\(\)/],
    ['setImmediate(f)\n', /Clock\.defer\(\)/],
    ['queueMicrotask(f)\n', /Clock\.defer\(\)/],
    ['const x = Math.random()\n', /Random\.next\(\)/],
    ['const x = crypto.randomUUID()\n', /Random\.bytes\(\)/],
    ["const x = process.env['X']\n", /daemon\/ fills in/],
    ["console.log('x')\n", /Logger/],
    ['globalThis.setTimeout(f, 1)\n', /a seam/],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: source text
    ['const x = `${Date.now()}`\n', /Clock\.now\(\)/],
    ["import timers from 'node:timers/promises'\n", /Clock/],
    ["import { readFileSync } from 'node:fs'\n", /lib\/storage\//],
    ["import net from 'node:net'\n", /lib\/network\/network\.ts/]
  ]
  for (const [body, seam] of bypasses) sees('lib/actors/a.ts', body, seam)
})

rules('accept the same in adapters, comments, strings and properties', () => {
  accepts('lib/system-clock.ts', 'const now = Date.now()\nsetTimeout(f, 1)\n')
  accepts('lib/storage/a.ts', "import { readFileSync } from 'node:fs'\n")
  accepts('lib/network/a.ts', "import type { Socket } from 'node:net'\nimport net from 'node:net'\n")
  accepts('daemon/a.ts', "console.log(process.pid, Date.now())\nsetTimeout(f, 1)\nimport net from 'node:net'\n")
  accepts('lib/a.ts', "// Date.now()\n/* setTimeout(f) */\nconst x = 'Date.now()'\nthis.process.start()\nprocess(x)\n")
  accepts('lib/a.ts', 'const x = /["\'`]/\nconst y = 1 / 2 // Date.now()\n')
})

rules('keep pure folders pure', () => {
  sees('lib/ring/a.ts', "import pino from 'pino'\n", /a pure folder imports pino/)
  sees('lib/ring/a.ts', "import type { Store } from '../storage/store.js'\n", /imports lib\/storage\/store\.ts/)
  sees('lib/ring/a.ts', "import { systemClock } from '../system-clock.js'\n", /imports lib\/system-clock\.ts/)
  accepts('lib/ring/a.ts', "import { crc32 } from 'node:zlib'\nimport { b } from './b.js'\n")
  sees('lib/anti-entropy/a.ts', "import type { Clock } from '../storage/store.js'\n", /a pure folder imports/)
  accepts('lib/anti-entropy/a.ts', "import type { Bytes } from '../bytes.js'\n")
  accepts('lib/ring/a.ts', "import {\n  assert,\n  RingdError\n} from '../errors.js'\n")
})

rules('keep actors from adapters and from the classes of each other', () => {
  sees('lib/actors/a.ts', "import { LevelStore } from '../storage/level.js'\n", /adapter lib\/storage\/level\.ts/)
  sees('lib/actors/a.ts', "import { systemClock } from '../system-clock.js'\n", /adapter lib\/system-clock\.ts/)
  accepts('lib/actors/a.ts', "import type { Store } from '../storage/store.js'\n")
  write(
    'lib/actors/b.ts',
    '// What it owns.\nexport class Router implements Actor<X> {}\nexport class Phase {}\n' +
      'export function quorum(): void {}\n'
  )
  sees('lib/actors/a.ts', "import { Router } from './b.js'\n", /the class Router; use import type/)
  accepts('lib/actors/a.ts', "import { Phase, type Router, quorum } from './b.js'\n")
  accepts('lib/actors/a.ts', "import type { Router } from './b.js'\n")
})

rules('see imports that point the wrong way', () => {
  sees('lib/a.ts', "import { VERSION } from '../daemon/version.js'\n", /lib\/ imports daemon\/version\.ts/)
  sees('lib/a.ts', "const x = await import('../daemon/version.js')\n", /lib\/ imports daemon\/version\.ts/)
  sees('lib/a.ts', "export { x } from '../test/x.js'\n", /lib\/ imports test\/x\.ts/)
  sees('daemon/a.ts', "import { x } from '../scripts/x.js'\n", /daemon\/ imports scripts\/x\.ts/)
})

rules('see imports of actors or the node in the folders below them', () => {
  for (const [path, target] of [
    ['lib/runtime/a.ts', 'actors/b.ts'],
    ['lib/runtime/a.ts', 'node/node.ts'],
    ['lib/actors/a.ts', 'node/node.ts'],
    ['lib/network/a.ts', 'actors/b.ts'],
    ['lib/storage/a.ts', 'node/node.ts']
  ] as const) {
    const body = `import type { B } from '../${target.replace('.ts', '.js')}'\n`
    sees(path, body, new RegExp(`:2 imports lib/${target}; [a-z ]+`))
  }
  sees(
    'lib/clock.ts',
    "import { B } from './actors/b.js'\n",
    /imports lib\/actors\/b\.ts; seams and adapters lie below/
  )
  sees('lib/system-clock.ts', "import { N } from './node/node.js'\n", /imports lib\/node\/node\.ts; seams and adapters/)
  accepts('lib/runtime/a.ts', "import type { Clock } from '../clock.js'\n")
  accepts('lib/actors/a.ts', "import { Actor } from '../runtime/actor.js'\nimport { b } from '../views/b.js'\n")
  accepts('lib/network/a.ts', "import type { Bytes } from '../bytes.js'\n")
  accepts('lib/node/a.ts', "import { B } from '../actors/b.js'\n")
})

rules('see import circles, also of types and through tests', () => {
  write('lib/ring/b.ts', "// What it owns.\nimport { c } from './c.js'\n")
  write('lib/ring/c.ts', "// What it owns.\nimport type { A } from './a.js'\n")
  sees(
    'lib/ring/a.ts',
    "import { b } from './b.js'\n",
    /^lib\/ring\/a\.ts:2 an import circle: \S+\/a\.ts -> \S+\/b\.ts -> \S+\/c\.ts -> lib\/ring\/a\.ts; move/
  )
  accepts('lib/ring/a.ts', "import { x } from '../errors.js'\n")
  sees('test/a.ts', "import { a } from './a.js'\n", /circle: test\/a\.ts -> test\/a\.ts; move/)
  write('test/b.ts', "// What it owns.\nimport type { A } from './a.js'\n")
  sees('test/a.ts', "const x = import('./b.js')\n", /circle: test\/a\.ts -> test\/b\.ts -> test\/a\.ts/)
  accepts('test/a.ts', "import { c } from '../lib/ring/c.js'\n")
})

rules('see imports of the inner parts of an actor, and name its messages and client', () => {
  for (const name of ['router', 'router-client', 'router-messages', 'operation']) {
    write(`lib/actors/router/${name}.ts`, '// What it owns.\n')
  }
  const refused = /imports lib\/actors\/router\/operation\.ts, an inner part of router; import its messages or client/
  const operation = "import type { Operation } from '../router/operation.js'\n"
  sees('lib/actors/hints/a.ts', operation, refused)
  sees('lib/actors/hints/a.ts', operation, /\(router-client\.ts, router-messages\.ts, router\.ts\)$/)
  sees('lib/actors/a.ts', operation.replace('..', '.'), refused)
  sees('daemon/a.ts', "import { Operation } from '../lib/actors/router/operation.js'\n", refused)
  for (const name of ['router', 'router-client', 'router-messages']) {
    accepts('lib/actors/hints/a.ts', `import type { Router } from '../router/${name}.js'\n`)
  }
  accepts('lib/actors/router/a.ts', operation)
  accepts('lib/actors/router/a.ts', "import { Purge } from '../purge.js'\n")
  accepts('lib/node/a.ts', "import { Operation } from '../actors/router/operation.js'\n")
  accepts('test/unit/a.ts', "import { Operation } from '../../lib/actors/router/operation.js'\n")
})

rules('see packages outside the place that owns them', () => {
  sees('daemon/a.ts', "import { ClassicLevel } from 'classic-level'\n", /lib\/storage\/level\.ts alone/)
  accepts('lib/storage/level.ts', "import { ClassicLevel } from 'classic-level'\n")
  sees('daemon/a.ts', "import { tcp } from '@libp2p/tcp'\n", /lib\/network\/ alone/)
  sees('lib/storage/a.ts', "import { createLibp2p } from 'libp2p'\n", /lib\/network\/ alone/)
  accepts('lib/network/a.ts', "import { createLibp2p } from 'libp2p'\n")
})

rules('see errors without a code', () => {
  sees('lib/a.ts', "throw new Error('x')\n", /use RingdError/)
  accepts('lib/a.ts', "throw new RingdError('INTERNAL')\n")
  accepts('test/a.ts', "throw new Error('x')\n")
})

rules('see unfinished work, silenced tests and words of other systems', () => {
  sees('lib/a.ts', `// ${['TO', 'DO'].join('')}: later\n`, /finish it/)
  sees('test/a.test.ts', "one.only('x', f)\n", /silences the other tests/)
  sees('lib/a.ts', 'const readCoordinator = 1\n', /say "router"/)
  sees('lib/a.ts', 'const vnodes = 1\n', /say "token"/)
  accepts('lib/a.ts', "// Without a coordinator.\nconst x = 'vnode'\n")
})

rules('see names and folders that do not fit', () => {
  sees('lib/readAll.ts', 'x()\n', /kebab-case/)
  sees('lib/Ring/README.md', '', /kebab-case/)
  rmSync(join(root, 'lib/Ring'), { recursive: true })
  sees('lib/views/a.ts', 'x()\n', /^lib\/views:0 no README\.md/)
  rmSync(join(root, 'lib/views'), { recursive: true })
  sees('notes.md', 'x\n', /^notes\.md:0 move it into one of/)
  accepts('CONTRIBUTING.md', 'x\n')
  accepts('LICENSE', 'x\n')
  sees('tools/a.ts', 'x()\n', /^tools:0 move it into one of/)
})

rules('see unlisted files, missing files and wrong citations in the whole tree', () => {
  sees('lib/ring/unlisted.ts', 'x()\n', /^lib\/ring\/unlisted\.ts:0 name it in lib\/ring\/README\.md/)
  sees('test/unit/unlisted.ts', 'x()\n', /^test\/unit\/unlisted\.ts:0 name it in test\/README\.md/)
  for (const document of ['README.md', 'CONTRIBUTING.md', 'lib/ring/rollback.md', 'test/sim/README.md']) {
    sees(document, 'See `old-name.ts`.\n', /old-name\.ts: no such file any more/)
    accepts(document, 'See `old-name.js`.\n')
  }
  const rule = 'rule 7'
  sees('lib/a.ts', `// Source: ${rule} of lib/views/README.md.\n`, /:2 lib\/views\/README\.md has no rule 7/)
  write('lib/views/README.md', '7. **Superseded.** A job of another window is over.\n')
  accepts('lib/a.ts', `// Source: ${rule} of lib/views/README.md.\n`)
  sees('lib/ring/rollback.md', `By ${rule.replace('7', '8')} of lib/views/README.md.\n`, /has no rule 8/)
})

rules('accept old bytes of any name in test/fixtures', () => {
  accepts('test/fixtures/OldFormat_1.bin', 'x')
  accepts('test/fixtures/OldFormat_1.ts', 'x')
})

rules.run()
