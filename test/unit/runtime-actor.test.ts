// How actors run: bounded mailboxes, whole batches in order, one batch at a time, asking, stopping and crashing.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import {
  type Actor,
  type ActorOptions,
  ask,
  type Ref,
  type Reply,
  type Spawned,
  spawn
} from '../../lib/runtime/actor.js'
import { Mailbox } from '../../lib/runtime/mailbox.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('actor')

type Question = { readonly reply: Reply<string> }

function start<M>(actor: Actor<M>, options: Partial<ActorOptions> = {}) {
  const clock = new VirtualClock()
  const crashes: RingdError[] = []
  const deps = { clock, log: silent, metrics: noMetrics }
  const ref: Spawned<M> = spawn(deps, 'tested', () => actor, { onCrash: (error) => crashes.push(error), ...options })
  return { clock, crashes, ref }
}

/** Runs the clock until the promise is settled. Returns its result or throws its error. */
async function outcome<T>(clock: VirtualClock, promise: Promise<T>, limitMs = 1000): Promise<T | RingdError> {
  let result: T | RingdError | undefined
  let settled = false
  promise.then(
    (value) => {
      settled = true
      result = value
    },
    (thrown) => {
      settled = true
      result = thrown
    }
  )
  assert.ok(await clock.runUntil(() => settled, limitMs), 'the promise is settled in time')
  return result as T | RingdError
}

function codeOf(result: unknown): string {
  return result instanceof RingdError ? result.code : `no error but ${result}`
}

test('a mailbox takes up to its bound, and all its messages come out at once, oldest first', () => {
  const mailbox = new Mailbox<number>(2)
  assert.equal([mailbox.push(1), mailbox.push(2), mailbox.push(3)], [true, true, false])
  mailbox.force(4)
  assert.is(mailbox.size, 3)
  assert.equal(mailbox.takeAll(), [1, 2, 4])
  assert.is(mailbox.size, 0)
  assert.ok(mailbox.push(5))
})

test('waiting messages are handed over together and in order, after the turn of the sender', async () => {
  const batches: number[][] = []
  const { clock, ref } = start<number>({ receive: (batch) => void batches.push([...batch]) })
  for (const number of [1, 2, 3]) assert.ok(ref.tell(number))
  assert.equal(batches, [])
  await clock.settle()
  ref.tell(4)
  await clock.settle()
  assert.equal(batches, [[1, 2, 3], [4]])
})

test('a full mailbox refuses, and accepts again once emptied; a signal ignores the bound', async () => {
  const seen: number[] = []
  const { clock, ref } = start<number>({ receive: (batch) => void seen.push(...batch) }, { capacity: 2 })
  assert.equal([ref.tell(1), ref.tell(2), ref.tell(3)], [true, true, false])
  ref.signal(4)
  await clock.settle()
  assert.equal(seen, [1, 2, 4])
  assert.ok(ref.tell(5))
})

test('no batch starts while the promise of the one before is pending', async () => {
  const batches: number[][] = []
  const open: (() => void)[] = []
  const receive = (batch: readonly number[]) => {
    batches.push([...batch])
    return new Promise<void>((resolve) => open.push(resolve))
  }
  const { clock, ref } = start<number>({ receive })
  ref.tell(1)
  await clock.settle()
  ref.tell(2)
  ref.signal(3)
  await clock.advance(1000)
  assert.equal(batches, [[1]])
  open.shift()!()
  await clock.settle()
  assert.equal(batches, [[1], [2, 3]])
})

test('a message that an actor sends to itself is in its next batch', async () => {
  const batches: number[][] = []
  let self: Ref<number> | undefined
  const receive = (batch: readonly number[]) => {
    batches.push([...batch])
    if (batch[0]! < 3) self!.tell(batch[0]! + 1)
  }
  const { clock, ref } = start<number>({ receive })
  self = ref
  ref.tell(1)
  await clock.settle()
  assert.equal(batches, [[1], [2], [3]])
})

test('asking returns the reply, or throws the error in it', async () => {
  const answers: (string | RingdError)[] = ['fine', new RingdError('DISK_FULL')]
  const { clock, ref } = start<Question>({
    receive: (batch) => {
      for (const { reply } of batch) reply(answers.shift()!)
    }
  })
  const question = () => ask<Question, string>(clock, ref, 100, (reply) => ({ reply }))
  assert.is(await outcome(clock, question()), 'fine')
  assert.is(codeOf(await outcome(clock, question())), 'DISK_FULL')
})

test('asking an actor that does not reply throws TIMEOUT, and the late reply changes nothing', async () => {
  const replies: Reply<string>[] = []
  const { clock, ref } = start<Question>({ receive: (batch) => void replies.push(...batch.map(({ reply }) => reply)) })
  const asked = clock.elapsed()
  const result = await outcome(
    clock,
    ask<Question, string>(clock, ref, 100, (reply) => ({ reply }))
  )
  assert.is(codeOf(result), 'TIMEOUT')
  assert.is(clock.elapsed() - asked, 100)
  replies[0]!('late')
  await clock.advance(1000)
})

test('asking a full mailbox throws OVERLOADED at once, and leaves no timer behind', async () => {
  const { clock, ref } = start<Question>({ receive: () => new Promise(() => {}) }, { capacity: 1 })
  const question = () => ask<Question, string>(clock, ref, 60_000, (reply) => ({ reply }))
  question().catch(() => {})
  assert.is(codeOf(await outcome(clock, question(), 0)), 'OVERLOADED')
})

test('a stop handles waiting messages, refuses later ones, and ends once', async () => {
  const seen: number[] = []
  let ended = 0
  const { clock, ref } = start<number>({
    receive: async (batch) => void seen.push(...batch),
    ended: () => {
      ended += 1
    }
  })
  ref.tell(1)
  const first = ref.stop()
  const second = ref.stop()
  assert.not(ref.tell(2))
  ref.signal(3)
  assert.is(ended, 0)
  await outcome(clock, Promise.all([first, second]), 0)
  assert.equal(seen, [1])
  assert.is(ended, 1)
  await ref.stop()
  assert.is(ended, 1)
})

test('a stop waits for the batch that is being handled', async () => {
  let finish: (() => void) | undefined
  let stopped = false
  const { clock, ref } = start<number>({
    receive: () =>
      new Promise((resolve) => {
        finish = resolve
      })
  })
  ref.tell(1)
  await clock.settle()
  void ref.stop().then(() => {
    stopped = true
  })
  await clock.advance(1000)
  assert.not(stopped)
  finish!()
  await clock.settle()
  assert.ok(stopped)
})

test('an actor that throws is stopped, and its owner is told', async () => {
  for (const receive of [
    () => {
      throw new Error('defect')
    },
    () => Promise.reject(new RingdError('DATA_DAMAGED'))
  ]) {
    let ended = 0
    const { clock, ref, crashes } = start<number>({
      receive,
      ended: () => {
        ended += 1
      }
    })
    ref.tell(1)
    await clock.settle()
    assert.is(crashes.length, 1)
    assert.is(ended, 1)
    assert.not(ref.tell(2))
    await outcome(clock, ref.stop(), 0)
    assert.is(ended, 1)
  }
})

test('asking an actor that has stopped throws STOPPED', async () => {
  const { clock, ref } = start<Question>({ receive: () => {} })
  await outcome(clock, ref.stop(), 0)
  const result = await outcome(
    clock,
    ask<Question, string>(clock, ref, 100, (reply) => ({ reply })),
    0
  )
  assert.is(codeOf(result), 'STOPPED')
})

test.run()
