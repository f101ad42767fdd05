// The keys of the benchmarks, and how they are written: pipelines over several connections at once.
import { randomFillSync } from 'node:crypto'
import { MiB } from '../lib/limits.js'
import { systemClock } from '../lib/system-clock.js'
import type { BenchPeer } from './bench-peers.js'
import { RespSocket } from './bench-resp.js'

export const VALUE_BYTES = 1000
const SOCKETS_PER_PEER = 2
/** Commands, and bytes of values, that one connection sends before it waits for the answers. */
const PIPELINE = 128
const PIPELINE_BYTES = MiB

/** The name of the key with this number. */
export function keyAt(index: number): string {
  return `key:${index}`
}

/** The names of the keys 0 to `keys` - 1. */
export function* keyNames(keys: number): Generator<string> {
  for (let index = 0; index < keys; index++) yield keyAt(index)
}

/** New random bytes at each call. LevelDB compresses what repeats, and the figures would become meaningless. */
export function randomValues(bytes: number): () => Buffer {
  return () => randomFillSync(Buffer.allocUnsafe(bytes))
}

/** Writes all keys through all peers at once; by default each connection has one value. Resolves with the ms taken. */
export async function load(peers: readonly BenchPeer[], keys: number, nextValue?: () => Buffer): Promise<number> {
  const started = systemClock.elapsed()
  const ports = peers.flatMap(({ respPort }) => Array.from({ length: SOCKETS_PER_PEER }, () => respPort))
  const names = keyNames(keys)
  const work = (port: number) => {
    const value = randomFillSync(Buffer.alloc(VALUE_BYTES))
    return writeKeys(port, names, nextValue ?? (() => value))
  }
  await Promise.all(ports.map(work))
  return systemClock.elapsed() - started
}

/** Writes the keys over one connection, until there are no more. Several connections may share `names`. */
export async function writeKeys(port: number, names: Iterator<string>, nextValue: () => Buffer): Promise<void> {
  const socket = await RespSocket.open(port)
  try {
    for (;;) {
      const commands = nextCommands(names, nextValue)
      if (commands.length === 0) return
      const failures = await socket.send(commands)
      if (failures > 0) throw new Error(`${failures} of ${commands.length} writes failed while loading`)
    }
  } finally {
    socket.close()
  }
}

/** At most PIPELINE commands. The last one may exceed PIPELINE_BYTES. */
export function nextCommands(names: Iterator<string>, nextValue: () => Buffer): (string | Buffer)[][] {
  const commands: (string | Buffer)[][] = []
  for (let bytes = 0; commands.length < PIPELINE && bytes < PIPELINE_BYTES; ) {
    const { value: name, done } = names.next()
    if (done) break
    const value = nextValue()
    bytes += value.length
    commands.push(['SET', name, value])
  }
  return commands
}
