// What `ringd transfers` prints.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { renderMove, renderTransfers } from '../../daemon/commands/transfers.js'
import type { EndedTransferReport, TransferReport, TransfersReport } from '../../lib/client/reports.js'
import { type EtaRow, etaRows, etaTable } from '../../scripts/bench-move-eta.js'

const test = suite('transfers, printed')
const A = 'a'.repeat(32)
const B = 'b'.repeat(32)
const NOW = 1_700_000_100_000

const running: TransferReport = {
  why: 'join',
  from: A,
  to: B,
  config: 2,
  slots: 512,
  slotsInAll: 4096,
  entries: 1500,
  bytes: 1_572_864,
  bytesPerS: 3_145_728,
  etaS: 12,
  heldBy: 'disk',
  receipt: { ranges: [{ first: 0, last: 511 }], rangesLeftOut: 0, entries: 1490, checksum: 0xbeef },
  beganAtMs: NOW - 20_000
}

const { slotsInAll: _all, bytesPerS: _rate, etaS: _eta, heldBy: _by, ...common } = running
const ended: EndedTransferReport = { ...common, why: 'loss', state: 'done', endedAtMs: NOW - 5000 }

const report: TransfersReport = {
  view: 3,
  move: { copies: 3584, bytes: 34_603_008, etaS: 12, etaMs: 11_400 },
  running: [running],
  ended: [ended],
  failures: []
}

test('running transfers have a row each, below the move as a whole', () => {
  const text = renderTransfers(report, NOW)
  assert.match(text, /^move {4}3584 copies of slots to make, 33\.0 MiB; about 12 s left, view 3$/m)
  assert.match(text, /^WHY +FROM +TO +SLOTS +KEYS +BYTES +RATE +ETA +HELD BY$/m)
  assert.match(text, /^join +aaaaaaaa +bbbbbbbb +512\/4096 +1500 +1\.5 MiB +3\.0 MiB\/s +12 s +disk$/m)
})

test('those that have ended show their receipt, how long they took, and how long ago that was', () => {
  const text = renderTransfers(report, NOW)
  assert.match(text, /^loss +aaaaaaaa +bbbbbbbb +512 +1500 +1\.5 MiB +1490 +0000beef +15\.000s +5\.000s ago +done$/m)
  const quiet = { ...ended, entries: 0 }
  assert.match(
    renderTransfers({ ...report, ended: [ended, quiet, quiet] }, NOW),
    /^2 more have ended that found nothing/m
  )
})

test('what is not known, and who did not answer, is said', () => {
  const failures = Array.from({ length: 7 }, () => ({ storeId: A, error: 'TIMEOUT' }))
  const move = { copies: 10, bytes: null, etaS: null, etaMs: null }
  const text = renderTransfers({ ...report, move, failures, running: [{ ...running, etaS: null }] }, NOW)
  assert.match(text, /10 copies of slots to make; time left unknown/)
  assert.match(text, /^no answer from aaaaaaaa \(TIMEOUT\), .* and 2 more$/m)
  assert.match(text, / \? +disk$/m)
  assert.is(renderMove({ copies: 0, bytes: 0, etaS: 0, etaMs: 0 }), 'nothing moves')
  const nothing = { ...report, move: { copies: 0, bytes: 0, etaS: 0, etaMs: 0 }, running: [], ended: [] }
  assert.is(renderTransfers(nothing, NOW), 'move    nothing moves, view 3\n')
})

test('the benchmark compares the told time with the true one at each tenth of the move', () => {
  const told = Array.from({ length: 11 }, (_, at) => ({
    at: at * 1000,
    etaMs: (10 - at) * 1100,
    bytes: 1000 - at * 100
  }))
  const rows = etaRows([{ at: 0, etaMs: null, bytes: 0 }, ...told], 10_000)
  assert.equal(
    rows.map(({ at }) => at),
    [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000]
  )
  for (const { error } of rows as (EtaRow & { error: number })[]) assert.ok(Math.abs(error - 0.1) < 1e-9)
  assert.match(etaTable(rows), /largest error: 10 %$/)
  assert.match(
    etaTable(
      etaRows(
        [
          { at: 0, etaMs: null, bytes: 10 },
          { at: 10, etaMs: null, bytes: 2 }
        ],
        20
      )
    ),
    /-/
  )
})

test.run()
