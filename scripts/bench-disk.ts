// The bytes on disk below a folder, watched during a benchmark.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const SAMPLE_MS = 200

/** The bytes of all files below the folder. Files that end meanwhile count nothing. */
export function folderBytes(path: string): number {
  let bytes = 0
  for (const entry of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
    const stats = statSync(join(path, entry), { throwIfNoEntry: false })
    if (stats?.isFile() === true) bytes += stats.size
  }
  return bytes
}

/** Looks at a folder about five times a second until it is stopped. */
export class DiskWatch {
  readonly before: number
  readonly #path: string
  readonly #timer: NodeJS.Timeout
  #peak: number

  constructor(path: string) {
    this.#path = path
    this.before = folderBytes(path)
    this.#peak = this.before
    this.#timer = setInterval(() => this.#look(), SAMPLE_MS).unref()
  }

  /** The most bytes that were seen. */
  stop(): number {
    clearInterval(this.#timer)
    this.#look()
    return this.#peak
  }

  #look(): void {
    this.#peak = Math.max(this.#peak, folderBytes(this.#path))
  }
}
