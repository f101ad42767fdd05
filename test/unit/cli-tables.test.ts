// Reports as tables of plain text, without bytes that control a terminal.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseSlots, renderRepair } from '../../daemon/commands/repair.js'
import { renderId, renderRing, renderStatus, renderWhere } from '../../daemon/commands/reports.js'
import { humanBytes, printable, table } from '../../daemon/commands/table.js'
import type { MemberReport, StatusReport } from '../../lib/client/reports.js'
import { endNotice, waves } from '../../scripts/start.js'

const tables = suite('tables')
const A = 'a'.repeat(32)
const B = 'b'.repeat(32)

const member: MemberReport = {
  peerId: '12D3KooWx',
  storeId: A,
  state: 'up',
  reason: '',
  zone: '',
  addresses: ['/ip4/127.0.0.1/tcp/4710'],
  tokens: 64,
  owns: 16384,
  keys: 12,
  bytes: 1536
}

const status: StatusReport = {
  view: 2,
  digest: 'd1',
  agree: true,
  replicas: 3,
  health: 'healthy',
  slots: { settled: 16384, moving: 0, atRisk: 0, short: 0, etaS: 0 },
  leaving: false,
  surplus: 0,
  hints: { entries: 0, bytes: 0 },
  members: [
    member,
    { ...member, storeId: B, state: 'down', reason: 'no link', zone: 'z', keys: null, bytes: null, addresses: [] }
  ],
  departing: []
}

tables('line up columns and leave no space at line ends', () => {
  assert.is(table(['A', 'BB'], [['xxx', '1']], ['left', 'right']), 'A    BB\nxxx   1\n')
  assert.is(table(['A', 'B'], [['x', '']], []), 'A  B\nx\n')
})

tables('show the status with a row for each member', () => {
  const text = renderStatus(status)
  assert.match(text, /view 2, digest d1, all agree/)
  assert.match(text, /16384 settled, 0 moving; 3 copies/)
  assert.match(text, /^aaaaaaaa {2}up +- +64 +16384 +12 +1\.5 KiB {2}\/ip4\/127\.0\.0\.1\/tcp\/4710$/m)
  assert.match(text, /^bbbbbbbb {2}down {3}z .* \? {8}\? {2}-$/m)
})

tables('show moving slots and slots at risk only when there are some', () => {
  const text = renderStatus({ ...status, agree: false, slots: { ...status.slots, settled: 0, moving: 1, atRisk: 2 } })
  assert.match(text, /peers differ/)
  assert.match(text, /1 moving, 2 at risk;/)
})

tables('show missing copies and for how long, and why a member is not up', () => {
  const shown = (short: number, etaS: number | null) =>
    renderStatus({ ...status, slots: { ...status.slots, short, etaS } })
  assert.match(shown(7, 12), /0 moving, 7 short of copies \(about 12 s left\); 3 copies/)
  assert.match(shown(7, null), /7 short of copies \(time left unknown\)/)
  assert.not.match(shown(0, 0), /short/)
  assert.match(shown(0, 0), /^bbbbbbbb: no link$/m)
})

tables('show hints only when there are some, and no hints of a peer that does not report them', () => {
  const kept = renderStatus({ ...status, hints: { entries: 7, bytes: 1536 } })
  assert.match(kept, /^hints {3}7 kept for members that are away, 1\.5 KiB$/m)
  const { hints: _, ...older } = status
  for (const report of [status, older as StatusReport]) assert.not.match(renderStatus(report), /hints/)
})

tables('show ranges, owners and ids', () => {
  const ring = renderRing({ view: 1, digest: 'd', replicas: 1, ranges: [{ first: 0, last: 16383, owners: [A, B] }] })
  assert.match(ring, /^ +0 {2}16383 {2}16384 {2}aaaaaaaa bbbbbbbb$/m)
  const owners = [{ peerId: 'p', storeId: A, state: 'up' as const, addresses: ['/x'] }]
  const still = renderWhere({ key: 'k', slot: 7, owners, window: [[A]] })
  assert.match(still, /^key "k", slot 7\n\nSTORE/)
  assert.match(renderWhere({ key: 'k', slot: 7, owners, window: [[A], [B]] }), /^moving: aaaaaaaa -> bbbbbbbb$/m)
  const id = renderId({ peerId: 'p', storeId: A, ringId: '', addresses: ['/x', '/y'], version: '1' })
  assert.match(id, /^ring {5}\(none yet\)\naddress {2}\/x\naddress {2}\/y\nversion {2}1$/m)
})

tables('drop bytes that control a terminal', () => {
  assert.is(printable('\u001b[2Jx\u0007\n'), 'x??')
})

tables('show sizes in units', () => {
  assert.equal([0, 1023, 1024, 5 * 1024 ** 4].map(humanBytes), ['0 B', '1023 B', '1.0 KiB', '5.0 TiB'])
})

tables('plan the start of three peers from what is on disk', () => {
  const plan = (...names: string[]) =>
    waves(new Set(names)).map((wave) => wave.map(({ name, join }) => `${name}:${join.map((a) => a.slice(-4))}`))
  assert.equal(plan(), [['a:'], ['b:4710', 'c:4710']])
  assert.equal(plan('a', 'b', 'c'), [['a:', 'b:4710,4730', 'c:4710,4720']])
  assert.equal(plan('b', 'c'), [['b:', 'c:4720'], ['a:4720,4730']])
  assert.equal(plan('a'), [['a:'], ['b:4710', 'c:4710']])
})

tables('say of an ended peer which other peers of npm start still run', () => {
  assert.match(endNotice('exited with 1', 2), /^exited with 1\. The other 2 peers continue\. .*press Ctrl-C/)
  assert.match(endNotice('exited with 1', 1), /The other peer continues\./)
  const last = endNotice('was ended by SIGKILL', 0)
  assert.match(last, /^was ended by SIGKILL\. It was the last peer\. .*run npm start$/)
  assert.not.match(last, /continue|Ctrl-C/)
})

tables('report compared, healed and unreachable owners of a repair', () => {
  const report = {
    running: false,
    first: 0,
    last: 99,
    owners: 2,
    compared: 1,
    slots: 100,
    differing: 3,
    sentEntries: 1,
    sentBytes: 2048,
    receivedEntries: 4,
    receivedBytes: 10,
    failures: [{ storeId: A, error: 'UNREACHABLE' }],
    rounds: []
  }
  assert.is(
    renderRepair(report),
    [
      'slots     0-99: 100 compared, 3 differed (counted once for each owner)',
      'owners    1 of 2 compared with',
      'sent      1 entries, 2.0 KiB',
      'received  4 entries, 10 B',
      `failed    ${A} (UNREACHABLE)`,
      ''
    ].join('\n')
  )
})

tables('accept slots as one number or a range, and nothing else', () => {
  assert.equal(parseSlots('7'), { first: 7, last: 7 })
  assert.equal(parseSlots('0-16383'), { first: 0, last: 16383 })
  for (const text of ['', '-', '5-4', '0-16384', 'a-b', '1-2-3', ' 1', '-1']) assert.throws(() => parseSlots(text))
})

tables.run()
