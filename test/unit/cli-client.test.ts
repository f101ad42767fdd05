// The TypeScript client on a scripted link: its requests, its reading of answers, and when it dials.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromText, toText } from '../../lib/bytes.js'
import { type ClientLink, RingdClient } from '../../lib/client/client.js'
import { type ErrorCode, RingdError, toRingdError } from '../../lib/errors.js'
import type { Body } from '../../lib/network/network.js'

const client = suite('client')

/** A peer that gives the answers in `answers`, in turn. */
class FakePeer {
  readonly asked: Body[] = []
  readonly dialled: string[] = []
  readonly down = new Set<string>()
  closed = 0
  answers: Array<Body | RingdError> = []

  readonly dial = async (address: string, timeoutMs: number): Promise<ClientLink> => {
    assert.is(timeoutMs, 15_000)
    this.dialled.push(address)
    if (this.down.has(address)) throw new RingdError('UNREACHABLE', address)
    return {
      request: async (body, requestTimeoutMs) => {
        assert.is(requestTimeoutMs, 15_000)
        this.asked.push(body)
        const answer = this.answers.shift() ?? new RingdError('TIMEOUT')
        if (answer instanceof RingdError) throw answer
        return answer
      },
      close: async () => {
        this.closed++
      }
    }
  }
}

async function connected(...answers: Array<Body | RingdError>): Promise<[RingdClient, FakePeer]> {
  const peer = new FakePeer()
  peer.answers = answers
  return [await RingdClient.connect(['one', 'two'], { dial: peer.dial }), peer]
}

async function code(work: Promise<unknown>): Promise<ErrorCode | 'none'> {
  return work.then(
    () => 'none' as const,
    (thrown) => toRingdError(thrown).code
  )
}

const version = new Uint8Array(16).fill(7)

client('sends increments and conditional writes, and tells whether they were done', async () => {
  const [ringd, peer] = await connected(
    { clientIncremented: { sum: 5n } },
    { clientWritten: { isDone: true } },
    { clientWritten: { isDone: false } }
  )
  assert.is(await ringd.increment('n', 5), 5n)
  assert.is(await ringd.putIf('absent', 'k', 'v'), true)
  assert.is(await ringd.putIf({ version }, 'k', 'v', 'all'), false)
  assert.is(await code(ringd.increment('n', 2n ** 63n)), 'BAD_REQUEST')
  const [increment, absent, versioned] = peer.asked
  assert.equal(increment, { clientIncrement: { key: fromText('n'), by: 5n, consistency: '' } })
  assert.is(absent!.clientPut!.ifAbsent, true)
  assert.equal(versioned!.clientPut!.ifVersion, version)
  assert.is(peer.asked.length, 3)
})

client('a change that was sent and not answered has an unknown outcome', async () => {
  const lost = () => new RingdError('TIMEOUT')
  const [ringd] = await connected(lost(), lost(), lost(), lost())
  assert.is(await code(ringd.put('k', 'v')), 'UNKNOWN_OUTCOME')
  assert.is(await code(ringd.delete('k')), 'UNKNOWN_OUTCOME')
  assert.is(await code(ringd.increment('k')), 'UNKNOWN_OUTCOME')
  assert.is(await code(ringd.putIf('absent', 'k', 'v')), 'UNKNOWN_OUTCOME')
})

client('sends the key, the value and the consistency', async () => {
  const value = Uint8Array.of(118)
  const [ringd, peer] = await connected(
    { done: {} },
    { clientValue: { value, version } },
    { clientValue: {} },
    { clientDeleted: { existed: true } }
  )
  await ringd.put('k', 'v', 'all')
  assert.is(toText((await ringd.get('k')) ?? fromText('')), 'v')
  assert.is(await ringd.get('k', 'one'), undefined)
  assert.is(await ringd.delete(fromText('k')), true)
  assert.equal(peer.asked, [
    { clientPut: { key: fromText('k'), value: fromText('v'), consistency: 'all' } },
    { clientGet: { key: fromText('k'), consistency: '' } },
    { clientGet: { key: fromText('k'), consistency: 'one' } },
    { clientDelete: { key: fromText('k'), consistency: '' } }
  ])
})

client('sends and reads times to live', async () => {
  const value = Uint8Array.of(118)
  const [ringd, peer] = await connected(
    { done: {} },
    { clientValue: { value, expiresInMs: 500, version } },
    { clientValue: { value, version } },
    { clientValue: {} }
  )
  await ringd.put('k', 'v', undefined, 500)
  assert.equal(peer.asked[0], { clientPut: { key: fromText('k'), value: fromText('v'), consistency: '', ttlMs: 500 } })
  assert.equal(await ringd.find('k'), { value, expiresInMs: 500, version })
  assert.equal(await ringd.find('k'), { value, expiresInMs: undefined, version })
  assert.is(await ringd.find('k'), undefined)
})

