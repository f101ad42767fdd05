// What an operator meets when machines are lost, copied or wiped: each command of "When things go wrong" in
// daemon/README.md that is about the ring.
// time limit: 400 s
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Daemon, pause, until, withCluster } from './cluster.js'
import { ringd } from './command.js'

const test = suite('lost majority')
/** The request is refused at once; a busy machine takes a while to start the command. */
const REFUSED_MS_MAX = 30_000

/** The status of `daemon` shows a member that is down. */
async function memberDown(daemon: Daemon): Promise<string> {
  let storeId = ''
  await until('a member is down', 30_000, async () => {
    storeId = (await daemon.status()).members.find(({ state }) => state === 'down')?.storeId ?? ''
    return storeId !== ''
  })
  return storeId
}

async function loseFor(daemon: Daemon): Promise<void> {
  await daemon.kill()
  rmSync(daemon.data, { recursive: true })
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return server
    })
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

const withoutPeer = (address: string) => address.split('/p2p/')[0]!

test(
  'a ring that has lost its majority is rescued from one directory, and another one hands over what it holds',
  withCluster(async (cluster) => {
    const [first, second, third] = (await cluster.startThree()) as [Daemon, Daemon, Daemon]
    await cluster.redis(first).set('old', 'value')
    await first.kill()
    await cluster.redis(second).set('missed by the first', 'value')
    const { storeId } = third.info
    await loseFor(third)
    const begun = performance.now()
    const vain = await ringd(['remove', storeId, '--yes', '--force', '--data', second.data])
    assert.is(vain.code, 4, vain.stderr)
    assert.match(vain.stderr, /2 of 3 members .*ringd rescue --data DIR \(NO_QUORUM\)/)
    assert.ok(performance.now() - begun < REFUSED_MS_MAX)
    await second.kill()
    const refused = await ringd(['rescue', '--data', first.data])
    assert.is(refused.code, 2, refused.stderr)
    assert.match(refused.stderr, /slots {4}16384 held, 0 held in part, 0 not held/)
    const rescued = await ringd(['rescue', '--data', first.data, '--yes', '--json'])
    assert.is(rescued.code, 0, rescued.stderr)
    const { ringId } = JSON.parse(rescued.stdout)
    await first.start({ flags: ['--join', '/ip4/127.0.0.1/tcp/1'] })
    const id = JSON.parse((await ringd(['id', '--json', '--data', first.data])).stdout)
    assert.is(id.ringId, ringId)
    assert.is(await cluster.redis(first).get('old'), 'value')
    const inUse = await ringd(['rescue', '--data', first.data, '--yes'])
    assert.is(inUse.code, 6, inUse.stderr)
    const given = await ringd(['rescue', '--data', second.data, '--into', ringId, '--yes'])
    assert.is(given.code, 0, given.stderr)
    await second.start({ join: [first] })
    await cluster.settled([first, second])
    assert.is(await cluster.redis(first).get('missed by the first'), 'value')
  })
)

test(
  'a ring of two that loses its second member for good goes on with the first, and grows again',
  withCluster(async (cluster) => {
    const first = await cluster.daemon('a').start()
    await cluster.redis(first).set('k', 'v')
    const [second] = (await cluster.startAll(['b'], [first])) as [Daemon]
    await cluster.settled([first, second])
    await loseFor(second)
    const lost = await memberDown(first)
    const few = await ringd(['remove', lost, '--yes', '--data', first.data])
    assert.is(few.code, 2)
    assert.match(few.stderr, /--force.*\(TOO_FEW_MEMBERS\)/)
    const removed = await ringd(['remove', lost, '--yes', '--force', '--data', first.data])
    assert.is(removed.code, 0, removed.stderr)
    assert.is(await cluster.redis(first).get('k'), 'v')
    const [third] = (await cluster.startAll(['c'], [first])) as [Daemon]
    await cluster.settled([first, third])
  })
)

test(
  'a copy of a data directory ends while the original runs, and its next start is a member with an id of its own',
  withCluster(async (cluster) => {
    const [first, second, third] = (await cluster.startThree()) as [Daemon, Daemon, Daemon]
    const { peerId } = third.info
    await third.stop()
    const copy = cluster.copyOf(third, 'copy')
    // The copy writes as often as the original before it meets others: it is no older state of the store.
    await third.start({ join: [first] })
    await cluster.settled([first, second, third])
    copy.launch({ join: [first] })
    assert.match(await copy.ended, /exited with 6/)
    assert.match(copy.tail(), /IDENTITY_TWICE|DATA_DAMAGED/)
    await copy.start({ join: [first] })
    await cluster.settled([first, second, third, copy])
    assert.is(third.info.peerId, peerId)
    assert.is.not(copy.info.peerId, peerId)
  })
)

test(
  'members are restarted while a wiped founder answers at their join address, and both sides say so',
  withCluster(async (cluster) => {
    const [first, second, third] = (await cluster.startThree()) as [Daemon, Daemon, Daemon]
    await cluster.redis(first).set('k', 'v')
    const address = withoutPeer(first.address)
    await loseFor(first)
    await first.start({ flags: ['--listen', address] })
    await first.logs(/members of another ring dial this peer/)
    await second.logs(/the address of member .* answers for another ring/)
    for (const daemon of [second, third]) {
      // On the same port: the address to join by cannot tell them where the other one is.
      const own = withoutPeer(daemon.address)
      await daemon.stop()
      await daemon.start({ flags: ['--listen', own, '--join', address] })
    }
    assert.is(await cluster.redis(second).get('k'), 'v')
  })
)

test(
  'machines with one list of addresses found one ring, and one that is wiped joins it again',
  withCluster(async (cluster) => {
    const ports = await freePorts(3)
    const addresses = ports.map((port) => `/ip4/127.0.0.1/tcp/${port}`)
    const join = addresses.flatMap((address) => ['--join', address])
    const daemons = ports.map((_, at) => cluster.daemon(`d${at}`))
    const flags = (at: number) => ['--listen', addresses[at]!, '--expect', '3', ...join]
    for (const [at, daemon] of daemons.entries()) daemon.launch({ flags: flags(at) })
    await Promise.all(daemons.map((daemon) => daemon.serves()))
    await cluster.settled(daemons)
    const ringOf = async ({ data }: Daemon) => JSON.parse((await ringd(['id', '--json', '--data', data])).stdout).ringId
    const ringId = await ringOf(daemons[1]!)
    await loseFor(daemons[0]!)
    await pause(1000)
    await daemons[0]!.start({ flags: flags(0) })
    assert.is(await ringOf(daemons[0]!), ringId)
  })
)

test.run()
