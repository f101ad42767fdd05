// Reports as tables of plain text, without bytes that control a terminal.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { shownValue } from '../../daemon/commands/data.js'
import { parseSlots, renderRepair } from '../../daemon/commands/repair.js'
import { rendered, renderId, renderRing, renderStatus, renderWhere } from '../../daemon/commands/reports.js'
import { humanBytes, table } from '../../daemon/commands/table.js'
import { fromText, toText } from '../../lib/bytes.js'
import type { MemberReport, StatusReport } from '../../lib/client/reports.js'
import { printable, printableBytes, printableLines, printableValues } from '../../lib/printable.js'
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
  bytes: 1536,
  conditions: [],
  unreachableFrom: []
}

const status: StatusReport = {
  view: 2,
  digest: 'd1',
  agree: true,
  replicas: 3,
  health: 'healthy',
  ready: true,
  notReady: [],
  advice: [],
  slots: { settled: 16384, moving: 0, atRisk: 0, unwritable: 0, short: 0, etaS: 0 },
  move: { copies: 0, bytes: 0, etaS: 0, etaMs: 0 },
  leaving: false,
  surplus: 0,
  hints: { entries: 0, bytes: 0 },
  moveLimitBytesPerS: null,
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

tables('show what a move still has to copy, and its time in place of that of the slots that are short', () => {
  const slots = { ...status.slots, short: 700, etaS: 40 }
  const text = renderStatus({ ...status, slots, move: { copies: 900, bytes: 2048, etaS: 3, etaMs: 2400 } })
  assert.match(text, /16384 settled, 0 moving, 700 short of copies; 3 copies/)
  assert.match(text, /^move {4}900 copies of slots to make, 2\.0 KiB; about 3 s left$/m)
  assert.not.match(renderStatus(status), /^move/m)
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

tables('show conditions, slots that are not writable, who does not reach whom, and advice', () => {
  const C = 'c'.repeat(32)
  const says = 'the disk has 3 MiB left'
  const members = [
    { ...member, conditions: [{ name: 'disk-full', says }], unreachableFrom: [B] },
    { ...member, storeId: B, state: 'down' as const, reason: 'no link', unreachableFrom: [A, C] },
    { ...member, storeId: C }
  ]
  const slots = { ...status.slots, unwritable: 7 }
  const text = renderStatus({ ...status, health: 'read-only', members, slots, advice: ['do this'] })
  assert.match(text, /^ring {4}read-only, /)
  assert.match(text, /0 moving, 7 not writable; 3 copies/)
  assert.match(
    text,
    /^aaaaaaaa: disk-full: the disk has 3 MiB left\naaaaaaaa: unreachable from bbbbbbbb\nbbbbbbbb: no link$/m
  )
  assert.not.match(text, /bbbbbbbb: unreachable/, 'that nobody reaches it is said by its state')
  assert.match(text, /\ndo this\n$/)
  const unready = renderStatus({ ...status, ready: false, notReady: ['no majority', 'no store'] })
  assert.match(unready, /^this peer serves no clients: no majority; no store$/m)
})

tables('show a report of an older version, without the fields that it has not', () => {
  const { advice: _a, ready: _r, notReady: _n, ...rest } = status
  const members = rest.members.map(({ conditions: _c, unreachableFrom: _u, ...older }) => older)
  const { unwritable: _w, ...slots } = rest.slots
  const text = renderStatus({ ...rest, members, slots } as unknown as StatusReport)
  assert.is(text, renderStatus(status))
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

const HOSTILE = '\u001b[2J\u009b31m\u0007\u007f\u202e\u2066\r\nx'
const HARMLESS = '\\u001b[2J\\u009b31m\\u0007\\u007f\\u202e\\u2066\\r\\nx'

tables('show visible escapes in place of characters that control a terminal, in every field of a report', () => {
  const hostile = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(hostile)
    if (typeof value !== 'object' || value === null) return HOSTILE
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, hostile(inner)]))
  }
  const member = status.members[1]!
  const owners = [{ peerId: 'p', storeId: A, state: 'up' as const, addresses: ['/x'] }]
  const ring = { view: 1, digest: 'd', replicas: 1, ranges: [{ first: 0, last: 1, owners: [A, B] }] }
  const texts = [
    rendered('status', JSON.stringify(hostile({ ...status, members: [member], departing: owners })), renderStatus),
    rendered('ring', JSON.stringify(hostile(ring)), renderRing),
    rendered('where', JSON.stringify(hostile({ key: 'k', slot: 7, owners, window: [[A], [B]] })), renderWhere),
    rendered(
      'id',
      JSON.stringify(hostile({ peerId: '', storeId: '', ringId: '', addresses: [''], version: '' })),
      renderId
    )
  ]
  for (const text of texts) {
    assert.ok(text.includes('\\u001b'), text)
    assert.is(printableLines(text), text, JSON.stringify(text))
    assert.not.match(text, /^x/m, 'a newline of the peer begins no line')
  }
})

tables('keep the lines of metrics, and nothing else that controls a terminal', () => {
  const json = JSON.stringify({ text: `a 1\nb${HOSTILE}` })
  assert.is(
    rendered('metrics', json, ({ text }) => text),
    `a 1\nb${HARMLESS.replace('\\n', '\n')}`
  )
})

tables('escape one line, several lines, JSON and bytes', () => {
  assert.is(printable(HOSTILE), HARMLESS)
  assert.is(printable('Grüße 日本 👩‍👩‍👧 \\'), 'Grüße 日本 👩‍👩‍👧 \\')
  assert.is(printableLines('a\tb\nc\u001b'), 'a\tb\nc\\u001b')
  const data = { zone: HOSTILE, list: [1, null, HOSTILE] }
  for (const json of [JSON.stringify(data), JSON.stringify(data, undefined, 2)]) {
    const safe = printableLines(json)
    assert.equal(JSON.parse(safe), data)
    assert.not.match(safe, /[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
  }
  assert.equal(printableValues(data), { zone: HARMLESS, list: [1, null, HARMLESS] })
  assert.is(printableBytes(fromText('ä\u001b[2J\n')), 'ä\\u001b[2J\n')
  assert.is(printableBytes(Uint8Array.of(0x41, 0xff, 0x9b, 0x00, 0x0a)), 'A\\xff\\x9b\\x00\n')
})

tables('print a value as it is into a pipe, and with escapes on a terminal', () => {
  const value = fromText('\u001b]0;title\u0007')
  assert.is(shownValue(value, { terminal: false, raw: false }), value)
  assert.is(toText(shownValue(value, { terminal: true, raw: true })), `${toText(value)}\n`)
  assert.is(toText(shownValue(value, { terminal: true, raw: false })), '\\u001b]0;title\\u0007\n')
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
