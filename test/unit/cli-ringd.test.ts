// The command line as a real process, without a daemon: its output and its exit codes.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ERRORS } from '../../lib/errors.js'
import { ringd } from '../e2e/command.js'

const cli = suite('command line')
let folder = ''

cli.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringd-cli-'))
})
cli.after(() => rmSync(folder, { recursive: true, force: true }))

/** Asserts that the command ended with `code`, an empty stdout, and `stderr` as one line. */
async function refuses(argv: readonly string[], code: number, stderr: RegExp, input?: Buffer): Promise<void> {
  const ended = await ringd(argv, input)
  assert.is(ended.code, code, `${argv.join(' ')}: ${ended.stderr}`)
  assert.is(ended.stdout, '')
  assert.match(ended.stderr, stderr)
}

function dataWith(name: string, runFile: string | undefined): string {
  const data = join(folder, name)
  mkdirSync(data)
  if (runFile !== undefined) writeFileSync(join(data, 'run.json'), runFile)
  return data
}

cli('shows examples and every exit code of the table of errors', async () => {
  const { code, stdout, stderr } = await ringd(['--help'])
  assert.is(code, 0)
  assert.is(stderr, '')
  for (const command of ['daemon', 'put', 'get', 'ttl', 'del', 'status', 'ring', 'where', 'id']) {
    assert.match(stdout, new RegExp(`^  ${command}\\b`, 'm'))
  }
  for (const [error, { exit }] of Object.entries(ERRORS)) assert.match(stdout, new RegExp(`^  ${exit}  ${error} `, 'm'))
})

cli('shows its version', async () => {
  assert.match((await ringd(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
})

cli('exits with 2 for a malformed command line', async () => {
  await refuses([], 2, /Usage: ringd/)
  await refuses(['bogus'], 2, /^ringd: unknown command 'bogus'/)
  await refuses(['get'], 2, /missing required argument 'key'/)
  await refuses(['get', 'k', '--pear', 'x'], 2, /Did you mean --peer/)
  await refuses(['get', 'k', '--peer', '/ip4/127.0.0.1/tcp/1', '--timeout', '0'], 2, /Expected milliseconds/)
  await refuses(['put', 'k', 'v', '--data', folder, '--consistency', 'two'], 2, /one, quorum, all/)
  await refuses(['put', 'k', 'v', '--data', folder, '--ttl', 'soon'], 2, /Expected seconds/)
  await refuses(['put', 'k', 'v', '--data', folder, '--ttl', '0'], 2, /Expected seconds/)
})

cli('exits with 2 for a flag that is given twice, of every command', async () => {
  const data = join(folder, 'twice')
  await refuses(
    ['daemon', '--data', data, '--weight', '1', '--weight', '2'],
    2,
    /--weight is given twice; give it once/
  )
  await refuses(['get', 'k', '--data', data, '--data', 'y'], 2, /--data is given twice/)
  await refuses(['status', '--data', data, '--timeout', '5', '--timeout', '5'], 2, /--timeout is given twice/)
  await refuses(['put', 'k', 'v', '--data', data, '--consistency', 'one', '--consistency', 'all'], 2, /twice/)
  await refuses(['doctor', '--data', data, '--data', data], 2, /--data is given twice/)
})

cli('says how to name a peer when none is given', async () => {
  await refuses(['status'], 2, /^ringd: no peer is named: .*--peer.*--data.* \(BAD_REQUEST\)\n$/)
})

cli('exits with 2 for a malformed multiaddr, before it dials', async () => {
  await refuses(['get', 'k', '--peer', '127.0.0.1:4710'], 2, /\(BAD_ADDRESS\)\n$/)
  await refuses(['get', 'k', '--peer', '/ip4/127.0.0.1/tcp/1', '--peer', '/ip4/1.2.3/tcp/1'], 2, /\(BAD_ADDRESS\)\n$/)
})

cli('exits with 4 when no peer answers', async () => {
  const port = await closedPort()
  await refuses(['get', 'k', '--peer', `/ip4/127.0.0.1/tcp/${port}`], 4, /^ringd: .*\(UNREACHABLE\)\n$/)
})

/** A port without a listener. */
function closedPort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

cli('gives the reason why --data finds no daemon', async () => {
  await refuses(['id', '--data', join(folder, 'none')], 2, /there is no such directory; give .* \(BAD_CONFIG\)/)
  await refuses(
    ['id', '--data', dataWith('empty', undefined)],
    4,
    /there is no run\.json in it; start the daemon, or give --peer \(UNREACHABLE\)/
  )
  await refuses(
    ['id', '--data', dataWith('torn', '{"pid":')],
    6,
    /is not what a daemon writes; remove it and start the daemon \(DATA_DAMAGED\)/
  )
  await refuses(['id', '--data', dataWith('group', '{"pid":0,"multiaddrs":[]}')], 6, /\(DATA_DAMAGED\)/)
  const ended = JSON.stringify({ pid: await endedPid(), multiaddrs: ['/ip4/127.0.0.1/tcp/1'] })
  await refuses(
    ['id', '--data', dataWith('ended', ended)],
    4,
    /process \d+ of its run\.json no longer runs \(UNREACHABLE\)/
  )
})

/** The id of a process that has ended. */
function endedPid(): Promise<number> {
  const child = spawn(process.execPath, ['--version'])
  return new Promise((resolve) => child.on('close', () => resolve(child.pid ?? 0)))
}

cli('reads a value from stdin only up to the largest that fits', async () => {
  const tooLarge = Buffer.alloc(8 * 1024 * 1024 + 1)
  await refuses(['put', 'k', '-', '--peer', '/ip4/127.0.0.1/tcp/1'], 2, /\(VALUE_TOO_LARGE\)/, tooLarge)
})

cli('refuses a wrong configuration with one line for each mistake', async () => {
  const ended = await ringd(['daemon', '--weight', '0', '--replicas', 'x'])
  assert.is(ended.code, 2)
  assert.is(ended.stdout, '')
  const lines = ended.stderr.trimEnd().split('\n')
  assert.is(lines.length, 3)
  for (const line of lines) assert.match(line, /^ringd: --(data|weight|replicas).* \(BAD_CONFIG\)$/)
  await refuses(['daemon', '--data', folder, '--join', 'x'], 2, /\(BAD_ADDRESS\)\n$/)
})

cli.run()
