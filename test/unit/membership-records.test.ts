// The records of membership on disk: those of an older version, which had no votes and no signatures, still open.
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  readMembership,
  writeAcceptor,
  writeRecord,
  writeView
} from '../../lib/actors/membership/membership-records.js'
import type { MetaWrite } from '../../lib/storage/meta.js'
import { NO_PROOF } from '../../lib/views/paxos.js'
import { digestOf, emptyRing, lacking } from '../../lib/views/ring-state.js'
import { founding, id, member } from './views-support.js'

const test = suite('membership: records')

function readerOf(writes: readonly MetaWrite[]) {
  const records = new Map(writes.map(({ name, value }) => [name, value]))
  return {
    get: (name: string) => records.get(name),
    names: async (prefix: string) => [...records.keys()].filter((name) => name.startsWith(prefix)).sort()
  }
}

test('records that were written before there were votes and signatures open as they were', async () => {
  const stored: Record<string, string> = JSON.parse(readFileSync('test/fixtures/ring-records-wire-4.json', 'utf8'))
  const writes = Object.entries(stored).map(([name, value]) => ({ name, value: Buffer.from(value, 'base64') }))
  const { ring, acceptor } = await readMembership(readerOf(writes))
  assert.is(ring.view?.number, 2)
  assert.equal([...ring.view!.members.keys()], [1, 2, 3, 4].map(id))
  assert.equal(ring.changes[1], { number: 2, joins: [member(4)], removals: [] })
  assert.is(ring.records.get(id(4))?.addresses[0], '/ip4/127.0.0.1/tcp/4704/p2p/peer-4')
  assert.is(ring.records.get(id(4))?.ready[16383], 1)
  assert.is(acceptor.accepted?.change.lost?.[0], id(2))
  assert.is(acceptor.accepted?.proof, undefined)
  assert.is(lacking(ring, digestOf(emptyRing())).records.length, 0, 'records without a signature are not passed on')
})

test('votes, proofs and signatures are read as they were written', async () => {
  const signature = Uint8Array.from({ length: 64 }, (_, at) => at)
  const ballot = { round: 3, storeId: id(1) }
  const first = { number: 1, joins: [member(1), member(2)], removals: [], founding: founding(3) }
  const votes = { ballot, signatures: new Map([[id(1), signature]]) }
  const change = { number: 2, joins: [member(3)], removals: [], votes }
  const unchosen = { number: 3, joins: [], removals: [id(2)], lost: [id(2)] }
  const proof = { ...NO_PROOF, evictions: [id(2)], ballot, promises: new Map([[id(3), signature]]) }
  const ready = new Uint32Array(16384).fill(2)
  const record = { storeId: id(3), peerId: 'peer-3', sequence: 1, addresses: [], ready, signature }
  const accepted = { ballot, change: unchosen, proof }
  const acceptor = { instance: 3, promised: ballot, accepted }
  const writes = [writeView(first), writeView(change), writeRecord(record), writeAcceptor(acceptor)]
  const read = await readMembership(readerOf(writes))
  assert.equal(
    [...read.ring.changes[1]!.votes!.signatures].map(([one, bytes]) => [one, [...bytes]]),
    [[id(1), [...signature]]]
  )
  assert.equal([...read.ring.records.get(id(3))!.signature], [...signature])
  assert.equal(read.acceptor.accepted!.proof!.evictions, [id(2)])
  assert.equal([...read.acceptor.accepted!.proof!.promises.get(id(3))!], [...signature])
})

test.run()
