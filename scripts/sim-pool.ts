// Worker processes for `npm run sim`. Each worker gets one job at a time. A worker that dies or takes too long is
// replaced. `end` kills every worker.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Job, JobResult } from './sim-worker.js'

const WORKER = fileURLToPath(new URL('./sim-worker.js', import.meta.url))
/** A run takes some seconds, so a worker without a result after this time is in an endless loop. */
const RUN_MS_MAX = 180_000

interface Waiting {
  readonly job: Job
  readonly limitMs: number
  readonly done: (result: JobResult | Error) => void
}

export class SimPool {
  readonly #size: number
  readonly #idle: ChildProcess[] = []
  readonly #all = new Set<ChildProcess>()
  readonly #waiting: Waiting[] = []

  constructor(size: number) {
    this.#size = size
  }

  /** Resolves with the result, or with an error when the worker died or took longer than `limitMs`. */
  run(job: Job, limitMs = RUN_MS_MAX): Promise<JobResult | Error> {
    return new Promise((done) => {
      this.#waiting.push({ job, limitMs, done })
      this.#next()
    })
  }

  end(): void {
    for (const worker of this.#all) worker.kill('SIGKILL')
    this.#all.clear()
  }

  #next(): void {
    if (this.#waiting.length === 0) return
    const worker = this.#idle.pop() ?? (this.#all.size < this.#size ? this.#start() : undefined)
    if (worker === undefined) return
    this.#give(worker, this.#waiting.shift()!)
  }

  #start(): ChildProcess {
    const worker = fork(WORKER)
    this.#all.add(worker)
    worker.once('exit', () => this.#all.delete(worker))
    return worker
  }

  #give(worker: ChildProcess, { job, limitMs, done }: Waiting): void {
    const end = (result: JobResult | Error) => {
      clearTimeout(timer)
      worker.off('message', end)
      worker.off('exit', died)
      if (!(result instanceof Error)) this.#idle.push(worker)
      done(result)
      this.#next()
    }
    const died = (code: number | null, signal: string | null) => end(new Error(`the worker died: ${signal ?? code}`))
    const timer = setTimeout(() => {
      worker.off('exit', died)
      worker.kill('SIGKILL')
      this.#all.delete(worker)
      end(new Error(`the worker had no result after ${limitMs / 1000} s and was killed`))
    }, limitMs)
    worker.on('message', end)
    worker.once('exit', died)
    worker.send(job)
  }
}
