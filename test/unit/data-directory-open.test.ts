// The data directory is made completely or not at all. A foreign one is refused. A damaged one is never taken for
// empty.
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromText, sameBytes, toText } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import {
  DATA_FORMAT,
  type DataDirectory,
  openDataDirectory,
  parseMarker,
  writeFileAtomic
} from '../../lib/storage/data-directory.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { codeOf } from '../conformance/store.js'

const test = suite('data directory')

const IDENTITY = fromText('not really a key')

/** Runs `body` with the path of a directory that does not exist yet. */
function inPlace(body: (path: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const root = await mkdtemp(join(tmpdir(), 'ringd-data-'))
    try {
      await body(join(root, 'data'))
    } finally {
      await rm(root, { recursive: true })
    }
  }
}

function openIt(path: string): Promise<DataDirectory> {
  return openDataDirectory(path, 'ringd test')
}

async function makeWhole(path: string): Promise<void> {
  const directory = await openIt(path)
  const store = await openLevelStore(directory.storePath, { createIfMissing: directory.isNew })
  await directory.writeIdentity(IDENTITY)
  await directory.complete()
  await store.close()
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777
}

async function refusal(work: Promise<unknown>): Promise<RingdError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error
  )
  assert.instance(thrown, RingdError)
  return thrown as RingdError
}

test(
  'a missing directory is made, with its parents, and only this user may read it',
  inPlace(async (path) => {
    const deep = join(path, 'a', 'b')
    const directory = await openIt(deep)
    assert.is(directory.isNew, true)
    assert.is(directory.path, deep)
    assert.is(await directory.readIdentity(), undefined)
    assert.is(await modeOf(deep), 0o700)
    assert.is(await modeOf(directory.storePath), 0o700)
    assert.is(await modeOf(join(deep, 'ringd.json')), 0o600)
  })
)

test(
  'a complete directory is not new, and keeps its identity',
  inPlace(async (path) => {
    await makeWhole(path)
    const directory = await openIt(path)
    assert.is(directory.isNew, false)
    assert.ok(sameBytes((await directory.readIdentity())!, IDENTITY))
    assert.is(await modeOf(join(path, 'identity.key')), 0o600)
    const marker = JSON.parse(await readFile(join(path, 'ringd.json'), 'utf8'))
    assert.equal(marker, { format: DATA_FORMAT, createdBy: 'ringd test', complete: true })
    assert.equal((await readdir(path)).sort(), ['identity.key', 'ringd.json', 'store'])
  })
)

test(
  'an identity is never replaced',
  inPlace(async (path) => {
    const directory = await openIt(path)
    await directory.writeIdentity(IDENTITY)
    assert.is(await codeOf(() => directory.writeIdentity(fromText('another'))), 'DATA_DAMAGED')
    assert.ok(sameBytes((await directory.readIdentity())!, IDENTITY))
  })
)

test(
  'a directory is not complete without a store and an identity',
  inPlace(async (path) => {
    const directory = await openIt(path)
    assert.is(await codeOf(() => directory.complete()), 'DATA_DAMAGED')
    await directory.writeIdentity(IDENTITY)
    assert.is(await codeOf(() => directory.complete()), 'DATA_DAMAGED')
    assert.is(directory.isNew, true)
  })
)

// The files that a kill -9 can leave, in the order in which a new directory is made.
const HALF_MADE: ReadonlyArray<readonly [when: string, make: (path: string) => Promise<void>]> = [
  ['after the directory', async () => {}],
  ['within the first marker', (path) => writeFile(join(path, 'ringd.json.tmp'), '{"form')],
  ['after the first marker', async (path) => void (await openIt(path))],
  [
    'within the store',
    async (path) => {
      const { storePath } = await openIt(path)
      await writeFile(join(storePath, 'MANIFEST-000001'), '')
      await writeFile(join(storePath, 'LOCK'), '')
    }
  ],
  [
    'after the store',
    async (path) => {
      const { storePath } = await openIt(path)
      await (await openLevelStore(storePath, { createIfMissing: true })).close()
    }
  ],
  [
    'within the identity',
    async (path) => {
      await openIt(path)
      await writeFile(join(path, 'identity.key.tmp'), 'no')
    }
  ],
  [
    'within the last marker',
    async (path) => {
      const directory = await openIt(path)
      await directory.writeIdentity(IDENTITY)
      await writeFile(join(path, 'ringd.json.tmp'), '{"format": 1, "crea')
    }
  ]
]

for (const [when, make] of HALF_MADE) {
  test(
    `a directory whose making was interrupted ${when} is new again`,
    inPlace(async (path) => {
      await mkdir(path)
      await make(path)
      const directory = await openIt(path)
      assert.is(directory.isNew, true)
      const store = await openLevelStore(directory.storePath, { createIfMissing: true })
      if ((await directory.readIdentity()) === undefined) await directory.writeIdentity(IDENTITY)
      await directory.complete()
      await store.close()
      assert.is((await openIt(path)).isNew, false)
    })
  )
}

test(
  'a directory with other files is DATA_FOREIGN, and stays untouched',
  inPlace(async (path) => {
    await mkdir(path)
    await writeFile(join(path, 'letter.txt'), 'dear')
    const { code, message } = await refusal(openIt(path))
    assert.is(code, 'DATA_FOREIGN')
    assert.ok(message.includes(path))
    assert.equal(await readdir(path), ['letter.txt'])
  })
)

