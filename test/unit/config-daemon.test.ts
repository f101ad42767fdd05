// The daemon's configuration: the precedence of its four sources, and the errors for wrong values.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadConfig, nearest } from '../../daemon/config.js'
import { RingdError } from '../../lib/errors.js'

const config = suite('daemon configuration')
let folder = ''

config.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringd-config-'))
})
config.after(() => rmSync(folder, { recursive: true, force: true }))

function file(text: string): string {
  const path = join(folder, 'ringd.yaml')
  writeFileSync(path, text)
  return path
}

function refusal(flags: Record<string, unknown>, environment: Record<string, string> = {}): RingdError {
  try {
    loadConfig(flags, environment)
  } catch (thrown) {
    assert.instance(thrown, RingdError)
    return thrown as RingdError
  }
  throw new RingdError('INTERNAL', 'the configuration was accepted')
}

config('has a default for everything except the directory', () => {
  assert.equal(loadConfig({ data: 'x' }, {}), {
    data: resolve('x'),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    join: [],
    ring: undefined,
    secretFile: undefined,
    resp: { host: '127.0.0.1', port: 4712 },
    respPassword: undefined,
    respIdleSeconds: 0,
    zone: '',
    weight: 1,
    replicas: 3,
    maxKeyBytes: 65536,
    maxValueBytes: 8388608,
    hintBytesMax: 1024 ** 3,
    hintAgeMs: 3 * 3_600_000,
    readConsistency: 'quorum',
    writeConsistency: 'quorum',
    evictAfterMs: 60_000,
    onLoss: 'recover',
    purgeAfterMs: 60_000,
    scrubDays: 7,
    logLevel: 'info',
    expect: 0,
    given: new Set(['data'])
  })
})

config('prefers flags to variables, variables to the file, and the file to defaults', () => {
  const path = file('data: from-file\nzone: from-file\nweight: 2\nreplicas: 5\n')
  const environment = { RINGD_CONFIG: path, RINGD_ZONE: 'from-variable', RINGD_WEIGHT: '3' }
  const loaded = loadConfig({ weight: '4' }, environment)
  assert.equal(loaded.weight, 4)
  assert.is(loaded.zone, 'from-variable')
  assert.is(loaded.replicas, 5)
  assert.is(loaded.data, resolve('from-file'))
  assert.is(loaded.logLevel, 'info')
  assert.is(loadConfig({ config: file('replicas: 1\n'), data: 'x' }, environment).replicas, 1)
})

config('accepts several addresses as repeated flags, as text with commas, and as a list in the file', () => {
  const both = ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2']
  assert.equal(loadConfig({ data: 'x', join: both }, {}).join, both)
  assert.equal(loadConfig({ data: 'x' }, { RINGD_JOIN: both.join(', ') }).join, both)
  const path = file(`data: x\njoin:\n  - ${both[0]}\n  - ${both[1]}\n`)
  assert.equal(loadConfig({ config: path }, {}).join, both)
})

config('derives ports from a base, unless an address is given', () => {
  const derived = loadConfig({ data: 'x', 'port-base': '4710' }, {})
  assert.equal(derived.listen, ['/ip4/127.0.0.1/tcp/4710'])
  assert.equal(derived.resp, { host: '127.0.0.1', port: 4712 })
  const explicit = loadConfig({ data: 'x', 'port-base': '4710', resp: 'off' }, {})
  assert.is(explicit.resp, undefined)
  assert.is(refusal({ data: 'x', 'port-base': '65534' }).code, 'BAD_CONFIG')
})

config('names an unknown key of the file and the nearest one', () => {
  const error = refusal({ config: file('data: x\nreplica: 3\nmaxKeyBytes: 1\n') })
  assert.is(error.code, 'BAD_CONFIG')
  const [first = '', second = '', ...more] = error.message.split('\n')
  assert.match(first, /unknown key "replica"; the nearest is "replicas"$/)
  assert.match(second, /unknown key "maxKeyBytes"; the nearest is "max-key-bytes"$/)
  assert.is(more.length, 0)
})

