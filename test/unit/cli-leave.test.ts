// `ringd leave` tells success from failure, also when the daemon ends before it was asked once more.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { untilLeft } from '../../daemon/commands/depart.js'
import type { IdReport, MemberReport, StatusReport } from '../../lib/client/reports.js'
import { RingdError } from '../../lib/errors.js'

const leave = suite('leave')
const LEAVER = 'a'.repeat(32)
const OTHER = 'b'.repeat(32)

type Answer<T> = T | 'unreachable'

/** A status in which these members are left. */
function status(...members: string[]): StatusReport {
  const rows = members.map((storeId) => ({ storeId, addresses: [`/${storeId.slice(0, 1)}`, '/second'] }))
  return {
    members: rows as Partial<MemberReport>[],
    departing: [],
    surplus: 5
  } as Partial<StatusReport> as StatusReport
}

/** Plays the peer: each call takes the next answer. Resolves with what was shown and which peers were asked. */
async function play(
  ids: Answer<string>[],
  statuses: Answer<StatusReport>[],
  others: Answer<StatusReport>[] = []
): Promise<{ code: string; shown: (number | undefined)[]; asked: readonly string[][]; pauses: number }> {
  const shown: (number | undefined)[] = []
  const asked: string[][] = []
  let pauses = 0
  const take = async <T>(answers: Answer<T>[]): Promise<T> => {
    const answer = answers.shift()
    if (answer === undefined || answer === 'unreachable') throw new RingdError('UNREACHABLE')
    return answer as T
  }
  const peer = {
    id: async () => ({ storeId: await take(ids) }) as Partial<IdReport> as IdReport,
    status: () => take(statuses)
  }
  const deps = {
    askOther: (addresses: readonly string[]) => {
      asked.push([...addresses])
      return take(others)
    },
    show: (left: number | undefined) => void shown.push(left),
    pause: async () => {
      pauses += 1
    }
  }
  const code = await untilLeft(peer, LEAVER, deps).then(
    () => 'left',
    (thrown: RingdError) => thrown.code
  )
  return { code, shown, asked, pauses }
}

leave('succeeds when the member was seen out of the ring, and its daemon has ended', async () => {
  const { code, shown, asked } = await play([LEAVER, LEAVER, 'unreachable'], [status(LEAVER, OTHER), status(OTHER)])
  assert.is(code, 'left')
  assert.equal(shown, [undefined, 5])
  assert.equal(asked, [])
})

leave('asks the other members when the daemon ended before it was seen out of the ring', async () => {
  const { code, asked } = await play(
    [LEAVER, 'unreachable'],
    [status(LEAVER, OTHER)],
    [status(LEAVER, OTHER), status(OTHER)]
  )
  assert.is(code, 'left')
  assert.equal(asked, [['/b'], ['/b']])
})

leave('asks the other members when the daemon ended between two questions', async () => {
  const { code } = await play([LEAVER, LEAVER], [status(LEAVER, OTHER), 'unreachable'], [status(OTHER)])
  assert.is(code, 'left')
})

leave('succeeds when another peer answers in its place, and the ring goes on without the member', async () => {
  assert.is((await play([LEAVER, OTHER], [status(LEAVER, OTHER), status(OTHER)])).code, 'left')
})

leave('fails when the daemon ended and the others still count the member', async () => {
  const still = Array.from({ length: 20 }, () => status(LEAVER, OTHER))
  const { code, pauses } = await play([LEAVER, 'unreachable'], [status(LEAVER, OTHER)], still)
  assert.is(code, 'UNREACHABLE')
  assert.ok(pauses < 20, 'it does not wait for ever')
  const instead = await play([LEAVER, OTHER], [status(LEAVER, OTHER), ...still])
  assert.is(instead.code, 'UNREACHABLE')
})

leave('fails when neither the daemon nor another member answers', async () => {
  assert.is((await play([LEAVER, 'unreachable'], [status(LEAVER, OTHER)])).code, 'UNREACHABLE')
})

leave.run()
