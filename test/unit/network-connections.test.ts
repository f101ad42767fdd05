// Bounds on connections: those that wait for their handshake, and those that are admitted. Without sockets.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '../../lib/limits.js'
import { ConnectionWatch, type Watched } from '../../lib/network/connection-watch.js'
import { type PendingConnection, PendingConnections } from '../../lib/network/pending-connections.js'
import type { Role } from '../../lib/network/secrets.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('connections')

interface Fake extends PendingConnection {
  bytes: number
  aborted: boolean
}

function fake(host: string, bytes = 0): Fake {
  return {
    host,
    bytes,
    aborted: false,
    received() {
      return this.bytes
    },
    abort() {
      this.aborted = true
    }
  }
}

test('of too many waiting connections, the oldest mute one of the address with the most goes', () => {
  const pending = new PendingConnections(new KeptMetrics(), { connectionsMax: 4, bytesMax: KiB })
  const other = fake('10.0.0.2')
  const talking = fake('10.0.0.1', 20)
  const mute = [fake('10.0.0.1'), fake('10.0.0.1'), fake('10.0.0.1')]
  for (const connection of [other, talking, ...mute]) pending.add(connection)
  assert.equal(
    [other, talking, ...mute].map(({ aborted }) => aborted),
    [false, false, true, false, false]
  )
  assert.is(pending.size, 4)
})

test('when all have sent something, the oldest goes', () => {
  const pending = new PendingConnections(new KeptMetrics(), { connectionsMax: 2, bytesMax: KiB })
  const all = [fake('h', 1), fake('h', 1), fake('h', 1)]
  for (const connection of all) pending.add(connection)
  assert.equal(
    all.map(({ aborted }) => aborted),
    [true, false, false]
  )
})

test('admitted connections do not count', () => {
  const pending = new PendingConnections(new KeptMetrics(), { connectionsMax: 2, bytesMax: KiB })
  const all = Array.from({ length: 50 }, () => fake('h'))
  for (const connection of all) {
    pending.add(connection)
    pending.remove(connection)
    pending.remove(connection)
  }
  assert.is(pending.size, 0)
  assert.not.ok(all.some(({ aborted }) => aborted))
})

test('a connection that sends too much before its handshake is done is ended', () => {
  const pending = new PendingConnections(new KeptMetrics(), { connectionsMax: 9, bytesMax: KiB })
  const connection = fake('h')
  pending.add(connection)
  connection.bytes = KiB
  pending.check(connection)
  assert.not.ok(connection.aborted)
  connection.bytes++
  pending.check(connection)
  assert.ok(connection.aborted)
  assert.is(pending.size, 0)
})

interface FakeAdmitted extends Watched {
  used: number | undefined
  reason: string
}

function admitted(role: Role, used?: number): FakeAdmitted {
  return {
    role,
    used,
    reason: '',
    usedAt() {
      return this.used
    },
    abort(error) {
      this.reason = error.message
    }
  }
}

const LIMITS = { connectionsMax: { member: 2, data: 3, operator: 1 }, unusedMs: 10_000 }

test('a connection without one of our streams is closed after its time, and one with a stream is not', async () => {
  const clock = new VirtualClock()
  const watch = new ConnectionWatch(clock, LIMITS)
  const [unused, used] = [admitted('data'), admitted('data', 1)]
  watch.start(() => {})
  watch.opened(unused)
  watch.opened(used)
  await clock.advance(9000)
  assert.is(unused.reason, '')
  await clock.advance(3000)
  assert.match(unused.reason, 'no stream was opened')
  used.used = undefined
  await clock.advance(6000)
  assert.is(used.reason, '')
  await clock.advance(8000)
  assert.match(used.reason, 'no stream was opened')
  assert.is(watch.size('data'), 0)
  watch.stop()
})

test('with too many connections of a role the longest idle one of that role goes', () => {
  const watch = new ConnectionWatch(new VirtualClock(), LIMITS)
  const clients = [admitted('data', 30), admitted('data', 10), admitted('data', 20)]
  const [operator, member] = [admitted('operator', 1), admitted('member', 1)]
  for (const one of [operator, member, ...clients]) watch.opened(one)
  const late = admitted('data', 40)
  watch.opened(late)
  assert.equal(
    [operator, member, ...clients, late].map(({ reason }) => reason !== ''),
    [false, false, false, true, false, false]
  )
  watch.opened(admitted('data', 50))
  assert.is(clients[2]!.reason !== '', true)
})

test('a flood of clients ends no connection of an operator or a member', () => {
  const watch = new ConnectionWatch(new VirtualClock(), LIMITS)
  const kept = [admitted('operator'), admitted('member'), admitted('member')]
  for (const one of kept) watch.opened(one)
  for (let n = 0; n < 1000; n++) watch.opened(admitted('data', n))
  assert.equal(
    kept.map(({ reason }) => reason),
    ['', '', '']
  )
  assert.is(watch.size('data'), 3)
})

test('a closed connection is forgotten', () => {
  const watch = new ConnectionWatch(new VirtualClock(), LIMITS)
  for (let n = 0; n < 100; n++) {
    const one = admitted('data')
    watch.opened(one)
    watch.closed(one)
    watch.closed(one)
    assert.is(one.reason, '')
  }
  assert.is(watch.size('data'), 0)
})

test.run()
