// What a router does with the answers of the owners: reads, blind writes, rounds on one key and on groups.
import type { Deviations } from './deviations.js'
import { covers, type Entry, isGroup, keysOf, singleWrite, type Version, type Write } from './entries.js'
import { type Answer, newestOf, type Operation, type Phase } from './operation-state.js'
import { BLIND_KINDS, effectOf, type Value } from './operations.js'
import type { AttemptMemory, PrepareAnswer, ReadAnswer } from './owner.js'

type PromiseAnswer = Extract<PrepareAnswer, { kind: 'promise' }> & { readonly owner: number }

/** What the driver needs of the ring. */
export interface RouterRing {
  readonly deviations: Deviations
  /** The operation asks the owners of its window. */
  ask(operation: Operation): void
  close(operation: Operation, write: Write): void
  ended(operation: Operation): void
  /** A version above all that the router has seen; a ballot also has a ms of its own. */
  mint(operation: Operation, isBallot: boolean): Version
  window(operation: Operation): readonly number[]
  owners(config: number): readonly number[]
  now(): number
}

export class OperationDriver {
  readonly #ring: RouterRing

  constructor(ring: RouterRing) {
    this.#ring = ring
  }

  start(operation: Operation): void {
    const { kind } = operation
    if (kind === 'get') this.begin(operation, 'read')
    else if (kind === 'getAll') this.begin(operation, 'snapshot')
    else if (BLIND_KINDS.has(kind) || (kind === 'setAll' && this.#has('blindGroup'))) this.#blind(operation)
    else this.begin(operation, 'prepare')
  }

  begin(operation: Operation, phase: Phase): void {
    operation.phase = phase
    operation.step++
    operation.heard = new Map()
    operation.next = undefined
    operation.window = this.#ring.window(operation)
    if (phase === 'prepare') {
      operation.isPreparation = false
      operation.isBlind = false
      operation.ballot = this.#ring.mint(operation, true)
      // The first key of a copy is read only.
      if (operation.kind === 'copy' && this.#has('readKeysNotLocked')) operation.set &= operation.set - 1
    }
    this.#ring.ask(operation)
  }

  answered(operation: Operation, answer: Answer): void {
    if (answer.kind === 'stale') return this.#renew(operation)
    operation.heard.set(answer.owner, answer)
    if ((answer.kind === 'group' || answer.kind === 'nack') && operation.phase !== 'read') operation.set |= answer.set
    switch (operation.phase) {
      case 'read':
        return this.#read(operation)
      case 'snapshot':
        return this.#snapshot(operation)
      case 'writeBack':
        return this.#writeBack(operation)
      case 'write':
        return this.#write(operation)
      case 'prepare':
        return this.#prepare(operation)
    }
  }

  /** A timer of the router. */
  retry(operation: Operation): void {
    const { next, phase } = operation
    if (next !== undefined) return this.begin(operation, next)
    if (this.#ring.window(operation).join() !== operation.window.join()) return this.#renew(operation)
    const isRefused = [...operation.heard.values()].some(
      (one) =>
        one.kind === 'nack' ||
        one.kind === 'promised' ||
        one.kind === 'group' ||
        (one.kind === 'newer' && (!one.had || phase === 'writeBack'))
    )
    // Some refuse, and others do not answer.
    if (isRefused && ++operation.tired > 2) {
      operation.tired = 0
      return this.begin(operation, phase !== 'writeBack' || ++operation.rereads > 2 ? 'prepare' : 'read')
    }
    this.#ring.ask(operation)
  }

  giveUp(operation: Operation): void {
    this.#end(operation, operation.attempts.length > 0 ? 'unknown' : 'refused', '')
  }

  // ---------- counting ----------

  #has(deviation: Parameters<Deviations['has']>[0]): boolean {
    return this.#ring.deviations.has(deviation)
  }

  #quorum(config: number): number {
    const quorum = (this.#ring.owners(config).length >> 1) + 1
    return Math.max(1, this.#has('quorumMinusOne') ? quorum - 1 : quorum)
  }

  #count(operation: Operation, config: number, counts: (answer: Answer) => boolean): number {
    let sum = 0
    for (const owner of this.#ring.owners(config)) {
      const answer = operation.heard.get(owner)
      if (answer !== undefined && counts(answer)) sum++
    }
    return sum
  }

  /** q owners of each config of the window count. */
  #everyQuorum(operation: Operation, counts: (answer: Answer) => boolean): boolean {
    return operation.window.every((config) => this.#count(operation, config, counts) >= this.#quorum(config))
  }

  /** So many owners of one config were heard and do not count that q of it cannot be had. */
  #cannot(operation: Operation, counts: (answer: Answer) => boolean): boolean {
    return operation.window.some((config) => {
      const others = this.#ring.owners(config).length - this.#quorum(config)
      return this.#count(operation, config, (answer) => !counts(answer)) > others
    })
  }

  #end(operation: Operation, status: 'ok' | 'unknown' | 'refused', answer: string): void {
    operation.status = status
    operation.answer = answer
    operation.end = status === 'unknown' ? Infinity : this.#ring.now()
    this.#ring.ended(operation)
  }

  /** The window has changed: what was heard is worth nothing. */
  #renew(operation: Operation): void {
    this.begin(operation, operation.phase === 'writeBack' ? 'read' : operation.phase)
  }

