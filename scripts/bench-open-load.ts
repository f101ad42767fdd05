// Loads of one ring over many connections: a closed loop that finds the peak rate, and an open loop. The open loop
// sends at its rate whatever the answers do, and times each request from the moment when it was due. So the requests
// that would have come during a stall count with their full delay.
import { systemClock } from '../lib/system-clock.js'
import { keyAt } from './bench-load.js'
import type { Timed } from './bench-move-figures.js'
import { pause } from './bench-peers.js'
import { RespSocket } from './bench-resp.js'

export interface LoadTarget {
  readonly ports: readonly number[]
  /** The keys that exist. */
  readonly keys: number
  readonly nextValue: () => Buffer
}

const SOCKETS_PER_PORT = 16
/** Of five requests one writes. */
const WRITE_EVERY = 5
const TICK_MS = 2
/** Requests without an answer. Those above are not sent, and count as failed. */
const OPEN_MAX = 20_000
/** Ten minutes at 10 000 requests in a second. Later ones are not sent. */
const SAMPLES_MAX = 6_000_000
const WARM_MS = 1000
const LAST_ANSWERS_MS = 10_000

async function openSockets({ ports }: LoadTarget): Promise<RespSocket[]> {
  const spread = Array.from({ length: SOCKETS_PER_PORT }, () => ports).flat()
  return Promise.all(spread.map((port) => RespSocket.open(port)))
}

/** 80 % reads and 20 % writes of random keys. */
function request({ keys, nextValue }: LoadTarget, turn: number): readonly (string | Buffer)[] {
  const key = keyAt(Math.floor(Math.random() * keys))
  return turn % WRITE_EVERY === 0 ? ['SET', key, nextValue()] : ['GET', key]
}

/** Requests in a second, when each connection sends the next one as soon as it has its answer. Takes `ms` + WARM_MS. */
export async function peakRate(target: LoadTarget, ms: number): Promise<number> {
  const sockets = await openSockets(target)
  const countFrom = systemClock.elapsed() + WARM_MS
  const until = countFrom + ms
  let answers = 0
  const work = async (socket: RespSocket, first: number) => {
    for (let turn = first; systemClock.elapsed() < until; turn++) {
      const failures = await socket.send([request(target, turn)])
      if (failures > 0) throw new Error('a request failed while the peak rate was measured')
      if (systemClock.elapsed() >= countFrom) answers += 1
    }
  }
  try {
    await Promise.all(sockets.map(work))
  } finally {
    for (const socket of sockets) socket.close()
  }
  return (answers * 1000) / ms
}

export class OpenLoad {
  /** By `systemClock.elapsed`; the times of the samples count from here. */
  readonly startedAt = systemClock.elapsed()
  readonly #target: LoadTarget
  readonly #perSecond: number
  readonly #sockets: readonly RespSocket[]
  readonly #samples: Timed[] = []
  readonly #done: Promise<void>
  #open = 0
  #stopping = false

  private constructor(target: LoadTarget, perSecond: number, sockets: readonly RespSocket[]) {
    this.#target = target
    this.#perSecond = perSecond
    this.#sockets = sockets
    this.#done = this.#run()
  }

  static async start(target: LoadTarget, perSecond: number): Promise<OpenLoad> {
    return new OpenLoad(target, perSecond, await openSockets(target))
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#stopping; await pause(TICK_MS)) {
      const due = ((systemClock.elapsed() - this.startedAt) * this.#perSecond) / 1000
      for (; turn < Math.min(due, SAMPLES_MAX); turn++) this.#send(turn)
    }
  }

  #send(turn: number): void {
    const at = (turn * 1000) / this.#perSecond
    if (this.#open >= OPEN_MAX) {
      this.#samples.push({ at, ms: 0, outcome: 'failed' })
      return
    }
    this.#open += 1
    this.#sockets[turn % this.#sockets.length]!.ask([request(this.#target, turn)], (failed, isNil) => {
      this.#open -= 1
      const ms = systemClock.elapsed() - this.startedAt - at
      this.#samples.push({ at, ms, outcome: failed ? 'failed' : isNil ? 'missing' : 'good' })
    })
  }

  /** Waits for the last answers. Those that do not come in time count as failed. Resolves with all samples. */
  async stop(): Promise<readonly Timed[]> {
    this.#stopping = true
    await this.#done
    const deadline = systemClock.elapsed() + LAST_ANSWERS_MS
    while (this.#open > 0 && systemClock.elapsed() < deadline) await pause(TICK_MS)
    for (const socket of this.#sockets) socket.close()
    // The closed connections answer for what is still open.
    await pause(TICK_MS)
    return this.#samples
  }
}
