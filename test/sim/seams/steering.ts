// Holds back, loses or releases single messages, as a scenario asks. The cuts and pauses of the hub act on all
// messages. A held request waits at its sender, a held answer at the peer that asked. The timeout of the request runs
// on, as it does when bytes are stuck in a network. A lost message is one whose connection broke before it arrived.
import type { Clock } from '../../../lib/clock.js'
import { RingdError } from '../../../lib/errors.js'
import type { PeerId } from '../../../lib/member.js'
import type { Answer, BlockFrame } from '../../../lib/network/network.js'
import { PullHead } from '../../../lib/network/wire.js'
import type { MemoryHub, MessageFilter, SentMessage } from './memory-network.js'
import type { SentFrame } from './steered-blocks.js'

export type Match = (message: SentMessage) => boolean
type Done = (answer: Answer) => void

/** The messages that one rule has caught. */
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

  /** Releases the waiting messages, and holds no more. */
  release(): void {
    this.#isOpen = true
    this.letGo()
  }

  /** Releases the waiting messages that match; later messages wait again. */
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
  /** Changes frames of pull streams on their way. */
  alter: (sent: SentFrame, frame: BlockFrame) => BlockFrame = (_sent, frame) => frame

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
   * The node receives no facts of the ring, except in refusals: no views, no readiness, and no ballots unless `votes`.
   * Its own requests for facts wait until `hear`. Operations continue.
   */
  deafen(name: PeerId, options: { readonly votes?: boolean } = {}): void {
    const isVote = (body: SentMessage['body']) => has(body, 'prepare') || has(body, 'accept')
    const isNews = (body: SentMessage['body']) =>
      has(body, 'learn') || has(body, 'exchange') || (isVote(body) && !options.votes)
    const told = this.lose(({ to, body }) => to === name && isNews(body))
    const asked = this.hold(({ from, body }) => from === name && has(body, 'exchange'))
    this.#deaf.set(name, [told, asked])
  }

  hear(name: PeerId): void {
    for (const gate of this.#deaf.get(name) ?? []) gate.release()
    this.#deaf.delete(name)
  }

  /** Ends every rule, and releases all held messages. */
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

  /**
   * The asks of pull streams are messages `pull` to rules. A lost one breaks its stream. An answer cannot be held: an
   * ask has many frames as its answer.
   */
  frame({ from, to, head }: SentFrame, send: () => void, lose: () => void): void {
    const { ask } = PullHead.decode(head)
    if (ask === undefined) return send()
    const sent = { from, to, body: { pull: ask } }
    const rules = this.#rules.filter(({ match, gate }) => !gate.isOpen && match(sent))
    if (rules.some(({ what }) => what === 'lose')) lose()
    else this.#pass(sent, rules, send, () => {})
  }

  /** Applies one rule after the other: a message that one rule releases may be held by the next. */
  #pass(message: SentMessage, rules: readonly Rule[], send: (done: Done) => void, done: Done): void {
    const [rule, ...others] = rules
    if (rule === undefined) return send(done)
    const { what, gate } = rule
    if (what === 'lose') return gate.catch(message, () => {})
    if (what === 'hold') return gate.catch(message, () => this.#pass(message, others, send, done))
    const answered: Done = (answer) => (gate.isOpen ? done(answer) : gate.catch(message, () => done(answer)))
    this.#pass(message, others, send, answered)
  }

  /** Rumors that match are lost until `releaseAll`. */
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

export function has(body: SentMessage['body'], kind: keyof SentMessage['body']): boolean {
  return body[kind] !== undefined
}

/** Matches messages of this kind, and of these senders and receivers when they are given. */
export function message(kind: keyof SentMessage['body'], from?: readonly PeerId[], to?: readonly PeerId[]): Match {
  return (sent) =>
    has(sent.body, kind) &&
    (from === undefined || from.includes(sent.from)) &&
    (to === undefined || to.includes(sent.to))
}
