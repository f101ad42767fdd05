// Single messages held back, lost or let go as a scenario says: the finer tool beside the hub's cuts and pauses.
// What is held waits at its sender, or its answer at the asker; the asker's timeout runs on meanwhile, as it would with
// bytes that are stuck in a network. A lost message is one whose connection broke before it arrived.
import type { Clock } from '../../../lib/clock.js'
import { RingdError } from '../../../lib/errors.js'
import type { PeerId } from '../../../lib/member.js'
import type { Answer, Body } from '../../../lib/network/network.js'
import type { MemoryHub, MessageFilter, SentMessage } from './memory-network.js'

export type Match = (message: SentMessage) => boolean
type Done = (answer: Answer) => void

/** What one rule has caught. */
export class Gate {
  readonly caught: SentMessage[] = []
  #waiting: { readonly message: SentMessage; readonly go: () => void }[] = []
  #isOpen = false

  get isOpen(): boolean {
    return this.#isOpen
  }

  catch(message: SentMessage, go: () => void): void {
    this.caught.push(message)
    this.#waiting.push({ message, go })
  }

  /** Lets go what waits, and holds nothing more. */
  release(): void {
    this.#isOpen = true
    this.letGo()
  }

  /** Lets go what waits now and matches; what comes after waits again. */
  letGo(match: Match = () => true): void {
    const going = this.#waiting.filter(({ message }) => match(message))
    this.#waiting = this.#waiting.filter((one) => !going.includes(one))
    for (const { go } of going) go()
  }
}

interface Rule {
  readonly what: 'hold' | 'hold-answer' | 'lose'
  readonly match: Match
  readonly gate: Gate
}

export class Steering implements MessageFilter {
  readonly #clock: Clock
  #rules: Rule[] = []
  #rumors: ((from: PeerId, to: PeerId) => boolean)[] = []
  readonly #deaf = new Map<PeerId, readonly Gate[]>()

  constructor(hub: MemoryHub) {
    this.#clock = hub.clock
    hub.filter = this
  }

  /** Requests that match wait until the gate is released. */
  hold(match: Match): Gate {
    return this.#add('hold', match)
  }

  /** Requests that match are served, and their answers wait until the gate is released. */
  holdAnswers(match: Match): Gate {
    return this.#add('hold-answer', match)
  }

  /** Requests that match never arrive, until the gate is released. */
  lose(match: Match): Gate {
    return this.#add('lose', match)
  }

  /**
   * The node hears nothing more of the ring, but in refusals: no views, no facts, and no votes unless `votes`. What it
   * asks for by itself waits until it hears again. Operations go on.
   */
  deafen(name: PeerId, options: { readonly votes?: boolean } = {}): void {
    const isVote = (body: Body) => has(body, 'prepare') || has(body, 'accept')
    const isNews = (body: Body) => has(body, 'learn') || has(body, 'exchange') || (isVote(body) && !options.votes)
    const told = this.lose(({ to, body }) => to === name && isNews(body))
    const asked = this.hold(({ from, body }) => from === name && has(body, 'exchange'))
    this.#deaf.set(name, [told, asked])
  }

  hear(name: PeerId): void {
    for (const gate of this.#deaf.get(name) ?? []) gate.release()
    this.#deaf.delete(name)
  }

  /** Every rule ends; what was held is let go. */
  releaseAll(): void {
    const rules = this.#rules
    this.#rules = []
    this.#rumors = []
    this.#deaf.clear()
    for (const { gate } of rules) gate.release()
  }

  request(message: SentMessage, timeoutMs: number, send: (done: Done) => void, done: Done): void {
    const rules = this.#rules.filter(({ match, gate }) => !gate.isOpen && match(message))
    if (rules.length === 0) send(done)
    else this.#pass(message, rules, send, this.#once(timeoutMs, done))
  }

  /** Through one rule after the other: what is let go by one may be held by the next. */
  #pass(message: SentMessage, rules: readonly Rule[], send: (done: Done) => void, done: Done): void {
    const [rule, ...others] = rules
    if (rule === undefined) return send(done)
    const { what, gate } = rule
    if (what === 'lose') return gate.catch(message, () => {})
    if (what === 'hold') return gate.catch(message, () => this.#pass(message, others, send, done))
    const answered: Done = (answer) => (gate.isOpen ? done(answer) : gate.catch(message, () => done(answer)))
    this.#pass(message, others, send, answered)
  }

  /** Rumors that match get lost, until everything is released. */
  loseRumors(match: (from: PeerId, to: PeerId) => boolean): void {
    this.#rumors.push(match)
  }

  passesRumor(from: PeerId, to: PeerId): boolean {
    return !this.#deaf.has(to) && !this.#rumors.some((match) => match(from, to))
  }

  #add(what: Rule['what'], match: Match): Gate {
    const gate = new Gate()
    this.#rules.push({ what, match, gate })
    return gate
  }

  #once(timeoutMs: number, done: Done): Done {
    let open = true
    const answer: Done = (result) => {
      if (!open) return
      open = false
      timer.cancel()
      done(result)
    }
    const timer = this.#clock.after(timeoutMs, () => answer(new RingdError('TIMEOUT')))
    return answer
  }
}

export function has(body: Body, kind: keyof Body): boolean {
  return body[kind] !== undefined
}

/** Matches by kind, and by sender and receiver where they are given. */
export function message(kind: keyof Body, from?: readonly PeerId[], to?: readonly PeerId[]): Match {
  return (sent) =>
    has(sent.body, kind) &&
    (from === undefined || from.includes(sent.from)) &&
    (to === undefined || to.includes(sent.to))
}
