// The smallest store that keeps the promises. All checkers must accept every history that it makes. It has three
// owners, two keys, clocks that never agree, operations that interleave, fail and take effect late, and one move from
// owners abc to bcd. The caller chooses each next step, so a property test can drive it.

import { idOf } from '../harness/ring-views.js'
import type { Observation } from '../run/observation.js'
import { KEY, OTHER, ready, stored, version, works } from './history-builder.js'

/** A number in [0, below); undefined when the history is to end. */
export type Choose = (below: number) => number | undefined

interface Held {
  readonly number: number
  readonly minter: string
  readonly value: string | undefined
  readonly expiresAt: number | undefined
}

interface Running {
  readonly number: number
  readonly kind: 'put' | 'get' | 'delete'
  readonly key: string
  readonly node: string
  phase: 'reading' | 'writing' | 'repairing'
  configs: readonly string[]
  /** The entry that is being written, or that the read found. */
  entry: Held | undefined
  readonly answers: Map<string, Held | undefined>
  readonly applied: Set<string>
  /** Owners that hold a newer entry, with its number. */
  readonly newer: Map<string, number>
  readonly beganAt: number
  isOver: boolean
}

const LETTERS = 'abcd'
const OLD = 'abc'
const NEW = 'bcd'
const QUORUM = 2
/** The error of the clock of each node, ms. */
const SKEWS: Readonly<Record<string, number>> = { a: 0, b: 100, c: -100, d: 30 }
const TTL_MAX = 400

export class ToyStore {
  readonly observations: Observation[] = []
  readonly #choose: Choose
  readonly #expires: boolean
  readonly #disks = new Map([...LETTERS].map((letter) => [letter, new Map<string, Held>()]))
  readonly #clocks = new Map([...LETTERS].map((letter, index) => [letter, 10 * index]))
  readonly #windows = new Map([...LETTERS].map((letter) => [letter, [OLD] as readonly string[]]))
  readonly #ready = new Set<string>()
  readonly #running: Running[] = []
  #operations = 0
  #at = 0

  /** `expires`: whether puts have a time to live. */
  constructor(choose: Choose, { expires = false } = {}) {
    this.#choose = choose
    this.#expires = expires
    this.#picture(LETTERS)
  }

