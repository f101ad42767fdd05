// What a daemon of a soak takes: its memory, and the files of its store.
import { execFileSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchPeer } from './bench-peers.js'

/** Bytes. */
export interface Sample {
  readonly rss: number
  readonly disk: number
}

export function sampleOf({ process }: BenchPeer): Sample {
  const rss = Number(execFileSync('ps', ['-o', 'rss=', '-p', `${process.pid}`], { encoding: 'utf8' })) * 1024
  return { rss, disk: bytesBelow(join(process.plan.data, 'store')) }
}

function bytesBelow(folder: string): number {
  let bytes = 0
  // LevelDB deletes tables meanwhile.
  for (const name of readdirSync(folder)) bytes += statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0
  return bytes
}
