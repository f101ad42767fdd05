// Clients that build on atomic operations: shared counters, locks, chains of values, and money between two keys of one
// group. Each of them follows one rule that users rely on; judge-atomic.ts checks it beside linearizability.
// A kind of client whose commands the daemons do not know ends after its first attempt, and leaves one record of it.
// Invariant: every value but those of counters and money is written only once in a campaign.
import { setTimeout as sleep } from 'node:timers/promises'
import { below } from '../../lib/random.js'
import type { Answer, Check, Step } from '../sim/checkers/linearizability/operations.js'
import type { Attempt } from './client-records.js'
import { type Command, type LinkAnswer, type RedisLink, type Reply, UNKNOWN_COMMAND } from './redis-link.js'
import type { Via } from './via.js'

export const ATOMIC_KINDS = ['counter', 'lock', 'chain', 'bank'] as const
export type AtomicKind = (typeof ATOMIC_KINDS)[number]

export interface AtomicDeps {
  readonly kind: AtomicKind
  readonly client: number
  readonly via: Via
  /** The daemon of this name; undefined: there is none to use now. */
  readonly open: (name: string) => RedisLink | undefined
  readonly now: () => number
  readonly isOver: () => boolean
  readonly nextOperation: () => number
  /** Notes that an attempt begins, and how it ended. */
  readonly begin: (attempt: Omit<Attempt, 'outcome' | 'end'>) => void
  readonly end: (attempt: Omit<Attempt, 'outcome' | 'end'>, outcome: Omit<LinkAnswer, 'reply'>, told: Told) => void
}

/** What the daemon told of the steps. */
export type Told = Pick<Attempt, 'answers' | 'checksHeld'>

type Asked = Omit<Step, 'answer'>

/** How many keys, or groups of keys, all clients of a kind share. */
const KEYS = { counter: 2, lock: 3, chain: 2, bank: 3 }
/** A lock lives longer than its holder works, and holders work longer than the clocks of daemons differ. */
export const LOCK_TTL_MS = 1500
const WORK_MS_MAX = 400
const RETRY_MS = 50
const AMOUNT_MAX = 9
/** Of so many turns one is a look at the keys. */
const LOOK_ONE_IN = 4

export class AtomicClient {
  readonly #deps: AtomicDeps
  #link: RedisLink | undefined
  #isUnknown = false

  constructor(deps: AtomicDeps) {
    this.#deps = deps
  }

