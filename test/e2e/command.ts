// Runs the `ringd` command as a separate process, to its end.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import type { StatusReport } from '../../lib/client/reports.js'
import { type Daemon, until } from './cluster.js'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const MAIN = fileURLToPath(new URL('../../daemon/main.js', import.meta.url))
const PROCESS_MS_MAX = 60_000
const HEALTHY_MS_MAX = 30_000

/**
 * Runs `ringd ARGV` with `input` on stdin and without settings from this environment. Kills it after a minute: then
 * `code` is null.
 */
export function ringd(argv: readonly string[], input: string | Buffer = ''): Promise<Ended> {
  return startRingd(argv, input).ended
}

/** The same for a command that goes on until an interrupt. */
export function startRingd(
  argv: readonly string[],
  input: string | Buffer = ''
): { readonly ended: Promise<Ended>; readonly interrupt: () => void } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('RINGD_')))
  const child = spawn(process.execPath, [MAIN, ...argv], { env, timeout: PROCESS_MS_MAX, killSignal: 'SIGKILL' })
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    said.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    said.stderr += chunk
  })
  // A process that has read enough closes its stdin, so this write may fail.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, ...said })))
  return { ended, interrupt: () => void child.kill('SIGINT') }
}

/**
 * Asserts that every daemon reports the same settled ring, with all of them as members, and that `ringd status --json`
 * shows it.
 */
export async function assertOneRing(daemons: readonly Daemon[]): Promise<void> {
  // What a member tells of others is a second old, and they may be back since then.
  const isHealthy = async () =>
    (await Promise.all(daemons.map((one) => one.status()))).every(({ health }) => health === 'healthy')
  await until('every status is healthy', HEALTHY_MS_MAX, isHealthy)
  const { code, stdout, stderr } = await ringd(['status', '--json', '--data', daemons[0]!.data])
  assert.is(code, 0, stderr)
  const reports: StatusReport[] = [JSON.parse(stdout), ...(await Promise.all(daemons.map((one) => one.status())))]
  const seen = new Set(reports.map(ringText))
  assert.is(seen.size, 1, [...seen].join('\n'))
  const settled = '"slots":{"settled":16384,"moving":0,"atRisk":0}'
  const expected = `{"agree":true,"health":"healthy",${settled},"replicas":3,"members":${daemons.length},`
  assert.is([...seen][0]?.slice(0, expected.length), expected)
}

/** What all members of a settled ring report alike. */
function ringText({ view, digest, agree, replicas, health, slots, members }: StatusReport): string {
  const ids = members.map(({ storeId }) => storeId).sort()
  const { settled, moving, atRisk } = slots
  const sums = { settled, moving, atRisk }
  return JSON.stringify({ agree, health, slots: sums, replicas, members: members.length, view, digest, ids })
}