  // ---------- reads ----------

  #read(operation: Operation): void {
    if (!this.#everyQuorum(operation, (one) => one.kind === 'values')) return
    const key = keysOf(operation.keys)[0]!
    const heard = [...operation.heard.values()].filter((one) => one.kind === 'values')
    const newest = newestOf(
      key,
      heard.map((one) => one.entries)
    )
    const holders = heard.filter((one) => one.entries[key]!.version === newest.version)
    const open = holders.find((one) => one.open[key] !== 0)
    const closed = holders.find((one) => one.open[key] === 0)
    const isChosen = this.#everyQuorum(operation, (one) => one.kind === 'values' && holds(one, key, newest))
    if (isChosen || this.#has('readNoWriteBack')) {
      if (open !== undefined && isChosen) this.#ring.close(operation, groupOf(open, key, open.open[key]!))
      return this.#end(operation, 'ok', newest.value ?? '-')
    }
    const isAlone = closed !== undefined || open === undefined || this.#has('writeBackOneKey')
    operation.write = isAlone ? singleWrite(key, newest) : groupOf(open, key, open.open[key]!)
    operation.pendingAnswer = newest.value ?? '-'
    this.begin(operation, 'writeBack')
  }

  #writeBack(operation: Operation): void {
    const { keys } = operation
    const counts = (one: Answer) => {
      if (one.kind === 'ok') return true
      if (one.kind !== 'newer') return false
      if (this.#has('writeBackNewerOk')) return true
      return this.#has('heldCountsAll') ? one.held !== 0 : covers(one.held, keys)
    }
    if (this.#everyQuorum(operation, counts)) {
      if (operation.write!.open) this.#ring.close(operation, operation.write!)
      return this.#end(operation, 'ok', operation.pendingAnswer)
    }
    if (!this.#cannot(operation, counts)) return
    const isRefused = [...operation.heard.values()].some((one) => one.kind === 'promised' || one.kind === 'group')
    const isBlocked = isRefused || operation.write!.open
    if (++operation.rereads > 2 && isBlocked) this.begin(operation, 'prepare')
    else operation.next ??= 'read'
  }

  /** All keys are read, and read again: between two equal phases all values stood at once. */
  #snapshot(operation: Operation): void {
    if (!this.#everyQuorum(operation, (one) => one.kind === 'values')) return
    const keys = keysOf(operation.keys)
    const heard = [...operation.heard.values()].filter((one) => one.kind === 'values')
    const newest: Entry[] = []
    const lists = heard.map((one) => one.entries)
    for (const key of keys) newest[key] = newestOf(key, lists)
    const isChosen = keys.every((key) =>
      this.#everyQuorum(operation, (one) => one.kind === 'values' && holds(one, key, newest[key]!))
    )
    if (!isChosen) return this.begin(operation, 'prepare')
    const versions = keys.map((key) => newest[key]!.version)
    const isOneVersion = versions.every((version) => version === versions[0]) && versions[0] !== 0
    if (isOneVersion || versions.join() === operation.snapshot || this.#has('snapshotInOnePhase')) {
      const values = newest.map((entry) => entry.value)
      return this.#end(operation, 'ok', effectOf('getAll', operation.keys, operation.name, values).answer)
    }
    if (operation.snapshot !== '' && ++operation.rereads > 1) return this.begin(operation, 'prepare')
    operation.snapshot = versions.join()
    this.begin(operation, 'snapshot')
  }

  // ---------- writes ----------

  #blind(operation: Operation): void {
    const version = this.#ring.mint(operation, false)
    const { kind, keys, name } = operation
    const effect = effectOf(kind, keys, name, [])
    operation.isBlind = true
    this.#attempt(operation, version, effect.writes!, effect.answer, [])
  }

