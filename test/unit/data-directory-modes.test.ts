// Who may read and write a data directory: modes are mended or refused, links are not followed, and what a crash or
// another user left behind is never written to.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readRunFile, writeRunFile } from '../../daemon/run-file.js'
import { fromText } from '../../lib/bytes.js'
import { type DataDirectory, openDataDirectory, writeFileAtomic } from '../../lib/storage/data-directory.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { codeOf } from '../conformance/store.js'

const test = suite('modes of the data directory')
const UID = process.geteuid!()
let root = ''
let data = ''

test.before.each(async () => {
  root = mkdtempSync(join(tmpdir(), 'ringd-modes-'))
  data = join(root, 'data')
})
test.after.each(() => rmSync(root, { recursive: true }))

function open(uid = UID): Promise<DataDirectory> {
  return openDataDirectory(data, 'ringd test', { uid })
}

async function makeWhole(): Promise<void> {
  const directory = await open()
  const store = await openLevelStore(directory.storePath, { createIfMissing: true })
  await directory.writeIdentity(fromText('a key'))
  await directory.complete()
  await store.close()
  writeFileSync(join(data, 'run.json'), '{}', { mode: 0o600 })
  writeFileSync(join(data, 'operator.secret'), 'secret', { mode: 0o600 })
}

function modeOf(name: string): number {
  return statSync(join(data, name)).mode & 0o777
}

const RUN = {
  pid: process.pid,
  peerId: 'p',
  storeId: 's',
  multiaddrs: ['/ip4/127.0.0.1/tcp/1'],
  announced: ['/ip4/127.0.0.1/tcp/1'],
  resp: null,
  version: '1'
}

test('files that others may read are mended, each once', async () => {
  await makeWhole()
  const directories = ['', 'store']
  const files = ['ringd.json', 'identity.key', 'operator.secret', 'run.json', 'store/CURRENT']
  for (const name of directories) chmodSync(join(data, name), 0o755)
  for (const name of files) chmodSync(join(data, name), 0o644)
  const { mended } = await open()
  for (const name of [...directories, ...files]) assert.ok(mended.includes(join(data, name)), name)
  for (const name of directories) assert.is(modeOf(name), 0o700)
  for (const name of files) assert.is(modeOf(name), 0o600)
  assert.equal((await open()).mended, [])
})

test('a directory or file that others may write is refused, and keeps its mode', async () => {
  await makeWhole()
  for (const name of ['', 'store', 'ringd.json', 'identity.key', 'operator.secret', 'run.json', 'store/CURRENT']) {
    const before = modeOf(name)
    for (const others of [0o020, 0o002]) {
      chmodSync(join(data, name), before | others)
      assert.is(await codeOf(() => open()), 'DATA_UNSAFE', name)
      assert.is(modeOf(name), before | others)
    }
    chmodSync(join(data, name), before)
  }
  assert.is(await codeOf(() => open()), undefined)
})

test('an empty directory that others may write is mended, because nobody has written there', async () => {
  mkdirSync(data)
  chmodSync(data, 0o777)
  assert.equal((await open()).mended, [data])
  assert.is(modeOf(''), 0o700)
})

test('a directory of another user is refused', async () => {
  await makeWhole()
  const thrown = await open(UID + 1).catch((error) => error)
  assert.is(thrown.code, 'DATA_UNSAFE')
  assert.match(thrown.message, /belongs to the user \d+, and ringd runs as \d+; run it as the owner/)
})

test('the modes of a foreign directory are not changed', async () => {
  mkdirSync(data)
  chmodSync(data, 0o755)
  writeFileSync(join(data, 'letter.txt'), 'dear')
  assert.is(await codeOf(() => open()), 'DATA_FOREIGN')
  assert.is(modeOf(''), 0o755)
})

