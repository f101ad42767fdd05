// A small model of owners and of routers that append to one key by rounds. Messages are lost, late and repeated, owners
// restart, routers give up. Only the conclusions of a round are code of the product (`judgeRound`).
// Source: rules A2 to A4 and A8 of lib/views/README.md.
import { judgeRound, type Promised } from '../../lib/actors/router/round.js'
import type { Envelope } from '../../lib/entry/envelope.js'
import { originOf } from '../../lib/entry/envelope.js'
import { resolve } from '../../lib/entry/read-resolution.js'
import { type Version, versionMs } from '../../lib/entry/version.js'
import type { Config } from '../../lib/views/configs.js'

/** How the model makes and reads entries. Versions are numbers here. */
export interface Forms {
  readonly version: (number: number) => Version
  readonly entry: (number: number, origin: number, list: readonly number[]) => Envelope
  readonly listOf: (envelope: Envelope | undefined) => { readonly number: number; readonly list: readonly number[] }
}

export type Packet = { readonly operation: Appender; readonly phase: number } & (
  | { readonly type: 'prepare'; readonly ballot: number; readonly origins: readonly number[] }
  | { readonly type: 'write'; readonly entry: Envelope }
)
type Answer = { type: 'promised'; promise: Promised } | { type: 'ok' } | { type: 'refused'; by: number; had: boolean }

interface Sent {
  readonly to: OwnerModel
  readonly packet: Packet
}

interface Answered {
  readonly from: OwnerModel
  readonly packet: Packet
  readonly answer: Answer
}

interface Held {
  readonly number: number
  readonly origin: number
  isShown: boolean
}

export class OwnerModel {
  readonly name: string
  readonly #forms: Forms
  #entry: Envelope | undefined
  #isShown = true
  #promised = 0
  #had: Held[] = []
  #floor = 0

  constructor(name: string, forms: Forms) {
    this.name = name
    this.#forms = forms
  }

  restart(): void {
    this.#had = []
    this.#floor = this.#number
    this.#isShown = true
  }

  take(packet: Packet): Answer {
    return packet.type === 'prepare' ? this.#prepare(packet.ballot, packet.origins) : this.#write(packet.entry)
  }

