// Secrets: how they are written, parsed and derived.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sameBytes, toHex } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import {
  clientSecret,
  clientSecretText,
  daemonSecrets,
  handshakeKey,
  newSecret,
  OPEN_SECRET,
  parseClientSecrets,
  parseSecrets,
  ROLES,
  type Secret,
  secretText
} from '../../lib/network/secrets.js'
import { systemRandom } from '../../lib/system-random.js'

const test = suite('secrets')

const A = secretText(newSecret(systemRandom))
const B = secretText(newSecret(systemRandom))

function refused(parse: () => unknown): string {
  try {
    parse()
  } catch (thrown) {
    assert.instance(thrown, RingdError)
    assert.is((thrown as RingdError).code, 'BAD_CONFIG')
    return (thrown as RingdError).message
  }
  throw new Error('it was accepted')
}

test('a new secret is one line of 64 hex digits, and no two are the same', () => {
  assert.match(A, /^[0-9a-f]{64}$/)
  assert.is.not(A, B)
  assert.equal(parseSecrets(`${A}\n`).map(secretText), [A])
})

test('a file has one secret for each line, in order of preference', () => {
  const text = `# the new one\n${B.toUpperCase()}\r\n\n  ${A}  \n# end`
  assert.equal(parseSecrets(text).map(secretText), [B, A])
})

test('a wrong file is refused with the line, and its text is not repeated', () => {
  assert.match(
    refused(() => parseSecrets('')),
    /no secret/
  )
  assert.match(
    refused(() => parseSecrets('# nothing\n\n')),
    /no secret/
  )
  const message = refused(() => parseSecrets(`${A}\n${B.slice(1)}`))
  assert.match(message, /line 2/)
  assert.not.match(message, B.slice(1, 9))
  assert.match(
    refused(() => parseSecrets(`${A}${B}`)),
    /line 1/
  )
  assert.match(
    refused(() => parseSecrets('correct horse battery staple')),
    /64 hex digits/
  )
  assert.match(
    refused(() => parseSecrets('00'.repeat(32))),
    /zeros/
  )
  assert.match(
    refused(() => parseSecrets(`${A}\n`.repeat(9))),
    /line 9: .*at most 8/
  )
  assert.match(
    refused(() => parseSecrets(`operator ${A}`)),
    /for clients/
  )
  assert.match(
    refused(() => parseClientSecrets(`member ${A}`)),
    /line 1/
  )
})

test('a file of a client has secrets of one right; a ring secret counts as its operator secret', () => {
  const [ring] = parseSecrets(A)
  const data = clientSecretText('data', clientSecret(ring!, 'data'))
  assert.is(parseClientSecrets(data).right, 'data')
  const operator = parseClientSecrets(A)
  assert.is(operator.right, 'operator')
  assert.ok(sameBytes(operator.secrets[0]!, clientSecret(ring!, 'operator')))
  const again = parseClientSecrets(clientSecretText('operator', clientSecret(ring!, 'operator')))
  assert.equal(again.secrets.map(toHex), operator.secrets.map(toHex))
  assert.match(
    refused(() => parseClientSecrets(`${data}\n${A}`)),
    /line 2/
  )
})

test('secrets of other rights and roles, and their ids, are all different', () => {
  const ring = newSecret(systemRandom)
  const secrets = [ring, clientSecret(ring, 'data'), clientSecret(ring, 'operator')]
  const names = new Set(secrets.map(toHex))
  for (const secret of secrets) {
    for (const role of ROLES) {
      const { id, prologue } = handshakeKey(secret, role)
      assert.is(id.length, 8)
      assert.is(prologue.length, 32)
      names.add(toHex(id))
      names.add(toHex(prologue))
    }
  }
  assert.is(names.size, 3 + 3 * ROLES.length * 2)
})

test('derived secrets never change: daemons and clients of two versions derive the same', () => {
  const ring = new Uint8Array(32).fill(7) as Uint8Array as Secret
  const { id, prologue } = handshakeKey(ring, 'member')
  assert.equal(
    [toHex(clientSecret(ring, 'data')), toHex(id), toHex(prologue)],
    [
      '138c7b5877f4134d67364b52b5e1a02ad9746d447d784cff6cc1c1cb001f45e6',
      'ffac57fcbbb8d420',
      '247e05e07cc9ca9f0c8627d8729c1191d3768326c005297b77380853dae7e1a4'
    ]
  )
})

test('a daemon accepts its operator secret beside those that follow from the ring secrets', () => {
  const own = newSecret(systemRandom)
  const { member, operator, data } = daemonSecrets([OPEN_SECRET], own)
  assert.equal([member.length, operator.length, data.length], [1, 2, 1])
  assert.ok(operator.includes(own))
})

test.run()
