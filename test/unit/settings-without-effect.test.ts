// Settings that were given and do nothing: each is told, with the reason and what to do. Defaults are never told.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadConfig } from '../../daemon/config.js'
import { beatenSettings, overruledSettings } from '../../daemon/settings-without-effect.js'

const test = suite('settings without effect')

const MEMBER = { storeId: 'ab'.repeat(16), peerId: 'p', tokens: [1], zone: 'rack-1', weight: 2 }
const OPEN = { listen: '/ip4/10.0.0.1/tcp/1' }

const beaten = (flags: Record<string, unknown>) => beatenSettings(loadConfig({ data: 'x', ...flags }, {}))
const RING = { replicas: 3, members: 4, member: MEMBER, address: '/ip4/10.0.0.2/tcp/1' }
const overruled = (flags: Record<string, unknown>, ring = {}) =>
  overruledSettings(loadConfig({ data: '/x', ...flags }, {}), { ...RING, ...ring })

test('nothing is told of defaults, and of settings that the ring agrees with', () => {
  assert.equal(beaten({}), [])
  assert.equal(overruled({}), [])
  assert.equal(overruled({ replicas: '3', zone: 'rack-1', weight: '2' }), [])
  assert.equal(overruled({ zone: 'z' }, { member: undefined }), [])
})

test('another number of copies, zone or weight than the ring has is told, with what to do', () => {
  const [replicas, ...none] = overruled({ replicas: '5' })
  assert.match(replicas!, /^replicas 5 has no effect: the ring keeps 3 copies/)
  assert.equal(none, [])
  const [zone, weight] = overruled({ zone: '', weight: '8' })
  const typed = 'run "ringd leave --data /x", then start this daemon again with "--join /ip4/10.0.0.2/tcp/1"'
  assert.match(zone!, /^zone "" has no effect: .* zone "rack-1" and keeps it; to change it, /)
  assert.ok(zone!.endsWith(typed), zone)
  assert.match(weight!, /^weight 8 has no effect: .* weight 2 and keeps it; /)
  assert.ok(weight!.endsWith(typed), weight)
})

test('a member of a ring that has as few members as copies is told to leave by force, and what that costs', () => {
  const [few] = overruled({ weight: '8' }, { members: 3 })
  assert.match(few!, /run "ringd leave --force --data \/x", .*; each entry has a copy less meanwhile, unless/)
  const [only] = overruled({ weight: '8' }, { members: 1, address: undefined })
  assert.match(only!, /have another peer join first, then run "ringd leave --force --data \/x", .* "--join ADDRESS"$/)
})

test('the directory is told as a shell takes it', () => {
  const [spaced] = overruled({ data: "/a b/it's", weight: '8' })
  assert.ok(spaced!.includes(`--data '/a b/it'\\''s'"`), spaced)
})

test('a variable and the file give a setting as a flag does', () => {
  const config = loadConfig({ data: 'x' }, { RINGD_REPLICAS: '5' })
  assert.is(overruledSettings(config, { ...RING, member: undefined }).length, 1)
})

test('a setting that another one leaves without effect is told', () => {
  const cases: ReadonlyArray<readonly [Record<string, unknown>, RegExp]> = [
    [
      { 'port-base': '4710', resp: 'off', listen: '/ip4/127.0.0.1/tcp/1' },
      /^port-base .* listen and resp are both set$/
    ],
    [{ insecure: true }, /^insecure .* no other machine/],
    [{ ...OPEN, insecure: true, 'secret-file': '/s' }, /^insecure .* secret file$/],
    [{ resp: 'off', 'resp-password': 'x' }, /^resp-password .* resp is off$/],
    [{ resp: 'off', 'resp-idle-timeout': '5' }, /^resp-idle-timeout .* resp is off$/],
    [{ 'hint-bytes': '0', 'hint-hours': '5' }, /^hint-hours .* hint-bytes is 0$/],
    [{ 'evict-after': '0', 'on-loss': 'wait' }, /^on-loss .* evict-after is 0$/]
  ]
  for (const [flags, told] of cases) {
    const sentences = beaten(flags)
    assert.is(sentences.length, 1, JSON.stringify(flags))
    assert.match(sentences[0]!, told)
  }
  assert.equal(beaten({ ...OPEN, insecure: true }), [])
  assert.equal(beaten({ 'port-base': '4710', resp: 'off' }), [])
})

test.run()
