// What benchmarks take from the machine and give back: memory of processes, ports, temporary folders.
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  freePorts,
  killAll,
  memoryGrowth,
  memoryOf,
  temporaryFolder,
  watchOver
} from '../../scripts/bench-processes.js'

const test = suite('bench processes')

test('the memory of a process has a peak of at least its value now; a process that ended has none', () => {
  const { now, peak } = memoryOf(process.pid)
  assert.ok(now > 1_000_000)
  assert.ok(peak >= now)
  assert.equal(memoryOf(2 ** 30), { now: 0, peak: 0 })
})

test('growth is that of the process which grew most, in its peak', () => {
  const growth = memoryGrowth([process.pid, process.ppid])
  const bytes = Buffer.alloc(64 * 1024 * 1024, 1)
  const grown = growth()
  // The kernel may refuse to reset the peak.
  if (grown !== undefined) assert.ok(grown > bytes.length / 2)
})

test('free ports are different, and nobody listens on them', async () => {
  const ports = await freePorts(20)
  assert.is(new Set(ports).size, 20)
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(ports[0], '127.0.0.1', resolve))
  // There are 1000 ports, and one of them is in use.
  const refusal = await freePorts(1000).then(
    () => 'none',
    (thrown) => String(thrown)
  )
  server.close()
  assert.match(refusal, /fewer than 1000 free ports/)
})

test('killing everything removes the temporary folders, after the processes', () => {
  const folder = temporaryFolder('ringd-processes-')
  const removed = temporaryFolder('ringd-processes-')
  writeFileSync(join(folder.path, 'file'), 'content')
  removed.remove()
  let existedAtKill: boolean | undefined
  watchOver({
    kill: () => {
      existedAtKill = existsSync(folder.path)
    }
  })
  killAll()
  assert.is(existedAtKill, true)
  assert.not.ok(existsSync(folder.path) || existsSync(removed.path))
})

test.run()