for (const name of ['ringd.json', 'identity.key', 'operator.secret', 'run.json']) {
  test(`a symbolic link in place of ${name} is refused, and its target stays as it is`, async () => {
    await makeWhole()
    const target = join(root, 'target')
    writeFileSync(target, readFileSync(join(data, name)))
    chmodSync(target, 0o644)
    rmSync(join(data, name))
    symlinkSync(target, join(data, name))
    assert.is(await codeOf(() => open()), 'DATA_UNSAFE')
    assert.is(statSync(target).mode & 0o777, 0o644)
  })
}

test('a directory in place of a file is refused', async () => {
  await makeWhole()
  rmSync(join(data, 'identity.key'))
  mkdirSync(join(data, 'identity.key'))
  assert.is(await codeOf(() => open()), 'DATA_DAMAGED')
})

test('the store may be a link to a directory of the same user', async () => {
  await makeWhole()
  const elsewhere = join(root, 'elsewhere')
  mkdirSync(elsewhere)
  writeFileSync(join(elsewhere, 'CURRENT'), '')
  rmSync(join(data, 'store'), { recursive: true })
  symlinkSync(elsewhere, join(data, 'store'))
  await open()
  assert.is(statSync(elsewhere).mode & 0o777, 0o700)
})

test('a new file never goes through a link or into a leftover, and only its user may read it', async () => {
  mkdirSync(data)
  const target = join(root, 'target')
  writeFileSync(target, 'precious')
  const path = join(data, 'file')
  symlinkSync(target, `${path}.tmp`)
  await writeFileAtomic(path, fromText('one'))
  assert.is(readFileSync(target, 'utf8'), 'precious')
  assert.is(readFileSync(path, 'utf8'), 'one')
  assert.is(lstatSync(path).isFile(), true)
  assert.is(modeOf('file'), 0o600)
  writeFileSync(`${path}.tmp`, 'left by a crash')
  chmodSync(`${path}.tmp`, 0o666)
  await writeFileAtomic(path, fromText('two'))
  assert.is(readFileSync(path, 'utf8'), 'two')
  assert.is(modeOf('file'), 0o600)
  assert.is(existsSync(`${path}.tmp`), false)
})

test('of two writers of one file each succeeds or is told that there are two, and the file is whole', async () => {
  mkdirSync(data)
  const path = join(data, 'file')
  for (let round = 0; round < 100; round++) {
    if (round % 2 === 1) writeFileSync(`${path}.tmp`, 'left by a crash')
    const codes = await Promise.all(
      ['one', 'two'].map((text) => codeOf(() => writeFileAtomic(path, fromText(text.repeat(1000)))))
    )
    for (const code of codes) assert.ok(code === undefined || code === 'DATA_LOCKED', code)
    if (codes.includes(undefined)) assert.match(readFileSync(path, 'utf8'), /^((one){1000}|(two){1000})$/)
  }
})

test('run.json is written for its user alone, and read back', async () => {
  mkdirSync(data, { mode: 0o700 })
  await writeRunFile(data, RUN)
  assert.is(modeOf('run.json'), 0o600)
  assert.equal(await readRunFile(data), RUN)
})

test('run.json is not believed when another user may have written it', async () => {
  mkdirSync(data, { mode: 0o700 })
  await writeRunFile(data, RUN)
  const path = join(data, 'run.json')
  chmodSync(data, 0o777)
  assert.is(await codeOf(() => readRunFile(data)), 'DATA_UNSAFE')
  chmodSync(data, 0o755)
  chmodSync(path, 0o666)
  assert.is(await codeOf(() => readRunFile(data)), 'DATA_UNSAFE')
  chmodSync(path, 0o644)
  assert.equal(await readRunFile(data), RUN)
  const target = join(root, 'target')
  writeFileSync(target, readFileSync(path))
  rmSync(path)
  symlinkSync(target, path)
  assert.is(await codeOf(() => readRunFile(data)), 'DATA_UNSAFE')
  rmSync(path)
  writeFileSync(path, ' '.repeat(200_000))
  assert.is(await codeOf(() => readRunFile(data)), 'DATA_DAMAGED')
})

test.run()