  /** Runs steps until `choose` returns undefined. */
  run(): Observation[] {
    for (;;) {
      const step = this.#choose(40)
      if (step === undefined) return this.observations
      this.#at += 1
      if (step < 4) this.#begin()
      else if (step < 36) this.#advance()
      else if (step < 37) this.#fail()
      else this.#move()
    }
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[this.#choose(list.length) ?? 0]
  }

  #begin(): void {
    if (this.#running.filter(({ isOver }) => !isOver).length >= 5) return
    const kind = this.#pick(['put', 'put', 'get', 'get', 'get', 'delete'] as const)!
    const key = this.#pick([KEY, OTHER])!
    const node = this.#pick([...LETTERS])!
    const number = ++this.#operations
    const value = kind === 'put' ? `v${number}` : undefined
    const asked = { at: this.#at, operation: number, client: 1, node, kind, key, consistency: 'quorum' as const }
    const ttl = this.#expires && kind === 'put' ? this.#choose(TTL_MAX) : undefined
    const expiresAt = ttl === undefined ? undefined : this.#clock(node) + ttl
    this.observations.push({ type: 'invoked', ...asked, value, expiresAt })
    const running: Running = {
      ...{ number, kind, key, node, phase: kind === 'put' ? 'writing' : 'reading', configs: this.#windows.get(node)! },
      ...{ entry: kind === 'put' ? this.#mint(node, value, expiresAt) : undefined, isOver: false, beganAt: this.#at },
      ...{ answers: new Map(), applied: new Set(), newer: new Map() }
    }
    this.#running.push(running)
  }

  #clock(node: string): number {
    return this.#at + SKEWS[node]!
  }

  #isAbsent({ value, expiresAt }: Held, node: string): boolean {
    return value === undefined || (expiresAt !== undefined && expiresAt <= this.#clock(node))
  }

  #mint(minter: string, value?: string, expiresAt?: number): Held {
    const number = this.#clocks.get(minter)! + 1
    this.#clocks.set(minter, number)
    return { number, minter, value, expiresAt }
  }

  /** One owner handles one operation; it may be one whose client was already told that it failed. */
  #advance(): void {
    const running = this.#pick(this.#running)
    if (running === undefined) return
    const owner = this.#pick([...new Set(running.configs.join(''))])!
    if (running.configs.at(-1) !== this.#windows.get(owner)!.at(-1)) return
    if (running.phase === 'reading') {
      if (running.isOver) return
      running.answers.set(owner, this.#disks.get(owner)!.get(running.key))
      if (hasQuorums(running, running.answers)) this.#found(running)
      return
    }
    const { key, entry, newer, applied } = running
    const held = this.#store(owner, key, entry!)
    if (held !== undefined && running.phase === 'writing') newer.set(owner, held.number)
    else applied.add(owner)
    if (running.isOver) return
    if (hasQuorums(running, applied)) this.#answer(running, entry)
    else if (running.configs.some((owners) => countOf(owners, newer) > owners.length - QUORUM)) this.#mintAgain(running)
  }

  /** Stores the entry, unless the owner holds it or a newer one. Returns the newer one. */
  #store(owner: string, key: string, entry: Held): Held | undefined {
    const disk = this.#disks.get(owner)!
    const held = disk.get(key)
    if (held !== undefined && nameOf(held) >= nameOf(entry)) return nameOf(held) > nameOf(entry) ? held : undefined
    disk.set(key, entry)
    const { number, minter, value, expiresAt } = entry
    this.observations.push(...stored(value, number, owner, this.#at, { minter, key, expiresAt }))
    return undefined
  }

  #mintAgain(running: Running): void {
    const { node, newer, entry } = running
    this.#clocks.set(node, Math.max(this.#clocks.get(node)!, ...newer.values()))
    this.#enter(running, 'writing', this.#mint(node, entry!.value, entry!.expiresAt))
  }

  #enter(running: Running, phase: Running['phase'], entry: Held | undefined): void {
    running.phase = phase
    running.entry = entry
    running.configs = this.#windows.get(running.node)!
    running.answers.clear()
    running.applied.clear()
    running.newer.clear()
  }

  #found(running: Running): void {
    const { answers, kind, node } = running
    let newest: Held | undefined
    for (const held of answers.values()) {
      if (held !== undefined && (newest === undefined || nameOf(held) > nameOf(newest))) newest = held
    }
    const holders = [...answers].filter(([, held]) => held === newest).map(([owner]) => owner)
    const isThere = newest !== undefined && !this.#isAbsent(newest, node)
    if (kind === 'delete' && isThere) this.#enter(running, 'writing', this.#mint(node))
    else if (newest === undefined || hasQuorums(running, new Set(holders))) this.#answer(running, newest)
    else this.#enter(running, 'repairing', newest)
  }

  #answer(running: Running, entry: Held | undefined): void {
    const { number, kind, phase, node, beganAt } = running
    running.isOver = true
    const value = entry === undefined || this.#isAbsent(entry, node) ? undefined : entry.value
    const said = kind === 'get' ? { value } : kind === 'delete' ? { existed: phase === 'writing' } : {}
    const clock = [beganAt + SKEWS[node]!, this.#clock(node)] as const
    this.observations.push({ type: 'answered', at: this.#at, operation: number, ...said, clock })
  }

  #fail(): void {
    const running = this.#pick(this.#running)
    if (running === undefined || running.isOver) return
    running.isOver = true
    this.observations.push({ type: 'answered', at: this.#at, operation: running.number, error: 'NO_QUORUM' })
  }

  /** The next step of the one move. Each step is correct at any time after the one before. */
  #move(): void {
    if (this.#windows.get('a')!.length === 1 && this.#ready.size === 0) {
      if (this.#choose(20) !== 0) return
      for (const letter of LETTERS) this.#windows.set(letter, [OLD, NEW])
      this.#picture(LETTERS)
      for (const running of this.#running) if (!running.isOver) this.#enter(running, running.phase, running.entry)
      return
    }
    const letter = this.#pick([...LETTERS])!
    if (NEW.includes(letter) && !this.#ready.has(letter)) this.#pull(letter)
    else if (this.#ready.size >= QUORUM && this.#windows.get(letter)!.length > 1) {
      this.#windows.set(letter, [NEW])
      this.#picture(letter)
    } else if (letter === 'a' && this.#ready.size === NEW.length && this.#windows.get('a')!.length === 1) {
      for (const key of this.#disks.get('a')!.keys()) {
        this.observations.push({ type: 'erased', at: this.#at, member: idOf('a'), key })
      }
      this.#disks.get('a')!.clear()
    }
  }

  /** Pulls from two of the three former owners; the member itself counts as one when it was an owner. */
  #pull(letter: string): void {
    const others = [...OLD].filter((owner) => owner !== letter)
    const left = this.#pick(others)
    for (const source of others) {
      if (source === left) continue
      for (const [key, entry] of this.#disks.get(source)!) this.#store(letter, key, entry)
    }
    this.#ready.add(letter)
    this.observations.push(...ready(letter, 2, this.#at))
  }

  #picture(letters: string): void {
    for (const letter of letters) {
      const window = this.#windows.get(letter)!
      const configs = window.map((owners): [number, string] => [owners === OLD ? 1 : 2, owners])
      this.observations.push(...works(letter, configs.at(-1)![0], this.#at, ...configs))
    }
  }
}

function nameOf({ number, minter }: Held): string {
  return version(number, minter)
}

function countOf(owners: string, among: { has(letter: string): boolean }): number {
  return [...owners].filter((owner) => among.has(owner)).length
}

function hasQuorums({ configs }: Running, answered: { has(letter: string): boolean }): boolean {
  return configs.every((owners) => countOf(owners, answered) >= QUORUM)
}