config('names an unknown variable and the nearest one, but not those that Kubernetes sets', () => {
  const error = refusal({ data: 'x' }, { RINGD_ZONES: 'z' })
  assert.is(error.message, 'unknown environment variable RINGD_ZONES; the nearest is RINGD_ZONE')
  const kubernetes = { RINGD_PORT: 'tcp://10.0.0.1:4712', RINGD_SERVICE_HOST: '10.0.0.1', RINGD_PORT_4712_TCP: 'x' }
  assert.is(loadConfig({ data: 'x' }, kubernetes).zone, '')
})

config('treats an empty variable as not set', () => {
  assert.is(loadConfig({ data: 'x' }, { RINGD_REPLICAS: '' }).replicas, 3)
})

config('has one line for each mistake, with its source and the value', () => {
  const error = refusal({ data: 'x', weight: '-1', 'log-level': 'loud' }, { RINGD_REPLICAS: '2.5' })
  assert.is(error.code, 'BAD_CONFIG')
  assert.equal(error.message.split('\n').sort(), [
    '--log-level: expected one of debug, info, warn, error, not "loud"',
    '--weight: expected a number above 0, up to 16, not "-1"',
    'RINGD_REPLICAS: expected a whole number from 1 to 7, not "2.5"'
  ])
})

config('refuses to expect so few peers that two groups could found two rings', () => {
  const join = [4710, 4720, 4730, 4740].map((port) => `/ip4/127.0.0.1/tcp/${port}`)
  assert.match(refusal({ data: 'x', expect: '3' }).message, /^expect: needs join/)
  assert.match(refusal({ data: 'x', expect: '2', join }).message, /^expect: must be more than half of the 4 addresses/)
  assert.is(loadConfig({ data: 'x', expect: '3', join }, {}).expect, 3)
  assert.is(loadConfig({ data: 'x', expect: '2', join: join.slice(1) }, {}).expect, 2)
})

config('explains how to give the directory when it is missing', () => {
  assert.match(refusal({}).message, /^--data is missing; .*RINGD_DATA/)
})

config('refuses sizes beyond those of the wire', () => {
  assert.match(refusal({ data: 'x', 'max-key-bytes': '65537' }).message, /1 to 65536/)
  assert.match(refusal({ data: 'x', 'max-value-bytes': '0' }).message, /1 to 8388608/)
  assert.match(refusal({ data: 'x', 'max-value-bytes': '' }).message, /1 to 8388608/)
})

config('accepts bounds of hints, also zero and parts of hours', () => {
  const loaded = loadConfig({ data: 'x', 'hint-bytes': '0', 'hint-hours': '0.5' }, {})
  assert.equal([loaded.hintBytesMax, loaded.hintAgeMs], [0, 1_800_000])
  assert.match(refusal({ data: 'x', 'hint-hours': '0' }).message, /above 0, up to 168/)
  assert.match(refusal({ data: 'x', 'hint-bytes': '1.5' }).message, /a whole number from 0/)
})

config('takes the secret file from the setting, else from the credentials of systemd', () => {
  assert.equal(loadConfig({ data: 'x', 'secret-file': 's' }, {}).secretFile, {
    path: resolve('s'),
    isCredential: false
  })
  const environment = { CREDENTIALS_DIRECTORY: folder }
  assert.is(loadConfig({ data: 'x' }, environment).secretFile, undefined)
  const credential = join(folder, 'ringd-secret')
  writeFileSync(credential, '')
  assert.equal(loadConfig({ data: 'x' }, environment).secretFile, { path: credential, isCredential: true })
  assert.is(loadConfig({ data: 'x', 'secret-file': 's' }, environment).secretFile?.isCredential, false)
})

