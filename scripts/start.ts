// `npm start`: three peers of one ring on this machine, to try ringd. Ctrl-C stops them; their data stays.
// The ring has a secret, in .ringd/ring.secret: other users of this machine reach the ports too.
// Ports: peers on 4710, 4720, 4730; Redis clients on 4712, 4722, 4732. Data and logs are under ./.ringd/.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pc from 'picocolors'
import { newSecret, secretText } from '../lib/network/secrets.js'
import { systemRandom } from '../lib/system-random.js'
import { type PeerPlan, PeerProcess } from './peer-process.js'

const FOLDER = '.ringd'
const SECRET_FILE = join(FOLDER, 'ring.secret')
const PORT_BASES: Readonly<Record<string, number>> = { a: 4710, b: 4720, c: 4730 }
const NAMES = Object.keys(PORT_BASES)
const READY_MS_MAX = 60_000
const STOP_MS_MAX = 20_000
/** The terminal and npm both send a signal for one Ctrl-C. Signals within this time count as one. */
const SAME_SIGNAL_MS = 1000

function portBase(name: string): number {
  return PORT_BASES[name] ?? 0
}

function address(name: string): string {
  return `/ip4/127.0.0.1/tcp/${portBase(name)}`
}

/**
 * The peers to start, in waves. Peers with data start first and together, because a ring needs a majority to serve.
 * Without any data, `a` founds the ring and the others join it. A peer whose data was deleted joins the others.
 */
export function waves(hasData: ReadonlySet<string>): PeerPlan[][] {
  const old = NAMES.filter((name) => hasData.has(name))
  const fresh = NAMES.filter((name) => !hasData.has(name))
  const founder = old.length === 0 ? fresh.splice(0, 1) : []
  const known = [...founder, ...old]
  const plan = (name: string): PeerPlan => ({
    name,
    data: join(FOLDER, name),
    log: join(FOLDER, `${name}.log`),
    flags: ['--port-base', String(portBase(name)), '--secret-file', SECRET_FILE],
    join: founder.includes(name) || old[0] === name ? [] : known.filter((other) => other !== name).map(address)
  })
  return [founder, old, fresh].filter((wave) => wave.length > 0).map((wave) => wave.map(plan))
}

/** Other users see nothing in the folder: it has the secret, the data and the logs. */
export function makePrivate(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(folder, 0o700)
}

/** Made at the first start, and kept with the data. */
function makeSecret(): void {
  if (existsSync(SECRET_FILE)) return
  writeFileSync(SECRET_FILE, `${secretText(newSecret(systemRandom))}\n`, { mode: 0o600, flag: 'wx' })
}

/** Starts all waves. Resolves with false when it was stopped, or when a peer did not serve; prints the reason. */
async function startAll(peers: PeerProcess[], stopping: () => boolean): Promise<boolean> {
  for (const wave of waves(new Set(NAMES.filter((name) => existsSync(join(FOLDER, name)))))) {
    if (stopping()) return false
    const started = wave.map((plan) => new PeerProcess(plan))
    peers.push(...started)
    const troubles = await Promise.all(started.map((peer) => peer.ready(READY_MS_MAX)))
    if (stopping()) return false
    for (const [index, trouble] of troubles.entries()) {
      const peer = started[index]
      if (trouble !== undefined && peer !== undefined) reportTrouble(peer, trouble)
    }
    if (troubles.some((trouble) => trouble !== undefined)) return false
  }
  return true
}

function reportTrouble(peer: PeerProcess, trouble: string): void {
  const { name, log } = peer.plan
  const port = portBase(name)
  console.error(`${pc.red('peer')} ${name} (ports ${port} to ${port + 2}) ${trouble}. The last lines of ${log}:`)
  console.error(peer.tail())
}

function welcome(peers: readonly PeerProcess[]): string {
  const rows = [...peers]
    .sort((one, other) => portBase(one.plan.name) - portBase(other.plan.name))
    .map(({ plan, pid }) => {
      const doors = `redis 127.0.0.1:${portBase(plan.name) + 2}  ${address(plan.name)}`
      return `  ${pc.bold(plan.name)}  ${doors}  pid ${pid}  ${plan.log}`
    })
  const tries = [
    'redis-cli -p 4712 set greeting hello',
    'redis-cli -p 4732 get greeting',
    `npx ringd status --data ${FOLDER}/a`,
    `npx ringd where greeting --peer ${address('b')} --secret-file ${SECRET_FILE}`
  ]
  return [
    'Three peers form one ring. Every peer serves every key.',
    ...rows,
    '',
    'Try',
    ...tries.map((line) => `  ${pc.cyan(line)}`),
    '',
    `Ctrl-C stops all three. The data stays in ${FOLDER}/, and the next npm start uses it.`
  ].join('\n')
}

/** How a peer ended by itself, and what to do; `others` is the number of peers that still run. */
export function endNotice(end: string, others: number): string {
  if (others === 0) return `${end}. It was the last peer. To start all three again, run npm start`
  const still = others === 1 ? 'The other peer continues' : `The other ${others} peers continue`
  return `${end}. ${still}. To start it again, press Ctrl-C and run npm start`
}

/** Stops all peers. Resolves with the number of peers that did not end cleanly. */
async function stopAll(peers: readonly PeerProcess[]): Promise<number> {
  const living = peers.filter((peer) => peer.alive)
  const ends = await Promise.all(living.map((peer) => peer.stop(STOP_MS_MAX)))
  const unclean = ends.filter((end) => end !== 'exited with 0')
  for (const [index, end] of ends.entries()) {
    const peer = living[index]
    if (end !== 'exited with 0' && peer !== undefined) reportTrouble(peer, end)
  }
  return unclean.length
}

/** Resolves at the first signal. A later signal kills the peers and exits. */
function untilSignal(peers: readonly PeerProcess[], onSignal: () => void): Promise<'signal'> {
  return new Promise((resolve) => {
    let signalAt: number | undefined
    const tell = () => {
      const now = performance.now()
      if (signalAt === undefined) {
        signalAt = now
        onSignal()
        resolve('signal')
      } else if (now - signalAt > SAME_SIGNAL_MS) {
        for (const peer of peers) peer.kill()
        process.exit(130)
      }
    }
    process.on('SIGINT', tell)
    process.on('SIGTERM', tell)
    process.on('SIGHUP', tell)
  })
}

async function main(): Promise<number> {
  makePrivate(FOLDER)
  makeSecret()
  const peers: PeerProcess[] = []
  let stopping = false
  const signalled = untilSignal(peers, () => {
    stopping = true
    console.log('\nstopping')
  })
  const began = await Promise.race([startAll(peers, () => stopping), signalled])
  if (began !== true) return (await stopAll(peers)) + (began === 'signal' ? 0 : 1)
  console.log(welcome(peers))
  for (const peer of peers) {
    void peer.ended.then((end) => {
      if (!stopping) reportTrouble(peer, endNotice(end, peers.filter(({ alive }) => alive).length))
    })
  }
  const allEnded = Promise.all(peers.map((peer) => peer.ended))
  const end = await Promise.race([signalled, allEnded])
  if (end !== 'signal') return 1
  return stopAll(peers)
}

if (import.meta.main) process.exit(Math.min(1, await main()))