  /** Writes a new attempt: what the operation changes, and every other key of the set as it is. */
  #attempt(
    operation: Operation,
    version: Version,
    writes: readonly (Value | undefined)[],
    answer: string,
    newest: readonly Entry[]
  ): void {
    const entries: Entry[] = []
    let changed = 0
    let set = operation.isBlind ? operation.keys : operation.set
    if (this.#has('writesOwnKeysOnly')) set = operation.keys
    for (const key of keysOf(set)) {
      const value = writes[key]
      const isChanged = value !== undefined
      if (isChanged) changed |= 1 << key
      entries[key] = isChanged
        ? { version, origin: version, value }
        : { version, origin: newest[key]!.origin, value: newest[key]!.value }
    }
    operation.attempts.push({ origin: version, keys: changed })
    operation.answers.set(version, answer)
    operation.pendingAnswer = answer
    operation.write = { version, set, open: isGroup(set), entries }
    this.begin(operation, 'write')
  }

  #write(operation: Operation): void {
    const counts = (one: Answer) => one.kind === 'ok' || (one.kind === 'newer' && one.had)
    const write = operation.write!
    const heard = [...operation.heard.values()]
    if (write.open && this.#has('closeEarly') && heard.some(counts)) this.#ring.close(operation, write)
    if (this.#everyQuorum(operation, counts)) {
      if (write.open) this.#ring.close(operation, write)
      if (operation.isPreparation) return this.begin(operation, 'prepare')
      return this.#end(operation, 'ok', operation.pendingAnswer)
    }
    if (this.#cannot(operation, counts)) operation.next ??= 'prepare'
  }

  /** Writes the newest entries as they are, under the ballot. */
  #adopt(operation: Operation, newest: readonly Entry[], answer: string): void {
    const version = operation.ballot
    const entries: Entry[] = []
    const set = this.#has('writesOwnKeysOnly') ? operation.keys : operation.set
    for (const key of keysOf(set)) {
      const { origin, value } = newest[key]!
      entries[key] = { version, origin: this.#has('originLost') ? version : origin, value }
    }
    operation.pendingAnswer = answer
    operation.write = { version, set, open: isGroup(set), entries }
    this.begin(operation, 'write')
  }

  // ---------- rounds ----------

  #prepare(operation: Operation): void {
    const isPromise = (one: Answer): one is PromiseAnswer => one.kind === 'promise' && one.ballot === operation.ballot
    if (!this.#everyQuorum(operation, isPromise)) {
      if (this.#cannot(operation, isPromise)) operation.next ??= 'prepare'
      return
    }
    const promises = [...operation.heard.values()].filter(isPromise)
    // A refusal may have widened the set meanwhile: these promises are for a smaller one.
    if (promises.some((one) => keysOf(operation.set).some((key) => one.entries[key] === undefined))) {
      operation.next = 'prepare'
      return
    }
    const newest: Entry[] = []
    const lists = promises.map((one) => one.entries)
    for (const key of keysOf(operation.set | operation.keys)) newest[key] = newestOf(key, lists)
    const values = newest.map((entry) => entry.value)
    const effect = effectOf(operation.kind, operation.keys, operation.name, values)
    if (operation.kind === 'settle' || operation.kind === 'get' || operation.kind === 'getAll') {
      return this.#adopt(operation, newest, effect.answer)
    }
    if (!this.#has('noOwnAttempt') && operation.attempts.length > 0 && this.#fate(operation, promises, newest)) return
    if (effect.writes === undefined) {
      if (this.#has('failedConditionNoWrite')) return this.#end(operation, 'ok', effect.answer)
      return this.#adopt(operation, newest, effect.answer)
    }
    if (!this.#isBaseChosen(operation, newest)) {
      this.#adopt(operation, newest, '')
      operation.isPreparation = true
      return
    }
    this.#attempt(operation, operation.ballot, effect.writes, effect.answer, newest)
  }

  #isBaseChosen(operation: Operation, newest: readonly Entry[]): boolean {
    if (this.#has('baseAny')) return true
    const keys = this.#has('unchosenOtherKeys') ? keysOf(operation.keys).slice(0, 1) : keysOf(operation.set)
    return keys.every((key) =>
      this.#everyQuorum(operation, (one) => one.kind === 'promise' && holds(one, key, newest[key]!))
    )
  }

  /** What became of the attempts. True: the operation goes on in another way than with a new attempt. */
  #fate(operation: Operation, promises: readonly PromiseAnswer[], newest: readonly Entry[]): boolean {
    for (const [index, { origin }] of operation.attempts.entries()) {
      if (this.#isDone(operation, index, promises)) {
        this.#end(operation, 'ok', operation.answers.get(origin)!)
        return true
      }
    }
    const own = keysOf(operation.keys).find((key) => operation.answers.has(newest[key]!.origin))
    if (own !== undefined) {
      const { origin } = newest[own]!
      const { keys } = operation.attempts.find((one) => one.origin === origin)!
      operation.attempts.push({ origin, keys })
      this.#adopt(operation, newest, operation.answers.get(origin)!)
      return true
    }
    if (operation.attempts.every((_, index) => this.#isDead(operation, index, promises))) return false
    // Undecided: hear the other owners under the same ballot; at last the outcome is unknown.
    const owners = new Set(operation.window.flatMap((config) => this.#ring.owners(config)))
    if (operation.heard.size < owners.size) return true
    if (promises.length === operation.heard.size) this.#end(operation, operation.isHidden ? 'ok' : 'unknown', '')
    else operation.next ??= 'prepare'
    return true
  }

  #isDone(operation: Operation, index: number, promises: readonly PromiseAnswer[]): boolean {
    const versions = new Set(promises.flatMap((one) => one.memories[index]!.versions))
    const isOnQuorum = (has: (memory: AttemptMemory) => boolean) =>
      this.#everyQuorum(operation, (one) => isPromiseOf(one, promises) && has(one.memories[index]!))
    if (this.#has('doneAcrossKeys') && isOnQuorum((memory) => memory.versions.length > 0)) return true
    return [...versions].some((version) => isOnQuorum((memory) => memory.versions.includes(version)))
  }

  #isDead(operation: Operation, index: number, promises: readonly PromiseAnswer[]): boolean {
    const versions = new Set([0, ...promises.flatMap((one) => one.memories[index]!.versions)])
    const denies = (one: Answer, version: Version) => {
      if (!isPromiseOf(one, promises)) return false
      const memory = one.memories[index]!
      return !memory.unknown && !memory.shown.includes(version)
    }
    return [...versions].every((version) =>
      operation.window.every((config) => {
        const needed = this.#ring.owners(config).length - ((this.#ring.owners(config).length >> 1) + 1) + 1
        return this.#count(operation, config, (one) => denies(one, version)) >= needed
      })
    )
  }
}

function isPromiseOf(answer: Answer, promises: readonly PromiseAnswer[]): answer is PromiseAnswer {
  return answer.kind === 'promise' && promises.includes(answer as PromiseAnswer)
}

type Holder = Pick<ReadAnswer, 'entries' | 'bound'>

/** An owner that has purged above a tombstone counts as one that holds it. */
function holds({ entries, bound }: Holder, key: number, entry: Entry): boolean {
  const version = entries[key]?.version
  return version === entry.version || (version === 0 && entry.value === null && entry.version <= bound)
}

/** The open group of this key as one write. */
function groupOf(answer: ReadAnswer, key: number, set: number): Write {
  return { version: answer.entries[key]!.version, set, open: true, entries: answer.entries }
}
