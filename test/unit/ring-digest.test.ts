// The ring's digest identifies a set of members: their order does not matter, everything else does.

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ringDigest } from '../../lib/ring/digest.js'
import { anyMembers, anyReplicas, memberId } from './ring-support.js'

const test = suite('ring digest')

test('the digest is 16 hex digits and does not depend on any order', () => {
  fc.assert(
    fc.property(anyMembers(0), anyReplicas, (members, replicas) => {
      const digest = ringDigest(members, replicas)
      assert.match(digest, /^[0-9a-f]{16}$/)
      const turned = members.map((member) => ({ ...member, tokens: member.tokens.toReversed() })).reverse()
      assert.is(ringDigest(turned, replicas), digest)
    })
  )
})

test('any other token, zone, weight, id, peer or number of replicas gives another digest', () => {
  fc.assert(
    fc.property(anyMembers(1), anyReplicas, (members, replicas) => {
      const [first, ...others] = members
      const changed = [
        { ...first!, tokens: first!.tokens.with(0, first!.tokens[0]! ^ 64) },
        { ...first!, tokens: [...first!.tokens, 77, 78, 79] },
        { ...first!, zone: `${first!.zone}x` },
        { ...first!, weight: first!.weight + 0.25 },
        { ...first!, storeId: memberId('other', 1) },
        { ...first!, peerId: 'other' }
      ]
      const digests = [
        ringDigest(members, replicas),
        ringDigest(members, replicas + 1),
        ringDigest(others, replicas),
        ...changed.map((member) => ringDigest([member, ...others], replicas))
      ]
      assert.is(new Set(digests).size, digests.length)
    })
  )
})

test('the digest of a known ring stays the same', () => {
  const member = { storeId: memberId('fixed', 1), peerId: 'peer', zone: 'z', weight: 1, tokens: [1, 2, 3] }
  assert.is(ringDigest([member], 3), '04930d932ce1d24d')
})

test.run()
