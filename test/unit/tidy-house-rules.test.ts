// The house rules on planted violations: each violation is reported, and sound files are not.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { tidy } from '../../scripts/tidy.js'

const rules = suite('house rules')
let root = ''

rules.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'ringd-tidy-'))
  for (const folder of ['daemon', 'lib', 'scripts', 'test']) write(`${folder}/README.md`, '# x\n')
  for (const folder of ['ring', 'actors', 'storage', 'network']) write(`lib/${folder}/README.md`, '# x\n')
})
rules.after.each(() => rmSync(root, { recursive: true, force: true }))

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

/** The findings in one planted file. */
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

rules('report nothing in a tidy tree', () => {
  assert.equal(tidy(root), [])
})

rules('report files, functions and lines that are too long', () => {
  sees('lib/a.ts', 'x\n'.repeat(500), /^lib\/a\.ts:0 501 lines; split/)
  accepts('lib/a.ts', 'x\n'.repeat(499))
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

rules('report a missing header, also under a shebang', () => {
  assert.match(findings('daemon/a.ts', 'x()\n', '')[0] ?? '', /:1 no header comment/)
  assert.match(findings('daemon/a.ts', 'x()\n', '#!/usr/bin/env node\n')[0] ?? '', /no header comment/)
  assert.equal(findings('daemon/a.ts', 'x()\n', '#!/usr/bin/env node\n// What it owns.\n'), [])
})

rules('report uses of Node that bypass a seam in lib, and name the seam', () => {
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

rules('accept the same in seam files, comments, strings and other names', () => {
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
  accepts('lib/ring/a.ts', "import {\n  assert,\n  RingdError\n} from '../errors.js'\n")
})

rules("keep actors away from adapters and from each other's classes", () => {
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

rules('report imports in the wrong direction', () => {
  sees('lib/a.ts', "import { VERSION } from '../daemon/version.js'\n", /lib\/ imports daemon\/version\.ts/)
  sees('lib/a.ts', "const x = await import('../daemon/version.js')\n", /lib\/ imports daemon\/version\.ts/)
  sees('lib/a.ts', "export { x } from '../test/x.js'\n", /lib\/ imports test\/x\.ts/)
  sees('daemon/a.ts', "import { x } from '../scripts/x.js'\n", /daemon\/ imports scripts\/x\.ts/)
})

rules('report packages outside the file that owns them', () => {
  sees('daemon/a.ts', "import { ClassicLevel } from 'classic-level'\n", /lib\/storage\/level\.ts alone/)
  accepts('lib/storage/level.ts', "import { ClassicLevel } from 'classic-level'\n")
  sees('daemon/a.ts', "import { tcp } from '@libp2p/tcp'\n", /lib\/network\/ alone/)
  sees('lib/storage/a.ts', "import { createLibp2p } from 'libp2p'\n", /lib\/network\/ alone/)
  accepts('lib/network/a.ts', "import { createLibp2p } from 'libp2p'\n")
})

rules('report errors without a code', () => {
  sees('lib/a.ts', "throw new Error('x')\n", /use RingdError/)
  accepts('lib/a.ts', "throw new RingdError('INTERNAL')\n")
  accepts('test/a.ts', "throw new Error('x')\n")
})

rules('report unfinished work, silenced tests and foreign terms', () => {
  sees('lib/a.ts', `// ${['TO', 'DO'].join('')}: later\n`, /finish it/)
  sees('test/a.test.ts', "one.only('x', f)\n", /silences the other tests/)
  sees('lib/a.ts', 'const readCoordinator = 1\n', /say "router"/)
  sees('lib/a.ts', 'const vnodes = 1\n', /say "token"/)
  accepts('lib/a.ts', "// Without a coordinator.\nconst x = 'vnode'\n")
})

rules('report names and folders that do not fit', () => {
  sees('lib/readAll.ts', 'x()\n', /kebab-case/)
  sees('lib/Ring/README.md', '', /kebab-case/)
  rmSync(join(root, 'lib/Ring'), { recursive: true })
  sees('lib/views/a.ts', 'x()\n', /^lib\/views:0 no README\.md/)
  rmSync(join(root, 'lib/views'), { recursive: true })
  sees('notes.md', 'x\n', /^notes\.md:0 move it into one of/)
  sees('tools/a.ts', 'x()\n', /^tools:0 move it into one of/)
})

rules('skip fixtures', () => {
  accepts('test/fixtures/OldFormat_1.bin', 'x')
})

rules.run()
