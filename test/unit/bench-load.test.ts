// The loads of benchmarks, against a server of a few lines that answers as a test wants.
import { createServer, type Server, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { OpenLoad, peakRate } from '../../scripts/bench-open-load.js'
import { RespSocket } from '../../scripts/bench-resp.js'

const test = suite('bench load')

interface Fake {
  readonly port: number
  close(): void
}

/** A server that calls `onCommand` with the name of each command. Keys and values must not contain these names. */
async function listen(onCommand: (name: 'GET' | 'SET', socket: Socket) => void): Promise<Fake> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      for (const [name] of chunk.toString('latin1').matchAll(/GET|SET/g)) onCommand(name as 'GET' | 'SET', socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { port: (server.address() as { port: number }).port, close }
}

const VALUE = Buffer.from('value')
const nextValue = () => VALUE

/** Resolves when `holds`; throws after 10 s. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('not within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

test('a request of an open loop is timed from when it was due, also while nothing is answered', async () => {
  const held: Socket[] = []
  let isHolding = true
  const fake = await listen((_, socket) => (isHolding ? held.push(socket) : socket.write('+OK\r\n')))
  try {
    const load = await OpenLoad.start({ ports: [fake.port], keys: 10, nextValue }, 1000)
    await until(() => held.length >= 200)
    isHolding = false
    for (const socket of held) socket.write('+OK\r\n')
    const samples = [...(await load.stop())].sort((one, other) => one.at - other.at)
    assert.ok(samples.length >= 200, 'the load went on without answers')
    assert.ok(samples.every(({ outcome }) => outcome === 'good'))
    const [first, later] = [samples[0]!, samples[150]!]
    assert.is(first.at, 0)
    assert.is(later.at, 150)
    // Both were answered at the same moment, so the earlier one waited for 150 ms more.
    assert.ok(Math.abs(first.ms - later.ms - 150) < 60, `${first.ms} ms and ${later.ms} ms`)
  } finally {
    fake.close()
  }
})

test('errors and reads without a value are told apart; a fifth of the requests writes', async () => {
  const fake = await listen((name, socket) => socket.write(name === 'SET' ? '-ERR no\r\n' : '$-1\r\n'))
  try {
    const load = await OpenLoad.start({ ports: [fake.port], keys: 10, nextValue }, 1000)
    await until(() => performance.now() - load.startedAt > 150)
    const samples = await load.stop()
    const failed = samples.filter(({ outcome }) => outcome === 'failed').length
    assert.is(failed, Math.ceil(samples.length / 5))
    assert.is(samples.filter(({ outcome }) => outcome === 'missing').length, samples.length - failed)
  } finally {
    fake.close()
  }
})

test('requests fail when their connection closes, and on a closed connection at once', async () => {
  const fake = await listen((_, socket) => socket.destroy())
  try {
    const socket = await RespSocket.open(fake.port)
    assert.is(
      await socket.send([
        ['GET', 'a'],
        ['GET', 'b']
      ]),
      2
    )
    assert.is(await socket.send([['GET', 'c']]), 1)
  } finally {
    fake.close()
  }
})

test('the peak rate counts answers; a failure ends the measurement', async () => {
  const fake = await listen((name, socket) => socket.write(name === 'SET' ? '+OK\r\n' : '$1\r\nx\r\n'))
  try {
    assert.ok((await peakRate({ ports: [fake.port], keys: 10, nextValue }, 200)) > 100)
  } finally {
    fake.close()
  }
  const failing = await listen((_, socket) => socket.write('-ERR no\r\n'))
  try {
    await peakRate({ ports: [failing.port], keys: 10, nextValue }, 200)
    assert.unreachable()
  } catch (thrown) {
    assert.match(String(thrown), /a request failed while the peak rate was measured/)
  } finally {
    failing.close()
  }
})

test.run()
