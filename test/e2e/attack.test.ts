// A short run of the attacks, as a user starts it. Daemons must stay alive, keep every acknowledged write, take little
// memory, let nobody in, and take nobody for down. Times are printed and not judged.
// time limit: 300 s
// mostly computes
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { AttackResult } from '../attack/report.js'

const attacks = suite('attacks on real daemons')
const ATTACK = fileURLToPath(new URL('../../scripts/attack.js', import.meta.url))
const MS_MAX = 270_000

interface Report {
  readonly isHeld: boolean
  readonly results: readonly AttackResult[]
}

interface Ended {
  readonly code: unknown
  readonly pid: number | undefined
  readonly stdout: string
  readonly stderr: string
}

function run(...argv: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [ATTACK, ...argv], { timeout: MS_MAX }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, pid: child.pid, stdout, stderr })
    })
  })
}

attacks('no attack ends a daemon, loses a write, or reaches what it must not reach', async () => {
  const names = ['every-message', 'redis-fuzz', 'stranger-requests', 'packet-fuzz', 'yamux-invalid-headers']
  const asked = ['--as', 'outsider,data,joiner', '--only', names.join(','), '--seconds', '2']
  const { code, pid, stdout, stderr } = await run(...asked, '--untimed', '--json')
  assert.is(code, 0, stderr)
  const { isHeld, results }: Report = JSON.parse(stdout)
  assert.ok(isHeld)
  assert.is(results.length, 9)
  for (const { attack, as, operations, did, p99Ms } of results) {
    assert.ok(operations > 20, `the good client did ${operations} operations during ${attack} as ${as}`)
    assert.ok(Object.keys(did).length > 0, `${attack} as ${as} did nothing`)
    console.log(`${attack} as ${as}: p99 ${p99Ms === null ? 'none' : Math.round(p99Ms)} ms`)
  }
  const left = readdirSync(tmpdir()).filter((name) => name.startsWith(`ringd-attack-${pid}-`))
  assert.equal(left, [])
})

attacks('a wrong option gets one clear line and exit code 2', async () => {
  for (const argv of [
    ['--only', 'none-such'],
    ['--as', 'nobody'],
    ['--seconds', '0']
  ]) {
    const { code, stderr } = await run(...argv)
    assert.is(code, 2)
    assert.match(stderr, /^--(only|as|seconds).*\nSee npm run attack -- --help\.\n$/)
  }
})

attacks.run()
