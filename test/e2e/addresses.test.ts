// Addresses and settings that operators get wrong, on real daemons: a peer behind a port mapping, a peer that is told
// to join itself, a port for Redis clients in place of one for peers, IPv6, and settings that have no effect.
// time limit: 240 s
import { readFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Cluster, type Daemon, until, withCluster } from './cluster.js'
import { ringd } from './command.js'

const test = suite('addresses')

const tcp = (port: number) => `/ip4/127.0.0.1/tcp/${port}`

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function listening(server: Server): Promise<Server> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

async function freePort(): Promise<number> {
  const server = await listening(createServer())
  const port = portOf(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** A port mapping: connections to `port` lead to 127.0.0.1:`target`. */
async function portMapping(cluster: Cluster, target: number): Promise<{ port: number; connections: () => number }> {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = await listening(
    createServer((outside) => {
      connections += 1
      const inside = connect(target, '127.0.0.1')
      for (const [from, to] of [
        [outside, inside],
        [inside, outside]
      ] as const) {
        sockets.add(from)
        from.on('error', () => to.destroy())
        from.on('close', () => to.destroy())
        from.pipe(to)
      }
    })
  )
  cluster.atEnd(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: portOf(server), connections: () => connections }
}

/** The addresses of one member, as another daemon knows them, without the id of its peer. */
async function addressesOf(member: Daemon, asked: Daemon): Promise<string[]> {
  const { members } = await asked.status()
  const { addresses } = members.find(({ storeId }) => storeId === member.info.storeId)!
  return addresses.map((address) => address.split('/p2p/')[0]!)
}

const logOf = (daemon: Daemon) => readFileSync(daemon.log, 'utf8')

test(
  'a peer behind a port mapping is known and reached by the address that it announces',
  withCluster(async (cluster) => {
    const a = await cluster.daemon('a').start()
    const b = cluster.daemon('b')
    const inside = await freePort()
    const mapping = await portMapping(cluster, inside)
    const listen = ['--listen', tcp(inside)]
    await b.start({ join: [a], flags: [...listen, '--announce', tcp(mapping.port)] })
    assert.equal(await addressesOf(b, a), [tcp(mapping.port)])
    assert.match(b.address, `${tcp(inside)}/`, 'commands on its machine do not need the mapping')

    const before = mapping.connections()
    const c = cluster.daemon('c')
    await c.start({ flags: ['--join', tcp(mapping.port)] })
    await cluster.settled([a, b, c])
    assert.ok(mapping.connections() > before, 'c came in through the mapping')
    const put = await ringd([
      'put',
      'k',
      'v',
      '--peer',
      tcp(mapping.port),
      '--secret-file',
      `${b.data}/operator.secret`
    ])
    assert.is(put.code, 0, put.stderr)

    await b.stop()
    const other = await portMapping(cluster, inside)
    await b.start({ flags: [...listen, '--announce', tcp(other.port)] })
    await until('the new address is known', 20_000, async () => (await addressesOf(b, a))[0] === tcp(other.port))
  })
)

test(
  'a peer that is told to join only itself says so and ends; an own address among others is skipped',
  withCluster(async (cluster) => {
    const alone = cluster.daemon('alone')
    const own = tcp(await freePort())
    alone.launch({ flags: ['--listen', own, '--join', own] })
    assert.match(await alone.ended, /^exited with 2:/)
    assert.match(logOf(alone), /is an address of this peer itself: it cannot join by it; name another peer, or leave/)

    const a = await cluster.daemon('a').start()
    const b = cluster.daemon('b')
    const mine = tcp(await freePort())
    const list = ['--listen', mine, '--join', mine, '--join', a.address]
    await b.start({ flags: list })
    await cluster.settled([a, b])
    await b.stop()
    await b.start({ flags: list })
    await cluster.settled([a, b])
    assert.not.match(logOf(b), /trying again"/)
  })
)

test(
  'a port for Redis clients in place of one for peers is named as such',
  withCluster(async (cluster) => {
    const a = await cluster.daemon('a').start()
    const redis = tcp(a.resp.port)
    const named = /is a port for Redis clients; give the port for peers/
    const asked = await ringd(['status', '--peer', redis])
    assert.is(asked.code, 2)
    assert.match(asked.stderr, named)
    const b = cluster.daemon('b')
    b.launch({ flags: ['--join', redis] })
    assert.match(await b.ended, /^exited with 2:/)
    assert.match(logOf(b), named)
  })
)

test(
  'the door for Redis clients on an IPv6 address is printed in the form that --resp takes',
  withCluster(async (cluster) => {
    const port = await freePort()
    const a = await cluster.daemon('a').start({ flags: ['--listen', '/ip6/::1/tcp/0', '--resp', `[::1]:${port}`] })
    assert.is(a.info.resp, `[::1]:${port}`)
    assert.match(logOf(a), `"resp":"[::1]:${port}"`)
    const again = await ringd(['daemon', '--data', `${a.data}-2`, '--listen', tcp(0), '--resp', a.info.resp!])
    assert.is(again.code, 8, again.stderr)
    assert.match(again.stderr, `[::1]:${port}`)
  })
)

test(
  'settings that have no effect are told in the log and by status, with what to do',
  withCluster(async (cluster) => {
    const a = await cluster.daemon('a').start({ flags: ['--replicas', '2'] })
    const b = await cluster.daemon('b').start({ join: [a], flags: ['--replicas', '5'] })
    const told = /replicas 5 has no effect: the ring keeps 2 copies/
    assert.match(logOf(b), told)
    assert.match((await b.status()).advice.join('\n'), told)
    assert.equal((await a.status()).advice, [])
  })
)

test(
  'a member that is started with another zone and weight says what to type, and has them when it was typed',
  withCluster(async (cluster) => {
    const flags = ['--weight', '8', '--zone', 'other']
    const a = await cluster.daemon('a').start({ flags: ['--replicas', '2'] })
    const b = await cluster.daemon('b').start({ join: [a] })
    await cluster.settled([a, b])
    await cluster.redis(b).set('key', 'value')
    await b.stop()
    await b.start({ flags })
    await cluster.settled([a, b])
    const { stdout } = await ringd(['status', '--data', b.data])
    assert.match(stdout, /zone "other" has no effect: .* joined with zone "" /)
    assert.match(stdout, /weight 8 has no effect: .* joined with weight 1 /)
    assert.match(logOf(b), /weight 8 has no effect/)
    const typed = /run "ringd ([^"]+)", then start this daemon again with "(--join [^"]+)"/.exec(stdout)
    assert.ok(typed, stdout)
    const [, leave = '', rejoin = ''] = typed
    const { code, stderr } = await ringd(leave.split(' '))
    assert.is(code, 0, stderr)
    assert.is(await b.ended, 'exited with 0')
    await b.start({ flags: [...flags, ...rejoin.split(' ')] })
    const { members } = await cluster.settled([a, b])
    const { zone, tokens } = members.find(({ storeId }) => storeId === b.info.storeId)!
    assert.equal([zone, tokens], ['other', 8 * 64])
    assert.equal((await b.status()).advice, [])
    assert.is(await cluster.redis(b).get('key'), 'value')
  })
)

test.run()
