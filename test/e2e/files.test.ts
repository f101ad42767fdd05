// The files of a real daemon are for its user alone, and the words of another peer control no terminal.
// time limit: 300 s
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runDaemon } from '../../daemon/compose.js'
import { loadConfig } from '../../daemon/config.js'
import { DaemonSecrets } from '../../daemon/secret-files.js'
import type { StatusReport } from '../../lib/client/reports.js'
import { silent } from '../../lib/logger.js'
import { type Daemon, until, withCluster } from './cluster.js'
import { ringd } from './command.js'

const files = suite('files and terminals')
/** Clears the screen, sets the title, is a C1 control sequence, and turns text around. */
const HOSTILE = '\u001b[2J\u001b]0;title\u0007\u009b31m\u202ezone\r\n'
const HARMLESS = '\\u001b[2J\\u001b]0;title\\u0007\\u009b31m\\u202ezone\\r\\n'
const CONTROLS = /(?!\n)[\p{Cc}\u202a-\u202e\u2066-\u2069]/u

function modesIn(data: string): string[] {
  const names = ['', ...readdirSync(data, { recursive: true, encoding: 'utf8' })]
  return names.flatMap((name) => {
    const stats = statSync(join(data, name))
    const expected = stats.isDirectory() ? 0o700 : 0o600
    return (stats.mode & 0o777) === expected ? [] : [`${name}: ${(stats.mode & 0o777).toString(8)}`]
  })
}

function logOf(daemon: Daemon): { level: string; msg: string; files?: number; error?: { code: string } }[] {
  const lines = readFileSync(daemon.log, 'utf8').trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line))
}

files(
  'a daemon makes files for its user alone, mends those that others may read, and refuses those that they may write',
  withCluster(async (cluster) => {
    const daemon = await cluster.daemon('a').start()
    await cluster.redis(daemon).set('k', 'v')
    assert.equal(modesIn(daemon.data), [])
    const warned = logOf(daemon).filter(({ msg }) => msg.startsWith('running as root'))
    assert.is(warned.length, process.geteuid!() === 0 ? 1 : 0)
    await daemon.stop()

    for (const name of ['', 'store', 'identity.key', 'store/CURRENT']) chmodSync(join(daemon.data, name), 0o755)
    await daemon.start()
    assert.equal(modesIn(daemon.data), [])
    const mended = logOf(daemon).filter(({ msg }) => msg.startsWith('other users of this machine could read'))
    assert.equal(
      mended.map((line) => line.files),
      [4]
    )
    await daemon.stop()

    chmodSync(join(daemon.data, 'store'), 0o777)
    daemon.launch()
    assert.match(await daemon.ended, /^exited with 6/)
    assert.is(logOf(daemon).at(-1)?.error?.code, 'DATA_UNSAFE')
    chmodSync(join(daemon.data, 'store'), 0o700)

    const key = join(daemon.data, 'identity.key')
    const moved = join(cluster.folder, 'moved.key')
    const bytes = readFileSync(key)
    rmSync(key)
    symlinkSync(moved, key)
    daemon.launch()
    assert.match(await daemon.ended, /^exited with 6/)
    assert.is(logOf(daemon).at(-1)?.error?.code, 'DATA_UNSAFE')
    assert.ok(bytes.length > 0)
  })
)

files(
  'the zone of another peer controls no terminal, in tables, in JSON and in logs',
  withCluster(async (cluster) => {
    const daemon = await cluster.daemon('a').start({ flags: ['--log-level', 'debug'] })
    const flags = { data: join(cluster.folder, 'b'), listen: '/ip4/127.0.0.1/tcp/0', resp: 'off', join: daemon.address }
    const secrets = new DaemonSecrets(undefined)
    await secrets.load()
    // The configuration refuses such a zone; a peer that lies does not ask it.
    const second = await runDaemon({ ...loadConfig(flags, {}), zone: HOSTILE }, silent, secrets)
    try {
      await until('both are members', 30_000, async () => (await daemon.status()).members.length === 2)
      const table = await ringd(['status', '--data', daemon.data])
      assert.is(table.code, 0, table.stderr)
      assert.ok(table.stdout.includes(HARMLESS), table.stdout)
      assert.not.match(table.stdout, CONTROLS)
      const json = await ringd(['status', '--data', daemon.data, '--json'])
      assert.not.match(json.stdout, CONTROLS)
      const { members }: StatusReport = JSON.parse(json.stdout)
      assert.ok(
        members.some(({ zone }) => zone === HOSTILE),
        json.stdout
      )
      const bad = await ringd(['where', `k${HOSTILE}`, '--data', daemon.data])
      assert.not.match(bad.stdout, CONTROLS)
      assert.not.match(readFileSync(daemon.log, 'utf8'), CONTROLS)
    } finally {
      await second.stop()
    }
  })
)

files.run()
