// Runs attacks one after the other against a ring, with a good client beside each, and judges each of them. Owns the
// ring, which it replaces when an attack has changed or broken it. Each attacker is a process of its own, at a lower
// priority than the daemons: an attacker on another machine would not take their CPU either. It sends about as many
// large packets all the same, and fewer small requests.
import { spawn } from 'node:child_process'
import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { MiB } from '../../lib/limits.js'
import { memoryOf, watchOver } from '../../scripts/bench-processes.js'
import type { Attack, Role } from './attack.js'
import type { Deed, Order } from './attacker.js'
import { GoodClient } from './good-client.js'
import { type AttackResult, judge, MEMORY_MIB_MAX } from './report.js'
import { AttackedRing, RESP_PASSWORD } from './ring.js'
import { Watch } from './watch.js'

const ATTACKER = fileURLToPath(new URL('./attacker.js', import.meta.url))
/** The nice value. At 2 the p99 of attacks with large packets is about twice as high. */
const ATTACKER_PRIORITY = 10
/** After its time the attacker ends by itself. Then it is killed. */
const ATTACKER_GRACE_MS = 15_000
/** A busy machine takes long to start a process. */
const ATTACKER_BEGIN_MS = 60_000
/** A daemon that has taken this much more has broken its bound. The attack ends, before the machine has no memory. */
const MEMORY_BYTES_STOP = 1024 * MiB
const WARM_MS = 2500
/** The good client goes on for this long after the attack, since some damage shows late. */
const AFTER_MS = 1500
/** After this, a daemon that did not give its memory back is replaced, so that the next attack begins from idle. */
const CALM_MS_MAX = 4000

export interface Step {
  readonly attack: Attack
  readonly as: Role
}

export interface CampaignOptions {
  readonly seconds: number
  readonly seed: number
  /** Hears of progress. */
  readonly say: (line: string) => void
}

interface Stage {
  readonly ring: AttackedRing
  readonly good: GoodClient
  /** Idle memory of each daemon, bytes. */
  readonly idle: readonly number[]
}

export class Campaign {
  readonly #options: CampaignOptions
  #stage: Stage | undefined

  constructor(options: CampaignOptions) {
    this.#options = options
  }

  /** Runs one attack and judges it. Rejects when the ring cannot be started. */
  async run({ attack, as }: Step): Promise<AttackResult> {
    const stage = await this.#ready(as === 'member')
    if (attack.needs === 'joiner') await stage.ring.startJoiner()
    const { result, isFit } = await this.#attack(stage, attack, as)
    if (!isFit || attack.replaces === true) await this.end()
    return result
  }

  /** Ends every process. */
  async end(): Promise<void> {
    const stage = this.#stage
    this.#stage = undefined
    await stage?.good.stop()
    await stage?.ring.stop()
  }