config('refuses to listen beyond loopback without a secret, unless it is told to be insecure', () => {
  for (const listen of ['/ip4/0.0.0.0/tcp/1', '/ip6/::/tcp/1', '/ip4/10.0.0.5/tcp/1', '/ip4/128.0.0.1/tcp/1']) {
    const error = refusal({ data: 'x', listen: ['/ip4/127.0.0.1/tcp/1', listen] })
    assert.is(error.code, 'BAD_CONFIG')
    assert.match(error.message, 'ringd secret new > FILE')
    assert.match(error.message, '--insecure')
    assert.equal(loadConfig({ data: 'x', listen: [listen], 'secret-file': 's' }, {}).listen, [listen])
    assert.equal(loadConfig({ data: 'x', listen: [listen], insecure: true }, {}).listen, [listen])
    assert.equal(loadConfig({ data: 'x', listen: [listen] }, { RINGD_INSECURE: 'true' }).listen, [listen])
    assert.is(refusal({ data: 'x', listen: [listen] }, { RINGD_INSECURE: 'false' }).code, 'BAD_CONFIG')
  }
  for (const listen of ['/ip4/127.8.0.1/tcp/1', '/ip6/::1/tcp/1']) {
    assert.equal(loadConfig({ data: 'x', listen: [listen] }, {}).listen, [listen])
  }
  assert.match(refusal({ data: 'x', insecure: 'perhaps' }).message, /true or false/)
})

config('refuses to join an address beyond loopback that names neither secret, ring nor peer', () => {
  const peer = '12D3KooWP4VL8xzeR8rwpXUdhZxoEuPxWj2qQcm7wujHjicm3DRy'
  const ring = 'ab'.repeat(16)
  for (const address of ['/ip4/10.0.0.4/tcp/1', '/dns4/example.org/tcp/1', '/dns4/localhost.example.org/tcp/1']) {
    for (const insecure of [false, true]) {
      const error = refusal({ data: 'x', join: [`${address}/p2p/${peer}`, address], insecure })
      assert.is(error.code, 'BAD_CONFIG')
      assert.match(error.message, '--ring ID')
    }
    assert.equal(loadConfig({ data: 'x', join: [`${address}/p2p/${peer}`] }, {}).join, [`${address}/p2p/${peer}`])
    assert.equal(loadConfig({ data: 'x', join: [address], ring }, {}).ring, ring)
    assert.equal(loadConfig({ data: 'x', join: [address], 'secret-file': 's' }, {}).join, [address])
  }
  assert.equal(loadConfig({ data: 'x', join: ['/ip4/127.0.0.1/tcp/1'] }, {}).join, ['/ip4/127.0.0.1/tcp/1'])
  assert.match(refusal({ data: 'x', ring: 'abc' }).message, /32 hex digits/)
})

config('takes addresses to announce, and needs a secret when other machines reach one of them', () => {
  const near = ['/ip4/127.0.0.1/tcp/1', '/dns4/localhost/tcp/2']
  assert.equal(loadConfig({ data: 'x', announce: near }, {}).announce, near)
  assert.equal(loadConfig({ data: 'x' }, { RINGD_ANNOUNCE: near.join(',') }).announce, near)
  const far = '/dns4/peer.example.org/tcp/4710'
  const error = refusal({ data: 'x', announce: far })
  assert.is(error.code, 'BAD_CONFIG')
  assert.match(error.message, /^announce: other machines can reach \/dns4\/peer/)
  assert.equal(loadConfig({ data: 'x', announce: far, 'secret-file': 's' }, {}).announce, [far])
})