test(
  'a data directory that lost its marker is not taken for an empty one',
  inPlace(async (path) => {
    await makeWhole(path)
    await rm(join(path, 'ringd.json'))
    assert.is((await refusal(openIt(path))).code, 'DATA_FOREIGN')
  })
)

test(
  'the root of a fresh volume counts as empty',
  inPlace(async (path) => {
    await mkdir(join(path, 'lost+found'), { recursive: true })
    assert.is((await openIt(path)).isNew, true)
  })
)

for (const lost of ['identity.key', 'store', 'store/CURRENT']) {
  test(
    `a complete directory without ${lost} is DATA_DAMAGED`,
    inPlace(async (path) => {
      await makeWhole(path)
      await rm(join(path, lost), { recursive: true })
      const { code, message } = await refusal(openIt(path))
      assert.is(code, 'DATA_DAMAGED')
      assert.ok(message.includes(lost) && message.includes(path))
      assert.not((await readdir(path, { recursive: true })).includes(lost), 'it is not made anew')
    })
  )
}

test(
  'a marker of a newer format is DATA_NEWER, whatever else it contains',
  inPlace(async (path) => {
    await mkdir(path)
    await writeFile(join(path, 'ringd.json'), '{"format": 3, "shape": "unheard of"}')
    assert.is((await refusal(openIt(path))).code, 'DATA_NEWER')
  })
)

test(
  'a directory of an older format is of the newest one as soon as it is served, and not before',
  inPlace(async (path) => {
    await makeWhole(path)
    const marker = { format: 1, createdBy: 'ringd 0.1.0', complete: true }
    await writeFile(join(path, 'ringd.json'), JSON.stringify(marker))
    const directory = await openIt(path)
    const format = async () => JSON.parse(await readFile(join(path, 'ringd.json'), 'utf8'))
    assert.equal(await format(), marker)
    await directory.complete()
    assert.equal(await format(), { ...marker, format: DATA_FORMAT })
  })
)

test('a marker of an older format is sound for a program that reads a newer one', () => {
  const marker = { format: 1, createdBy: 'ringd 0.1.0', complete: true }
  assert.equal(parseMarker('/data', JSON.stringify(marker), 2), marker)
  assert.equal(parseMarker('/data', JSON.stringify({ ...marker, format: 2 }), 2), { ...marker, format: 2 })
  for (const format of [0, -1, 1.5, '1', null]) {
    const text = JSON.stringify({ ...marker, format })
    assert.throws(
      () => parseMarker('/data', text, 2),
      ({ code }: RingdError) => code === 'DATA_DAMAGED'
    )
  }
  const newer = JSON.stringify({ format: 3 })
  assert.throws(
    () => parseMarker('/data', newer, 2),
    ({ code }: RingdError) => code === 'DATA_NEWER'
  )
})

test(
  'a directory that must exist is not made',
  inPlace(async (path) => {
    const openExisting = () => openDataDirectory(path, 'ringd test', { mustExist: true })
    assert.is((await refusal(openExisting())).code, 'BAD_CONFIG')
    await mkdir(path)
    assert.is((await refusal(openExisting())).code, 'BAD_CONFIG')
    assert.equal(await readdir(path), [])
  })
)

test(
  'a malformed marker is DATA_DAMAGED',
  inPlace(async (path) => {
    await mkdir(path)
    const nonsense = ['', '{', 'null', '7', '[]', '{}', '{"format": 0}', '{"format": "1"}', '{"format": 1}', '\0\0\0\0']
    for (const text of nonsense) {
      await writeFile(join(path, 'ringd.json'), text)
      assert.is((await refusal(openIt(path))).code, 'DATA_DAMAGED', text)
    }
  })
)

test(
  'a file, or a path below one, is BAD_CONFIG',
  inPlace(async (path) => {
    await writeFile(path, '')
    for (const wrong of [path, join(path, 'below')]) {
      const { code, message } = await refusal(openIt(wrong))
      assert.is(code, 'BAD_CONFIG')
      assert.ok(message.includes(wrong))
    }
  })
)

test(
  'a directory without write permission is BAD_CONFIG',
  inPlace(async (path) => {
    await mkdir(path)
    await chmod(path, 0o500)
    // The superuser may write there all the same. /sys accepts no new directories from any user.
    const wrong = process.getuid?.() === 0 ? '/sys/ringd' : path
    const { code, message } = await refusal(openIt(wrong))
    assert.is(code, 'BAD_CONFIG')
    assert.ok(message.includes(wrong))
    await chmod(path, 0o700)
  })
)

test(
  'a file is replaced as a whole, also over the leftovers of a crash',
  inPlace(async (path) => {
    await mkdir(path)
    const file = join(path, 'file')
    await writeFile(`${file}.tmp`, 'a longer text that a crash left behind')
    await writeFileAtomic(file, fromText('one'))
    await writeFileAtomic(file, fromText('two'))
    assert.is(toText(await readFile(file)), 'two')
    assert.equal(await readdir(path), ['file'])
  })
)

test(
  'the free space of the disk is reported in bytes',
  inPlace(async (path) => {
    const free = await (await openIt(path)).freeBytes()
    assert.ok(Number.isSafeInteger(free) && free > 0)
  })
)

test.run()
