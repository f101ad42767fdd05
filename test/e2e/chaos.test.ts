// A short campaign as a user starts it, without root. Kills, stops and restarts of real daemons must break no promise,
// the report must say so, and no file may be left behind.
// mostly computes
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ChaosReport } from '../chaos/report.js'

const chaos = suite('a chaos campaign')
const CHAOS = fileURLToPath(new URL('../../scripts/chaos.js', import.meta.url))
const MS_MAX = 110_000

interface Ended {
  readonly code: number | string | null | undefined
  readonly pid: number | undefined
  readonly stdout: string
  readonly stderr: string
}

function run(...argv: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [CHAOS, ...argv], { timeout: MS_MAX }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, pid: child.pid, stdout, stderr })
    })
  })
}

chaos('kills, stops and restarts of daemons break no promise', async () => {
  const asked = ['--minutes', '0.15', '--seed', '7', '--members', '5', '--faults', 'kill,stop,restart', '--plain']
  const { code, stdout, stderr, pid } = await run(...asked, '--json')
  assert.is(code, 0, `${stdout}\n${stderr}`)
  const report: ChaosReport = JSON.parse(stdout)
  assert.equal(report.violations, [])
  assert.ok(report.operations.ok > 100, stdout)
  assert.ok(
    Object.values(report.faults).some(({ count }) => count > 0),
    stdout
  )
  assert.ok(report.disks.copies > 0, stdout)
  const folder = readdirSync(tmpdir()).filter((name) => name.startsWith(`ringd-chaos-${pid}-`))
  assert.equal(folder, [])
})

chaos('malformed options are refused with one line', async () => {
  for (const argv of [
    ['--faults', 'fire'],
    ['--members', '2'],
    ['--minutes', 'x'],
    ['--sead', '1']
  ]) {
    const { code, stderr } = await run(...argv)
    assert.is(code, 2, argv.join(' '))
    assert.match(stderr, /--help/)
  }
})

chaos.run()
