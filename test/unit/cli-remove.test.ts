// `ringd remove` ends in bounded time, whatever the peer answers, and however slowly.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { untilRemoved } from '../../daemon/commands/depart.js'
import type { MemberReport, StatusReport } from '../../lib/client/reports.js'
import type { RingdError } from '../../lib/errors.js'

const test = suite('remove')
const GONE = 'a'.repeat(32)

function status(isMember: boolean, moving: number): StatusReport {
  const members = (isMember ? [{ storeId: GONE }] : []) as Partial<MemberReport>[]
  return { members, departing: [], slots: { moving } } as unknown as StatusReport
}

/** Each answer of the peer takes `answerMs`. The last status is repeated for ever. */
async function play(answerMs: number, ...statuses: StatusReport[]): Promise<{ end: string; minutes: number }> {
  let now = 0
  let asked = 0
  const peer = {
    status: async () => {
      now += answerMs
      return statuses[Math.min(asked++, statuses.length - 1)]!
    }
  }
  const pause = async () => {
    now += 300
  }
  const end = await untilRemoved(peer, GONE, { show: () => {}, pause, elapsedMs: () => now }).then(
    () => 'removed',
    (thrown: RingdError) => thrown.code
  )
  return { end, minutes: Math.round(now / 60_000) }
}

test('it ends when the member is out and no slot moves', async () => {
  assert.equal(await play(10, status(true, 0), status(false, 5), status(false, 0)), { end: 'removed', minutes: 0 })
})

test('it gives up after 70 s when the members do not agree, also when each answer takes long', async () => {
  for (const answerMs of [1, 5000]) assert.equal(await play(answerMs, status(true, 0)), { end: 'TIMEOUT', minutes: 1 })
})

test('it gives up when slots stop to move', async () => {
  assert.equal(await play(10, status(true, 0), status(false, 9)), { end: 'TIMEOUT', minutes: 10 })
})

test('slots that go on moving are waited for, for as long as it takes', async () => {
  const steps = Array.from({ length: 50 }, (_, at) => status(false, 50 - at))
  assert.equal(await play(300_000, ...steps, status(false, 0)), { end: 'removed', minutes: 255 })
})

test.run()