  get #number(): number {
    return this.#forms.listOf(this.#entry).number
  }

  #prepare(ballot: number, origins: readonly number[]): Answer {
    const bar = Math.max(this.#number, this.#promised)
    if (ballot < bar || (ballot === bar && ballot !== this.#promised)) return { type: 'refused', by: bar, had: false }
    if (this.#number === ballot) return { type: 'refused', by: bar, had: false }
    this.#promised = ballot
    const tellings = origins.map((origin) => this.#telling(origin))
    this.#isShown = true
    return { type: 'promised', promise: { member: this.name, envelope: this.#entry, closed: 0, tellings } }
  }

  #telling(origin: number) {
    const isHeld = this.#entry !== undefined && versionMs(originOf(this.#entry)) === origin
    const held = isHeld ? [{ number: this.#number, origin, isShown: true }] : []
    const known = [...held, ...this.#had.filter((had) => had.origin === origin)]
    const versions = known.map(({ number, isShown }) => ({ version: this.#forms.version(number), isShown }))
    return { versions, isUnknown: origin < this.#floor }
  }

  #write(entry: Envelope): Answer {
    const { number } = this.#forms.listOf(entry)
    const had = this.#had.find((one) => one.number === number)
    const isAdopted = versionMs(originOf(entry)) !== number
    if (number < this.#number) {
      return { type: 'refused', by: this.#number, had: had !== undefined }
    }
    if (number < this.#promised) return { type: 'refused', by: this.#promised, had: false }
    if (number > this.#number) {
      if (this.#entry !== undefined) {
        const origin = versionMs(originOf(this.#entry))
        this.#had.push({ number: this.#number, origin, isShown: this.#isShown })
      }
      this.#entry = entry
      this.#isShown = false
      if (this.#promised <= number) this.#promised = 0
    }
    if (isAdopted) this.#isShown = true
    return { type: 'ok' }
  }
}

/** One operation: appends its number to the list. */
class Appender {
  readonly number: number
  attempts: { readonly origin: number; readonly list: readonly number[] }[] = []
  phase = 0
  ballot = 0
  entry: Envelope | undefined
  after: 'ends' | 'prepares' = 'ends'
  result: readonly number[] | undefined
  answers = new Map<string, Answer>()
  startedAt: number
  endedAt = Number.POSITIVE_INFINITY
  state: 'preparing' | 'writing' | 'done' | 'unknown' = 'preparing'

  constructor(number: number, startedAt: number) {
    this.number = number
    this.startedAt = startedAt
  }
}

const STEPS = 400
const OPERATIONS_MAX = 8

export class RoundWorld {
  readonly #forms: Forms
  readonly #owners: OwnerModel[]
  readonly #config: Config
  readonly #operations: Appender[] = []
  #packets: Sent[] = []
  #answers: Answered[] = []
  #seed: number
  #now = 0
  #lastBallot = 0

  constructor(owners: number, seed: number, forms: Forms) {
    this.#forms = forms
    this.#seed = seed
    this.#owners = Array.from({ length: owners }, (_, at) => new OwnerModel('abcde'[at]!, forms))
    const quorum = Math.floor(owners / 2) + 1
    this.#config = { begin: 1, owners: this.#owners.map(({ name }) => name), quorum }
  }

  /** Random events; then one operation that meets nothing in its way, so that the end is known. */
  run(): void {
    for (; this.#now < STEPS; this.#now++) this.#event()
    this.#packets = []
    this.#answers = []
    for (const operation of this.#open()) operation.state = 'unknown'
    const last = this.#start()
    for (let tries = 0; tries < 50; tries++) {
      this.#flush()
      if (!this.#open().includes(last)) break
      this.#prepare(last)
    }
    if (last.state !== 'done') throw new Error(`the last operation is alone, and ends as ${last.state}`)
  }

  /** Every answer is part of one order, and nothing took effect twice. */
  check(): void {
    const final = this.#operations.at(-1)!.result!
    if (new Set(final).size !== final.length) throw new Error(`an append took effect twice: ${final}`)
    for (const { state, number, result, startedAt, endedAt } of this.#operations) {
      if (state !== 'done') continue
      const isPrefix = result!.every((one, at) => final[at] === one)
      if (!isPrefix || result!.at(-1) !== number)
        throw new Error(`append ${number} was told ${result}, not of ${final}`)
      for (const other of this.#operations) {
        const isBefore = other.state === 'done' && other.endedAt < startedAt
        if (isBefore && final.indexOf(other.number) > final.indexOf(number)) {
          throw new Error(`append ${other.number} ended before ${number} began (${endedAt}), and comes later: ${final}`)
        }
      }
    }
  }

  #event(): void {
    const dice = this.#below(100)
    if (dice < 12 && this.#operations.length < OPERATIONS_MAX) this.#start()
    else if (dice < 50) this.#deliver()
    else if (dice < 88) this.#answer()
    else if (dice < 94) this.#retry()
    else if (dice < 97) this.#owners[this.#below(this.#owners.length)]!.restart()
    else if (this.#packets.length > 0) this.#packets.splice(this.#below(this.#packets.length), 1)
  }

  #start(): Appender {
    const operation = new Appender(this.#operations.length + 1, this.#now)
    this.#operations.push(operation)
    this.#prepare(operation)
    return operation
  }

  #open(): Appender[] {
    return this.#operations.filter(({ state }) => state === 'preparing' || state === 'writing')
  }

  #retry(): void {
    const open = this.#open()
    if (open.length > 0) this.#prepare(open[this.#below(open.length)]!)
  }

  #prepare(operation: Appender): void {
    operation.state = 'preparing'
    operation.ballot = this.#lastBallot += 1 + this.#below(3)
    const origins = operation.attempts.map(({ origin }) => origin)
    this.#send(operation, { type: 'prepare', ballot: operation.ballot, origins })
  }

  #write(operation: Appender, origin: number, list: readonly number[]): void {
    operation.state = 'writing'
    operation.entry = this.#forms.entry(operation.ballot, origin, list)
    this.#send(operation, { type: 'write', entry: operation.entry })
  }

  #send(
    operation: Appender,
    rest: { type: 'prepare'; ballot: number; origins: number[] } | { type: 'write'; entry: Envelope }
  ): void {
    operation.phase += 1
    operation.answers = new Map()
    for (const to of this.#owners) {
      const packet = { operation, phase: operation.phase, ...rest } as Packet
      for (let copies = this.#below(10) === 0 ? 2 : 1; copies > 0; copies--) this.#packets.push({ to, packet })
    }
  }

  #deliver(): void {
    if (this.#packets.length === 0) return
    const { to, packet } = this.#packets.splice(this.#below(this.#packets.length), 1)[0]!
    this.#answers.push({ from: to, packet, answer: to.take(packet) })
  }

  #answer(): void {
    if (this.#answers.length === 0) return
    const { from, packet, answer } = this.#answers.splice(this.#below(this.#answers.length), 1)[0]!
    const { operation, phase } = packet
    if (phase !== operation.phase || !this.#open().includes(operation)) return
    operation.answers.set(from.name, answer)
    if (operation.state === 'preparing') this.#judge(operation)
    else this.#count(operation)
  }

  #judge(operation: Appender): void {
    const promised = [...operation.answers.values()].flatMap((one) => (one.type === 'promised' ? [one.promise] : []))
    if (promised.length < this.#config.quorum) return
    const { attempts, ballot, number } = operation
    const found = resolve(promised, promised.length === this.#owners.length)
    const origins = attempts.map(({ origin }) => this.#forms.version(origin))
    const state = judgeRound([this.#config], promised, origins, found)
    const { list } = this.#forms.listOf(found.envelope)
    const origin = found.envelope === undefined ? 0 : versionMs(originOf(found.envelope))
    if (state.type === 'done') return this.#end(operation, attempts[state.attempt]!.list)
    if (state.type === 'undecided') {
      if (promised.length === this.#owners.length) operation.state = 'unknown'
      return
    }
    operation.after = state.type === 'free' && !state.isChosen ? 'prepares' : 'ends'
    if (state.type === 'own') {
      operation.result = attempts[state.attempt]!.list
      return this.#write(operation, origin, list)
    }
    if (!state.isChosen) return this.#write(operation, origin, list)
    operation.result = [...list, number]
    operation.attempts = [...attempts, { origin: ballot, list: operation.result }]
    this.#write(operation, ballot, operation.result)
  }

  #count(operation: Appender): void {
    const answers = [...operation.answers.values()]
    const done = answers.filter((one) => one.type === 'ok' || (one.type === 'refused' && one.had)).length
    if (done >= this.#config.quorum) {
      if (operation.after === 'prepares') this.#prepare(operation)
      else this.#end(operation, operation.result!)
    } else if (answers.length - done > this.#owners.length - this.#config.quorum) this.#prepare(operation)
  }

  #end(operation: Appender, result: readonly number[]): void {
    operation.state = 'done'
    operation.result = result
    operation.endedAt = this.#now
  }

  #flush(): void {
    while (this.#packets.length > 0 || this.#answers.length > 0) {
      this.#deliver()
      this.#answer()
    }
  }

  #below(bound: number): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * bound)
  }
}