client('reads reports, and hands out their JSON unchanged', async () => {
  const json = '{ "slot": 1 }'
  const [ringd, peer] = await connected({ clientReport: { json } }, { clientReport: { json } })
  assert.is((await ringd.where('k')).slot, 1)
  assert.is(await ringd.report('status'), json)
  assert.equal(peer.asked[0], { clientQuery: { topic: 'where', argument: fromText('k') } })
})

client('orders the repair of a range, and asks for its progress', async () => {
  const json = '{ "running": true, "differing": 2 }'
  const [ringd, peer] = await connected({ clientReport: { json } }, { clientReport: { json } }, { done: {} })
  assert.is((await ringd.repair({ first: 3, last: 9 })).differing, 2)
  assert.is((await ringd.repair()).running, true)
  assert.is(await code(ringd.repair()), 'BAD_MESSAGE')
  assert.equal(peer.asked[0], { clientRepair: { start: true, first: 3, last: 9 } })
  assert.equal(peer.asked[1], { clientRepair: { start: false, first: 0, last: 0 } })
})

client('orders the comparison of a range, and asks for its progress', async () => {
  const json = '{ "running": true, "equal": 2 }'
  const [ringd, peer] = await connected({ clientReport: { json } }, { clientReport: { json } }, { done: {} })
  assert.is((await ringd.verify({ range: { first: 3, last: 9 }, once: true })).equal, 2)
  assert.is((await ringd.verify()).running, true)
  assert.is(await code(ringd.verify()), 'BAD_MESSAGE')
  assert.equal(peer.asked[0], { clientVerify: { start: true, first: 3, last: 9, once: true } })
  assert.equal(peer.asked[1], { clientVerify: { start: false, first: 0, last: 0, once: false } })
})

client('makes one line of the message of a refusal, which controls no terminal', async () => {
  const [ringd] = await connected({ refusal: { code: 'NO_QUORUM', message: 'x\u001b[2J\nringd: done\u009b' } })
  const thrown: RingdError = await ringd.get('k').catch((error) => error)
  assert.is(thrown.message, 'x\\u001b[2J\\nringd: done\\u009b')
})

client('turns refusals and malformed answers into errors with a code', async () => {
  const [ringd] = await connected(
    { refusal: { code: 'NO_QUORUM', message: 'x' } },
    { refusal: { code: 'FROM_THE_FUTURE', message: 'x' } },
    { done: {} },
    { clientReport: { json: 'no json' } },
    new RingdError('TIMEOUT')
  )
  assert.is(await code(ringd.get('k')), 'NO_QUORUM')
  assert.is(await code(ringd.get('k')), 'BAD_MESSAGE')
  assert.is(await code(ringd.get('k')), 'BAD_MESSAGE')
  assert.is(await code(ringd.status()), 'BAD_MESSAGE')
  assert.is(await code(ringd.get('k')), 'TIMEOUT')
})

client('tries the addresses in turn and fails with the last error', async () => {
  const peer = new FakePeer()
  peer.down.add('one')
  const ringd = await RingdClient.connect(['one', 'two'], { dial: peer.dial })
  assert.equal(peer.dialled, ['one', 'two'])
  await ringd.close()
  peer.down.add('two')
  assert.is(await code(RingdClient.connect(['one', 'two'], { dial: peer.dial })), 'UNREACHABLE')
  assert.is(await code(RingdClient.connect([], { dial: peer.dial })), 'BAD_ADDRESS')
})

client('never repeats a request, but dials again for the next one after the link broke', async () => {
  const [ringd, peer] = await connected(new RingdError('UNREACHABLE'), { done: {} }, { done: {} })
  assert.is(await code(ringd.put('k', 'v')), 'UNKNOWN_OUTCOME')
  assert.is(peer.asked.length, 1)
  peer.down.add('one')
  await Promise.all([ringd.put('k', 'v'), ringd.put('k', 'v')])
  assert.equal(peer.dialled, ['one', 'one', 'two'])
  assert.is(peer.closed, 1)
})

client('refuses keys and values that are too large for the wire', async () => {
  const [ringd, peer] = await connected()
  assert.is(await code(ringd.put('k'.repeat(65537), 'v')), 'KEY_TOO_LARGE')
  assert.is(await code(ringd.put('k', new Uint8Array(8 * 1024 * 1024 + 1))), 'VALUE_TOO_LARGE')
  assert.is(peer.asked.length, 0)
})

client('refuses everything after it was closed', async () => {
  const [ringd, peer] = await connected()
  await ringd.close()
  await ringd.close()
  assert.is(peer.closed, 1)
  assert.is(await code(ringd.get('k')), 'STOPPED')
})

client.run()
