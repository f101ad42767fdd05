// Makes what one connection does to one key take effect in the order it was sent, while everything else runs at once.
// Owns a lane per key with unfinished work: reads share it, a write has it alone, other tasks wait in line.
// Lanes are found by a hash of the key, so two keys with one hash wait for each other, which is slower and never wrong.
// Invariant: nothing starts before an earlier command on its key has finished, unless both only read.
// Writes that wait next to each other become one: none of them depends on a read, so the last one decides,
// and no read could have seen the others. All share its outcome: `SET k` a thousand times in a row costs two writes.
import { type Bytes, sameBytes } from '../../../lib/bytes.js'
import type { RingdError } from '../../../lib/errors.js'
import type { Consistency, Decide, Found, KeyValue, UpdateOptions } from '../../../lib/key-value.js'

/** A queue keeps this number of started tasks before it drops them together. */
const CUT_LENGTH = 256

type GetReply = (result: Bytes | undefined | RingdError) => void
type PutReply = (result: undefined | RingdError) => void
type DeleteReply = (existed: boolean | RingdError) => void
type FindReply = (result: Found | undefined | RingdError) => void

interface Task {
  readonly writes: boolean
  /** Set for a put, so that the next put can join it. */
  readonly put?: Put
  readonly run: (lane: Lane) => void
}

interface Put {
  readonly key: Bytes
  readonly consistency: Consistency
  value: Bytes
  expiresAtMs: number | undefined
  readonly replies: PutReply[]
}

interface Lane {
  readonly hash: number
  reads: number
  writing: boolean
  /** First come, first served; allocated when a task first waits. */
  waiting: Task[] | undefined
  /** The index in `waiting` of the next task. Tasks before it have started, and are dropped together. */
  next: number
  starting: boolean
}

/** One for each connection. The connection bounds its open commands, and so the number of waiting tasks. */
export class KeyOrder implements KeyValue {
  readonly #keyValue: KeyValue
  readonly #lanes = new Map<number, Lane>()

  constructor(keyValue: KeyValue) {
    this.#keyValue = keyValue
  }

  get(key: Bytes, consistency: Consistency, reply: GetReply): void {
    const lane = this.#lane(key)
    if (lane.writing || lane.waiting !== undefined) {
      this.#wait(lane, { writes: false, run: (freed) => this.#get(freed, key, consistency, reply) })
    } else this.#get(lane, key, consistency, reply)
  }

  find(key: Bytes, consistency: Consistency, reply: FindReply): void {
    const lane = this.#lane(key)
    if (lane.writing || lane.waiting !== undefined) {
      this.#wait(lane, { writes: false, run: (freed) => this.#find(freed, key, consistency, reply) })
    } else this.#find(lane, key, consistency, reply)
  }

  put(key: Bytes, value: Bytes, consistency: Consistency, reply: PutReply, expiresAtMs?: number): void {
    const lane = this.#lane(key)
    if (!isBusy(lane)) {
      this.#put(lane, { key, consistency, value, expiresAtMs }, reply)
      return
    }
    const last = lane.waiting?.at(-1)?.put
    if (last !== undefined && last.consistency === consistency && sameBytes(last.key, key)) {
      last.value = value
      last.expiresAtMs = expiresAtMs
      last.replies.push(reply)
      return
    }
    const put: Put = { key, consistency, value, expiresAtMs, replies: [reply] }
    const replyAll: PutReply = (result) => {
      for (const each of put.replies) each(result)
    }
    this.#wait(lane, { writes: true, put, run: (freed) => this.#put(freed, put, replyAll) })
  }

  delete(key: Bytes, consistency: Consistency, reply: DeleteReply): void {
    const lane = this.#lane(key)
    if (!isBusy(lane)) {
      this.#delete(lane, key, consistency, reply)
      return
    }
    this.#wait(lane, { writes: true, run: (freed) => this.#delete(freed, key, consistency, reply) })
  }

  /** Holds the lane alone from its read to the end of its write. */
  update<T>(
    key: Bytes,
    consistency: Consistency,
    decide: Decide<T>,
    reply: (result: T | RingdError) => void,
    options?: UpdateOptions
  ): void {
    const lane = this.#lane(key)
    const run = (free: Lane): void => {
      free.writing = true
      const done = (result: T | RingdError): void => {
        free.writing = false
        reply(result)
        this.#freed(free)
      }
      this.#keyValue.update(key, consistency, decide, done, options)
    }
    if (isBusy(lane)) this.#wait(lane, { writes: true, run })
    else run(lane)
  }

  #get(lane: Lane, key: Bytes, consistency: Consistency, reply: GetReply): void {
    lane.reads++
    this.#keyValue.get(key, consistency, (result) => {
      lane.reads--
      reply(result)
      this.#freed(lane)
    })
  }

  #find(lane: Lane, key: Bytes, consistency: Consistency, reply: FindReply): void {
    lane.reads++
    this.#keyValue.find(key, consistency, (result) => {
      lane.reads--
      reply(result)
      this.#freed(lane)
    })
  }

  #put(lane: Lane, { key, value, consistency, expiresAtMs }: Omit<Put, 'replies'>, reply: PutReply): void {
    lane.writing = true
    const done: PutReply = (result) => {
      lane.writing = false
      reply(result)
      this.#freed(lane)
    }
    this.#keyValue.put(key, value, consistency, done, expiresAtMs)
  }

  #delete(lane: Lane, key: Bytes, consistency: Consistency, reply: DeleteReply): void {
    lane.writing = true
    this.#keyValue.delete(key, consistency, (existed) => {
      lane.writing = false
      reply(existed)
      this.#freed(lane)
    })
  }

  #lane(key: Bytes): Lane {
    const hash = hashOf(key)
    let lane = this.#lanes.get(hash)
    if (lane === undefined) {
      lane = { hash, reads: 0, writing: false, waiting: undefined, next: 0, starting: false }
      this.#lanes.set(hash, lane)
    }
    return lane
  }

  #wait(lane: Lane, task: Task): void {
    if (lane.waiting === undefined) lane.waiting = [task]
    else lane.waiting.push(task)
  }

  /** Something on the lane finished: starts the tasks that may start now. A loop, for those that finish at once. */
  #freed(lane: Lane): void {
    if (lane.waiting !== undefined && !lane.starting) {
      lane.starting = true
      let task: Task | undefined = lane.waiting[lane.next]
      while (task !== undefined && !lane.writing && (lane.reads === 0 || !task.writes)) {
        dropFirst(lane)
        task.run(lane)
        task = lane.waiting?.[lane.next]
      }
      lane.starting = false
    }
    if (!isBusy(lane) && this.#lanes.get(lane.hash) === lane) this.#lanes.delete(lane.hash)
  }
}

function isBusy(lane: Lane): boolean {
  return lane.writing || lane.reads > 0 || lane.waiting !== undefined
}

/** Removes the head of the queue. A queue that never becomes empty is cut from time to time, else it would grow. */
function dropFirst(lane: Lane): void {
  const { waiting } = lane
  if (waiting === undefined) return
  lane.next++
  if (lane.next === waiting.length) {
    lane.waiting = undefined
    lane.next = 0
  } else if (lane.next >= CUT_LENGTH) {
    waiting.splice(0, lane.next)
    lane.next = 0
  }
}

/**
 * 30 bits of FNV-1a: they stay small integers, which a Map finds quickest. A client that makes keys collide slows only
 * itself.
 */
function hashOf(key: Bytes): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key[i]!, 0x01000193)
  return hash & 0x3fffffff
}
