// Types the commands of the page "When things go wrong" of daemon/README.md, as they are written there, against a ring
// of three that is healthy, then short of a member, then without a majority. Commands that need another kind of trouble
// are typed by the files of ELSEWHERE. A command of the page that nobody types fails the test.
// time limit: 240 s
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Daemon, until, withCluster } from './cluster.js'
import { type Ended, ringd } from './command.js'
import { commandsOf, troublePage } from './trouble-page.js'

const test = suite('commands of "When things go wrong"')
const STATE_MS_MAX = 60_000
const commands = commandsOf(troublePage())

const ANNOUNCING =
  'daemon --data DIR --listen /ip4/0.0.0.0/tcp/4710 --announce /ip4/203.0.113.7/tcp/14710 --secret-file FILE ' +
  '--join ADDRESS'

/** Commands that another file types, and the words in that file by which they can be found. */
const ELSEWHERE: Readonly<Record<string, readonly [file: string, words: RegExp]>> = {
  'rescue --data DIR': ['lost-majority', /ringd\(\['rescue', '--data', first\.data\]\)/],
  'rescue --data DIR --into RING --yes': [
    'lost-majority',
    /ringd\(\['rescue', '--data', second\.data, '--into', ringId, '--yes'\]\)/
  ],
  'remove MEMBER --force --data DIR': ['lost-majority', /ringd\(\['remove', lost, '--yes', '--force', '--data', /],
  'daemon --data DIR --zone NAME --weight NUMBER --join ADDRESS': [
    'addresses',
    /b\.start\(\{ flags: \[\.\.\.flags, \.\.\.rejoin/
  ],
  [ANNOUNCING]: ['addresses', /b\.start\(\{ join: \[a\], flags: \[\.\.\.listen, '--announce', /]
}

/** Commands of the page that were typed here. */
const typed = new Set<string>()

/** The words of a command of the page, with what stands for its capitals. */
function wordsOf(command: string, values: Readonly<Record<string, string>>): string[] {
  assert.ok(commands.includes(command), `the page has no command "ringd ${command}"`)
  typed.add(command)
  return command.split(' ').map((word) => (/^[A-Z]+$/.test(word) ? (values[word] ?? word) : word))
}

/** Types a command of the page; one that names no peer asks that of DIR. */
function type(command: string, values: Readonly<Record<string, string>>, more: readonly string[] = []): Promise<Ended> {
  const words = [...wordsOf(command, values), ...more]
  const isComplete = words.includes('--data') || words.includes('--peer')
  return ringd(isComplete ? words : [...words, '--data', values['DIR']!])
}

/** Types a command, and asserts how it ends and what it prints: on stdout with code 0, else on stderr. */
async function says(
  [code, words]: readonly [number, RegExp],
  command: string,
  values: Readonly<Record<string, string>>,
  more: readonly string[] = []
): Promise<string> {
  const ended = await type(command, values, more)
  assert.is(ended.code, code, `ringd ${command}: ${ended.stdout}${ended.stderr}`)
  const said = code === 0 ? ended.stdout : ended.stderr
  assert.match(said, words, `ringd ${command}`)
  return said
}

async function healthIs(health: string, daemon: Daemon): Promise<void> {
  await until(`the ring is ${health}`, STATE_MS_MAX, async () => (await daemon.status()).health === health)
}

/** What the page has operators ask first, and the commands that change nothing. */
async function asksHealthy(a: Daemon): Promise<void> {
  const values = { DIR: a.data, ADDRESS: a.address, KEY: 'key' }
  for (const command of ['status --data DIR', 'status']) await says([0, /healthy/], command, values)
  const report = JSON.parse(await says([0, /^\{/], 'status --json', values))
  assert.equal([report.health, report.ready, report.notReady, report.advice], ['healthy', true, [], []])
  for (const member of report.members) assert.equal([member.conditions, member.unreachableFrom], [[], []])
  await says([0, /^ready\n$/], 'ready --data DIR', values)
  await says([0, new RegExp(a.info.storeId)], 'id --data DIR', values)
  await says([0, new RegExp(a.info.peerId)], 'id --peer ADDRESS', values)
  await says([0, /^slots .* 0 differed/], 'repair', values)
  await says([0, /^1\n$/], 'del KEY', values)
  await says([0, /^0\n$/], 'del KEY', values)
}

test(
  'each does on a real ring what the page says',
  withCluster(async (cluster) => {
    const a = await cluster.daemon('a').start({ flags: ['--replicas', '2'] })
    const [b] = (await cluster.startAll(['b'], [a])) as [Daemon]
    const values = { DIR: a.data, ADDRESS: a.address, MULTIADDR: a.address }
    const [, , , ...flags] = wordsOf('daemon --data DIR --join MULTIADDR', values)
    const c = await cluster.daemon('c').start({ flags })
    await cluster.settled([a, b, c])
    await healthIs('healthy', a)
    await cluster.redis(b).set('key', 'value')
    await asksHealthy(a)

    await says([0, /^left: all entries are handed over\n$/], 'leave --data DIR', { DIR: c.data })
    assert.is(await c.ended, 'exited with 0')
    await says([2, /--force.*\(TOO_FEW_MEMBERS\)/], 'leave', { DIR: b.data })
    await c.start({ flags })
    await cluster.settled([a, b, c])

    const MEMBER = c.info.storeId
    await says([2, /is up.*\(BAD_REQUEST\)/], 'remove MEMBER', { ...values, MEMBER }, ['--yes'])
    await c.kill()
    await until('a member is down', STATE_MS_MAX, async () =>
      (await a.status()).members.some(({ state }) => state === 'down')
    )
    await says([0, /degraded|at-risk|read-only/], 'status', values)
    await says([2, /--yes/], 'remove MEMBER --data DIR', { ...values, MEMBER })
    await says(
      [0, /^removed: every slot has settled without it\n$/],
      'remove MEMBER --data DIR',
      { ...values, MEMBER },
      ['--yes']
    )
    await healthIs('healthy', a)
    await says([2, /\(BAD_REQUEST\)/], 'remove', values, [MEMBER, '--yes'])

    await b.kill()
    await until('the peer is not ready', STATE_MS_MAX, async () => !(await a.status()).ready)
    await says([4, /hears .*\(NOT_SERVING\)/], 'ready --data DIR', values)
    await says([0, /at-risk[\s\S]*serves no clients/], 'status --data DIR', values)
  })
)

test('every command of the page is typed here, or by another file', () => {
  const untyped = commands.filter((command) => !typed.has(command) && ELSEWHERE[command] === undefined)
  assert.equal(untyped, [], 'type it in this file, or name the file that does')
  for (const [command, [file, words]] of Object.entries(ELSEWHERE)) {
    assert.ok(commands.includes(command), `the page has no command "ringd ${command}" any more`)
    assert.match(readFileSync(`test/e2e/${file}.test.ts`, 'utf8'), words, `${file} types no "ringd ${command}"`)
  }
})

test.run()