  async #attack(
    { ring, good, idle }: Stage,
    attack: Attack,
    as: Role
  ): Promise<{ readonly result: AttackResult; readonly isFit: boolean }> {
    const { daemons } = ring
    const { seconds, seed } = this.#options
    const logs = daemons.map(({ logBytes }) => logBytes)
    const target = await ring.target(as)
    good.take()
    const tooMuch = new AbortController()
    const observed = attack.restarts === true ? daemons.slice(1) : daemons
    const watch = new Watch(observed, (bytes) => {
      if (bytes > Math.max(...idle) + MEMORY_BYTES_STOP) tooMuch.abort()
    })
    const deeds = performed({ attack: attack.name, as, target, seconds, seed }, tooMuch.signal)
    const beside = await this.#beside(ring, attack)
    const deed = await deeds
    await sleep(AFTER_MS)
    const watched = await watch.stop()
    const breaches = [...deed.breaches, ...beside]
    if (attack.needs === 'joiner' && (await ring.joinerBelongs())) breaches.push('the waiting joiner belongs to a ring')
    if (attack.replaces !== true && watched.view > target.view) breaches.push('the ring has a new view')
    const figures = good.take()
    const lost = watched.ended.length === daemons.length ? ['no daemon is left'] : await good.verify()
    const logBytes = Math.max(...daemons.map((daemon, at) => daemon.logBytes - logs[at]!))
    if (deed.error !== undefined) this.#options.say(`  ${attack.name}: ${deed.error}`)
    const result = judge({
      ...{ attack: attack.name, as, seconds, watched, idle, logBytes, lost, breaches },
      ...{
        good: figures,
        isTimed: attack.restarts !== true,
        did: deed.error === undefined ? deed.did : { ...deed.did, [`ended: ${deed.error}`]: 1 }
      }
    })
    good.take()
    const isSound = result.broken.every(({ bound }) => bound === 'timing' || bound === 'log' || bound === 'access')
    return { result, isFit: isSound && attack.restarts !== true && (await isCalm(daemons, idle)) }
  }

  /** What the campaign itself does during the attack. Returns what went wrong. */
  async #beside(ring: AttackedRing, attack: Attack): Promise<readonly string[]> {
    if (attack.restarts !== true && attack.newcomer !== true) return []
    await sleep((this.#options.seconds * 1000) / 4)
    return attack.restarts === true ? ring.restartsFirst() : ring.welcomesNewcomer()
  }

  /** A ring that has settled, with the good client at work. */
  async #ready(withLiar: boolean): Promise<Stage> {
    if (this.#stage !== undefined && this.#stage.ring.hasLiar === withLiar) return this.#stage
    await this.end()
    this.#options.say(`  starting a ring${withLiar ? ' with a member for the attacker' : ''}`)
    const ring = await AttackedRing.start(withLiar)
    const doors = ring.daemons.map(({ name, victim }) => ({ name, port: victim.respPort, password: RESP_PASSWORD }))
    const good = new GoodClient(doors)
    await sleep(WARM_MS)
    this.#stage = { ring, good, idle: ring.daemons.map(({ pid }) => memoryOf(pid).now) }
    return this.#stage
  }
}

/** Whether every daemon gave its memory back: most of it, since a process keeps some for later. */
async function isCalm(daemons: AttackedRing['daemons'], idle: readonly number[]): Promise<boolean> {
  const deadline = performance.now() + CALM_MS_MAX
  for (;;) {
    const grown = daemons.map(({ pid }, at) => memoryOf(pid).now - idle[at]!)
    if (Math.max(...grown) < (MEMORY_MIB_MAX / 4) * MiB) return true
    if (performance.now() > deadline) return false
    await sleep(500)
  }
}

/** Runs the attacker's process to its end. */
function performed(order: Order, stop: AbortSignal): Promise<Deed> {
  const child = spawn(process.execPath, [ATTACKER], { stdio: ['pipe', 'pipe', 'ignore'] })
  const forget = watchOver({ kill: () => child.kill('SIGKILL') })
  if (child.pid !== undefined) setPriority(child.pid, ATTACKER_PRIORITY)
  const kill = () => child.kill('SIGKILL')
  let timer = setTimeout(kill, ATTACKER_BEGIN_MS)
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    if (said === '') {
      clearTimeout(timer)
      timer = setTimeout(kill, order.seconds * 1000 + ATTACKER_GRACE_MS)
    }
    said += chunk.toString('utf8')
  })
  child.stdin.on('error', () => {})
  child.stdin.end(JSON.stringify(order))
  stop.addEventListener('abort', kill, { once: true })
  return new Promise((resolve) => {
    child.on('error', () => {})
    child.on('close', () => {
      forget()
      clearTimeout(timer)
      stop.removeEventListener('abort', kill)
      resolve(deedOf(said, stop.aborted))
    })
  })
}

function deedOf(said: string, isStopped: boolean): Deed {
  try {
    return JSON.parse(said.slice(said.indexOf('\n') + 1))
  } catch {
    const error = isStopped ? 'it was stopped, since a daemon took too much memory' : 'it did not end by itself'
    return { did: {}, breaches: [], error }
  }
}
