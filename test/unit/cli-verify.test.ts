// The words and the exit code of `ringd verify`, and the words of `ringd plan`.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { planOf, renderPlan } from '../../daemon/commands/plan.js'
import { renderVerify, verdictOf } from '../../daemon/commands/verify.js'
import type { LoadReport, VerifyReport } from '../../lib/client/reports.js'
import { RingdError } from '../../lib/errors.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { grow } from './ring-support.js'

const test = suite('cli verify and plan')
const A = 'a'.repeat(32)
const B = 'b'.repeat(32)

const equal: VerifyReport = {
  running: false,
  first: 0,
  last: 99,
  slots: 100,
  compared: 100,
  equal: 100,
  differing: 0,
  changing: 0,
  unanswered: 0,
  moving: 0,
  cleared: 0,
  differences: [],
  failures: []
}
const owners = [
  { storeId: A, entries: 2, group: 0 },
  { storeId: B, entries: 1, group: 1 }
]

test('equal slots are one line and exit code 0', () => {
  assert.is(renderVerify(equal), 'slots     0-99: 100 of 100 equal at all owners, 0 differ\n')
  assert.is(verdictOf(equal), undefined)
})

test('a difference is 11, and anything that was not compared is 4', () => {
  const differs = {
    ...equal,
    equal: 98,
    differing: 1,
    unanswered: 1,
    differences: [{ slot: 7, changing: false, owners }]
  }
  assert.is(verdictOf(differs)?.form.exit, 11)
  assert.match(renderVerify(differs), /^differs {3}slot 7: aaaaaaaa 2 entries \(A\), bbbbbbbb 1 entries \(B\)$/m)
  for (const field of ['changing', 'unanswered', 'moving'] as const) {
    const report = { ...equal, equal: 99, [field]: 1 }
    assert.is(verdictOf(report)?.form.exit, 4, field)
    assert.is(verdictOf(report)?.code, 'COPIES_UNKNOWN')
    assert.is(renderVerify(report).split('\n').length, 3, field)
  }
})

test('owners that failed are named, and many differences are cut short', () => {
  const differences = Array.from({ length: 30 }, (_, slot) => ({ slot, changing: slot === 0, owners }))
  const failures = [{ storeId: A, error: 'TIMEOUT', slots: 40 }]
  const text = renderVerify({ ...equal, equal: 70, differing: 29, changing: 1, differences, failures })
  assert.match(text, /^failed {4}a{32} of 40 slots \(TIMEOUT\)$/m)
  assert.match(text, /^changing {2}slot 0: /m)
  assert.match(text, /^ {10}and 10 more; see --json$/m)
})

const load: LoadReport = {
  view: 3,
  digest: 'd',
  replicas: 3,
  members: grow(3, 3)[3]!.map((member) => ({ ...member, state: 'up', unready: [] })),
  moving: 5,
  entries: new Array<number>(SLOTS).fill(1),
  bytes: new Array<number>(SLOTS).fill(1024),
  failures: [{ storeId: A, error: 'UNREACHABLE' }],
  paceBytesPerS: 1024 * 1024
}

test('a plan names what moves, what to know before, and who did not tell', () => {
  const { storeId } = load.members[0]!
  const text = renderPlan(
    planOf(load, () => ({ kind: 'leave', member: storeId })),
    load.failures
  )
  assert.match(text, /^moves {5}0 entries, 0 B, in 0 copies of slots$/m)
  assert.match(text, /^short {5}0 slots now, 0 while it moves, 16384 at the end$/m)
  assert.match(text, /^ringd leave is refused without --force/m)
  assert.match(text, /^a{32} did not tell what it holds \(UNREACHABLE\)$/m)
  assert.match(text, /^5 slots are moving already/m)
  assert.is(text.match(new RegExp(`^${storeId.slice(0, 8)} .* - +- +- +- +- +- +-$`, 'm')) === null, false)
  const join = renderPlan(
    planOf(load, () => ({ kind: 'join', zone: '', weight: 1 })),
    []
  )
  assert.match(join, /^time {6}about 1\d s$/m)
  assert.match(join, /^new {7}- {10}1 +- +- +- +12\d{3} +12\d{3} +1\d\.\d MiB +- +- +12\d{3} +1\d\.\d MiB$/m)
})

test('a report of another form is BAD_MESSAGE', () => {
  const strange = [
    { ...load, entries: [1] },
    { ...load, members: undefined },
    { ...load, bytes: undefined }
  ]
  for (const report of strange) {
    assert.throws(
      () => planOf(report as unknown as LoadReport, () => ({ kind: 'join', zone: '', weight: 1 })),
      (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
    )
  }
})

test.run()