config('refuses unusable addresses with BAD_ADDRESS', () => {
  const wrong: Array<[key: string, value: string | string[]]> = [
    ['listen', ['/ip4/127.0.0.1/udp/1']],
    ['listen', ['/ip4/127.0.0.1/tcp/99999']],
    ['listen', ['/ip4/127.0.0.1']],
    ['listen', ['']],
    ['listen', ['/dns4/example.org/tcp/1']],
    ['announce', ['/ip4/127.0.0.1/tcp/0']],
    ['announce', ['/ip4/0.0.0.0/tcp/1']],
    ['announce', ['/ip6/::/tcp/1']],
    ['announce', ['/ip4/127.0.0.1/udp/1']],
    ['announce', ['127.0.0.1:1']],
    ['join', ['127.0.0.1:4710']],
    ['join', ['/ip4/1.2.3/tcp/1']],
    ['join', ['/ip4/127.0.0.1/tcp/0']],
    ['join', ['/ip4/127.0.0.1/tcp/1/p2p/garbage']],
    ['join', [`/dns4/${'a'.repeat(2000)}/tcp/1`]],
    ['resp', '4712'],
    ['resp', '127.0.0.1:99999'],
    ['resp', '1.2.3:4712'],
    ['resp', '[127.0.0.1]:4712'],
    ['resp', 'a b:1']
  ]
  for (const [key, value] of wrong) {
    const error = refusal({ data: 'x', [key]: value })
    assert.is(error.code, 'BAD_ADDRESS', `${key} ${value}`)
    assert.match(error.message, new RegExp(`^--${key}: `))
    assert.is(error.message.split('\n').length, 1)
  }
})

config('opens the Redis door to other machines only with a password', () => {
  const open = { data: 'x', resp: '0.0.0.0:4712' }
  assert.match(refusal(open).message, /set resp-password-file as well, or listen on 127\.0\.0\.1$/)
  assert.is(refusal(open).code, 'BAD_CONFIG')
  assert.is(loadConfig({ ...open, 'resp-password': 'secret' }, {}).respPassword, 'secret')
  for (const resp of ['localhost:1', '[::1]:1', '127.1.2.3:1']) assert.ok(loadConfig({ data: 'x', resp }, {}).resp)
})

config('never shows a password', () => {
  const error = refusal({ config: file('data: x\nresp-password: 123456\n') })
  assert.not.match(error.message, /123456/)
})

config('reads the password of Redis clients from a file that only its owner may read', () => {
  const path = file('correct horse\n')
  chmodSync(path, 0o600)
  const flags = { data: 'x', 'resp-password-file': path }
  assert.is(loadConfig(flags, {}).respPassword, 'correct horse')
  assert.is(loadConfig({ data: 'x' }, { RINGD_RESP_PASSWORD_FILE: path }).respPassword, 'correct horse')
  for (const mode of [0o640, 0o604, 0o610]) {
    chmodSync(path, mode)
    assert.is(refusal(flags).code, 'BAD_CONFIG')
    assert.match(refusal(flags).message, /: other users can read it \(mode 06\d\d\); run chmod 600 on it$/)
  }
})

config('refuses a password file that is missing, empty, too long or of several lines, and never shows it', () => {
  const refused = (path: string) => refusal({ data: 'x', 'resp-password-file': path }).message
  assert.match(refused(join(folder, 'none')), /^resp-password-file: .*ENOENT/)
  for (const text of ['', '\n', 'secret\nsecret\n', 'secret\rsecret', 'secret'.repeat(200)]) {
    const path = file(text)
    chmodSync(path, 0o600)
    assert.match(refused(path), /expected one line|longer than 1024 bytes/)
    assert.not.match(refused(path), /secret/)
  }
})

config('refuses a password beside a password file', () => {
  const error = refusal({ data: 'x', 'resp-password': 'secret', 'resp-password-file': '/none' })
  assert.is(error.code, 'BAD_CONFIG')
  assert.match(error.message, /are both set; give one of them$/)
})

config('describes a wrong file in one line', () => {
  assert.match(refusal({ config: join(folder, 'none.yaml') }).message, /none\.yaml: ENOENT/)
  assert.is(refusal({ config: file('a: b: c\n') }).message.split('\n').length, 1)
  assert.match(refusal({ config: file('- a\n- b\n') }).message, /expected lines of "key: value"$/)
  assert.match(refusal({ config: file(`# ${'x'.repeat(1024 * 1024)}\n`) }).message, /larger than 1048576 bytes$/)
  assert.match(refusal({ config: file('') }).message, /^--data is missing/)
})

config('finds the nearest word', () => {
  assert.is(nearest('wieght', ['zone', 'weight', 'data']), 'weight')
  assert.is(nearest('x'.repeat(100_000), ['zone']), 'zone')
})

config.run()
