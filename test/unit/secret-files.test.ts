// The files with secrets: their modes, what is wrong in them, and the operator secret of a data directory.
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DaemonSecrets, makeOperatorSecret, readClientSecrets, readRingSecrets } from '../../daemon/secret-files.js'
import { toHex } from '../../lib/bytes.js'
import type { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { newSecret, secretText } from '../../lib/network/secrets.js'
import { systemRandom } from '../../lib/system-random.js'
import { makePrivate } from '../../scripts/start.js'

const test = suite('secret files')
const SECRET = secretText(newSecret(systemRandom))
let folder = ''

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringd-secrets-'))
})
test.after.each(() => rmSync(folder, { recursive: true, force: true }))

function file(text: string, mode = 0o600): string {
  const path = join(folder, 'secret')
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

async function refused(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (thrown) {
    assert.is((thrown as RingdError).code, 'BAD_CONFIG')
    return (thrown as RingdError).message
  }
  throw new Error('it was accepted')
}

const ringSecrets = (path: string, isCredential = false) => readRingSecrets({ path, isCredential })

test('a file that only its user may read is accepted', async () => {
  assert.equal((await ringSecrets(file(`${SECRET}\n`, 0o400))).map(secretText), [SECRET])
})

test('a file that others may read or write is refused with the command that cures it', async () => {
  for (const mode of [0o640, 0o604, 0o620, 0o602]) {
    const path = file(SECRET, mode)
    assert.match(await refused(ringSecrets(path)), `chmod 600 ${path}`)
    assert.match(await refused(readClientSecrets(path)), `chmod 600 ${path}`)
  }
})

test('a credential of systemd may have group bits, which stand for its access list', async () => {
  assert.is((await ringSecrets(file(SECRET, 0o440), true)).length, 1)
})

test('a missing, empty, malformed or huge file is refused with its name', async () => {
  const missing = join(folder, 'missing')
  assert.match(await refused(ringSecrets(missing)), missing)
  assert.match(await refused(ringSecrets(folder)), folder)
  for (const text of ['', '\n# nothing\n', 'x', `${SECRET}\n`.repeat(9), '#'.repeat(70_000)]) {
    assert.match(await refused(ringSecrets(file(text))), /^secret file .*secret: /)
  }
})

test('the operator secret is made once, for its user only', async () => {
  const made = await makeOperatorSecret(folder, systemRandom, silent)
  const path = join(folder, 'operator.secret')
  assert.is(statSync(path).mode & 0o777, 0o600)
  assert.is(toHex(await makeOperatorSecret(folder, systemRandom, silent)), toHex(made))
  const { right, secrets } = await readClientSecrets(path)
  assert.equal([right, ...secrets.map(toHex)], ['operator', toHex(made)])
})

test('an operator secret that others could read, or that is damaged, is replaced', async () => {
  const path = join(folder, 'operator.secret')
  const first = await makeOperatorSecret(folder, systemRandom, silent)
  chmodSync(path, 0o644)
  const second = await makeOperatorSecret(folder, systemRandom, silent)
  assert.is.not(toHex(second), toHex(first))
  assert.is(statSync(path).mode & 0o777, 0o600)
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 20))
  assert.is.not(toHex(await makeOperatorSecret(folder, systemRandom, silent)), toHex(second))
})

test('a daemon keeps its former secrets when the file cannot be read again', async () => {
  const secrets = new DaemonSecrets({ path: file(SECRET), isCredential: false })
  assert.is(await secrets.load(), 1)
  const [key] = secrets.keyring.keys('member')
  file('damaged')
  await refused(secrets.load())
  assert.equal(secrets.keyring.keys('member'), [key])
  file(`${secretText(newSecret(systemRandom))}\n${SECRET}\n`)
  assert.is(await secrets.load(), 2)
  assert.equal(secrets.keyring.keys('member')[1], key)
})

test('the folder of npm start is for its user alone, also when it was made before', () => {
  for (const mode of [undefined, 0o755]) {
    const path = join(folder, 'ringd')
    if (mode !== undefined) chmodSync(path, mode)
    makePrivate(path)
    assert.is(statSync(path).mode & 0o777, 0o700)
  }
})

test.run()