  /** Resolves when the campaign is over, or when the daemons do not know the commands. */
  async run(): Promise<void> {
    const { kind, via, isOver } = this.#deps
    const turns: Record<AtomicKind, (index: number) => Promise<void>> = {
      counter: (index) => this.#count(`atomic-counter-${index}`),
      lock: (index) => this.#lock(`atomic-lock-${index}`),
      chain: (index) => this.#chain(`atomic-chain-${index}`),
      bank: (index) => this.#bank(`{atomic-bank-${index}}`)
    }
    while (!isOver() && !this.#isUnknown) {
      await via.think()
      if (await this.#connected()) await turns[kind](below(via.random, KEYS[kind]))
      else await this.#move()
    }
    this.#link?.close()
  }

  async #count(key: string): Promise<void> {
    if (this.#looks()) return this.#look([key])
    const by = 1
    await this.#one(['INCR', key], { key, action: { kind: 'incr', by } }, (reply) => ({ value: String(reply) }))
  }

  async #lock(key: string): Promise<void> {
    const { now, via } = this.#deps
    const value = this.#token()
    const expiresAt = now() + LOCK_TTL_MS
    const step: Asked = { key, action: { kind: 'put', value, expiresAt, only: 'absent' } }
    const isTaken = (reply: Reply): Answer => ({ done: reply === 'OK' })
    const answer = await this.#one(['SET', key, value, 'NX', 'PX', LOCK_TTL_MS], step, isTaken)
    if (answer.outcome !== 'ok' || answer.reply !== 'OK') return
    await sleep(below(via.random, WORK_MS_MAX))
    // Deleted only while it is still this client's. Where there are no transactions it expires.
    await this.#watched([key], ([held]) => {
      if (held !== value) return undefined
      return [{ command: ['DEL', key], step: { key, action: { kind: 'delete' } } }]
    })
  }

  async #chain(key: string): Promise<void> {
    if (this.#looks()) return this.#look([key])
    const value = this.#token()
    const found = (reply: Reply): Answer => ({ found: reply === null ? null : String(reply) })
    await this.#one(['GETSET', key, value], { key, action: { kind: 'put', value } }, found)
  }

  /** The sum of both keys is always 0. */
  async #bank(tag: string): Promise<void> {
    const { random } = this.#deps.via
    const keys = [`${tag}left`, `${tag}right`]
    if (this.#looks()) return this.#look(keys)
    const amount = 1 + below(random, AMOUNT_MAX)
    const shares = keys.map((key, at) => ({ key, by: at === 0 ? -amount : amount }))
    if (below(random, 2) === 0) {
      const steps = shares.map(({ key, by }): Asked => ({ key, action: { kind: 'incr', by } }))
      const added = (replies: readonly unknown[]) => replies.map((reply) => ({ value: String(reply) }))
      await this.#group(
        shares.map(({ key, by }) => ['INCRBY', key, by]),
        steps,
        added
      )
    } else {
      await this.#watched(keys, (held) => {
        return shares.map(({ key, by }, at) => {
          const value = String(Number(held[at] ?? 0) + by)
          return { command: ['SET', key, value], step: { key, action: { kind: 'put', value } } }
        })
      })
    }
  }

  /** Reads the keys at once. */
  async #look(keys: readonly string[]): Promise<void> {
    const steps = keys.map((key): Asked => ({ key, action: { kind: 'get' } }))
    const found = (reply: unknown): Answer => ({ found: reply === null ? null : String(reply) })
    if (steps.length === 1) await this.#one(['GET', keys[0]!], steps[0]!, found)
    else
      await this.#group(
        keys.map((key) => ['GET', key]),
        steps,
        (replies) => replies.map(found)
      )
  }

  /** Changes the keys when none of them has changed since they were read. */
  async #watched(
    keys: readonly string[],
    change: (held: readonly (string | null)[]) => readonly { command: Command; step: Asked }[] | undefined
  ): Promise<void> {
    const link = this.#link
    if (link === undefined) return
    const held: (string | null)[] = []
    for (const command of [['WATCH', ...keys], ...keys.map((key) => ['GET', key])]) {
      const answer = await link.send(command)
      if (answer.outcome !== 'ok') return this.#failed(answer)
      if (command[0] === 'GET') held.push(answer.reply as string | null)
    }
    const changes = change(held)
    if (changes === undefined) return void (await link.send(['UNWATCH']))
    const checks = keys.map((key, at) => ({ key, value: held[at]! }))
    await this.#group(
      changes.map(({ command }) => command),
      changes.map(({ step }) => step),
      () => [],
      checks
    )
  }

  async #one(command: Command, step: Asked, told: (reply: Reply) => Answer): Promise<LinkAnswer> {
    const send = (link: RedisLink) => link.send(command)
    return this.#attempt([step], send, ({ reply }) => ({ answers: [told(reply)] }))
  }

  async #group(
    commands: readonly Command[],
    steps: readonly Asked[],
    told: (replies: readonly unknown[]) => readonly Answer[],
    checks?: readonly Check[]
  ): Promise<LinkAnswer> {
    const send = async (link: RedisLink): Promise<LinkAnswer> => {
      const answer = await link.transact(commands)
      // A watched key has changed, and perhaps back again: nothing has happened, and nothing is told.
      return answer.outcome === 'ok' && answer.reply === null ? { outcome: 'refused', error: 'changed' } : answer
    }
    return this.#attempt(steps, send, ({ reply }) => ({ answers: told(reply as readonly unknown[]) }), checks)
  }

  async #attempt(
    steps: readonly Asked[],
    send: (link: RedisLink) => Promise<LinkAnswer>,
    told: (answer: LinkAnswer & { outcome: 'ok' }) => Told,
    checks?: readonly Check[]
  ): Promise<LinkAnswer> {
    const { client, now, nextOperation, begin, end } = this.#deps
    const link = this.#link
    if (link === undefined) return { outcome: 'refused', error: 'not connected' }
    const operation = nextOperation()
    const asked = { operation, client, node: link.name, kind: 'update' as const, key: steps[0]!.key, steps, checks }
    const open = { ...asked, begin: now() }
    begin(open)
    const answer = await send(link)
    end(open, answer, answer.outcome === 'ok' ? told(answer) : {})
    if (answer.outcome !== 'ok') await this.#failed(answer)
    return answer
  }

  async #failed({ error }: LinkAnswer & { readonly error: string }): Promise<void> {
    if (error === UNKNOWN_COMMAND) this.#isUnknown = true
    else if (error !== 'changed') await this.#move()
  }

  async #connected(): Promise<boolean> {
    const { via, open } = this.#deps
    if (this.#link?.name !== via.name) {
      this.#link?.close()
      this.#link = open(via.name)
    }
    return (await this.#link?.open()) ?? false
  }

  /** To another daemon, on a new connection. */
  async #move(): Promise<void> {
    this.#link?.close()
    this.#link = undefined
    this.#deps.via.move()
    await sleep(RETRY_MS)
  }

  #looks(): boolean {
    return below(this.#deps.via.random, LOOK_ONE_IN) === 0
  }

  #token(): string {
    return `t${this.#deps.client}.${this.#deps.nextOperation()}`
  }
}

/** One kind after the other. */
export function atomicKindOf(index: number): AtomicKind {
  return ATOMIC_KINDS[index % ATOMIC_KINDS.length]!
}
