// The ballast: a file that takes up room, gives it back, and never fails its owner.
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../lib/limits.js'
import { Ballast } from '../../lib/storage/ballast.js'

const test = suite('ballast')
const BYTES = 3 * MiB

async function inDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'ringd-ballast-'))
  try {
    await body(path)
  } finally {
    await rm(path, { recursive: true })
  }
}

test('it takes up its room with bytes that cannot be compressed, for its owner alone', () =>
  inDirectory(async (path) => {
    const file = join(path, 'reserve')
    const ballast = await Ballast.open(file, BYTES)
    assert.equal([ballast.held, ballast.lacking], [0, BYTES])
    await ballast.fill()
    assert.equal([ballast.held, ballast.lacking], [BYTES, 0])
    const { size, mode } = await stat(file)
    assert.equal([size, mode & 0o777], [BYTES, 0o600])
    assert.ok(gzipSync(readFileSync(file).subarray(0, MiB)).length > MiB * 0.99)
  }))

test('it gives the room back, and takes it again', () =>
  inDirectory(async (path) => {
    const ballast = await Ballast.open(join(path, 'reserve'), BYTES)
    await ballast.fill()
    await ballast.release()
    assert.equal([ballast.held, await readdir(path)], [0, []])
    await ballast.release()
    await ballast.fill()
    assert.is(ballast.held, BYTES)
  }))

test('after a restart a whole file is taken over, and one that a crash has cut is written anew', () =>
  inDirectory(async (path) => {
    const file = join(path, 'reserve')
    await (await Ballast.open(file, BYTES)).fill()
    const { mtimeMs } = await stat(file)
    const next = await Ballast.open(file, BYTES)
    assert.is(next.held, BYTES)
    await next.fill()
    assert.is((await stat(file)).mtimeMs, mtimeMs)
    await writeFile(file, new Uint8Array(10))
    const last = await Ballast.open(file, BYTES)
    assert.is(last.held, 10)
    await last.fill()
    assert.is((await stat(file)).size, BYTES)
  }))

test('a disk that does not take it is left as it was', async () => {
  const ballast = await Ballast.open('/nowhere/at/all/reserve', BYTES)
  await ballast.fill()
  assert.is(ballast.held, 0)
  await ballast.release()
})

test.run()
