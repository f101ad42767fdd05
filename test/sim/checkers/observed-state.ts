// Everything that a run has reported so far, for all checkers: operations and registers, disks, pictures. Reports no
// violations. The checkers share one ObservedState, and each gives it every observation. It takes in each observation
// object once.
import type { MemberId } from '../../../lib/member.js'
import type { Answered, Invoked, Observation, Stored } from '../run/observation.js'
import { Disks } from './disks.js'
import { Pictures } from './pictures.js'
import {
  describe,
  type Established,
  type Floor,
  isAcknowledgement,
  isRead,
  type Operation,
  Register,
  raised
} from './registers.js'

/** How many digits of its id a member puts at the end of a version. */
const MINTER_DIGITS = 16
const VERSION_DIGITS = 32
const MS_DIGITS = 12

export interface ObservedStateOptions {
  /**
   * For runs that cannot see disks: the version of a value, comparable as text. Use it only when the values of a key
   * are written one after the other, each after the one before was acknowledged or can no longer take effect.
   */
  readonly versionOf?: ((value: string) => string) | undefined
}

export class ObservedState {
  readonly disks = new Disks()
  readonly pictures = new Pictures()
  /** The version that the last observation established. */
  news: Established | undefined
  /** Whether the run reports disks. Runs of real processes do not. */
  hasDisks = false
  readonly #versionOf: ((value: string) => string) | undefined
  readonly #registers = new Map<string, Register>()
  readonly #ofSlot = new Map<number, Register[]>()
  readonly #operations = new Map<number, Operation>()
  readonly #puts = new Map<string, Operation>()
  /** The latest time that a clock of the run is known to have shown; ms. */
  #latest = 0
  /** Per version that a disk has held: its expiry. */
  readonly #expiries = new Map<string, number>()
  /** How far the fastest clock was ahead of the time of the run; ms. */
  #lead = 0
  #last: Observation | undefined
  #order = 0

  constructor(options: ObservedStateOptions = {}) {
    this.#versionOf = options.versionOf
  }

  observe(observation: Observation): void {
    if (observation === this.#last) return
    this.#last = observation
    this.#order += 1
    this.news = undefined
    this.hasDisks ||= observation.type === 'stored' || observation.type === 'picture'
    if (observation.type === 'stored') this.#store(observation)
    if (observation.type === 'answered')
      this.#lead = Math.max(this.#lead, (observation.clock?.[1] ?? 0) - observation.at)
    this.#latest = Math.max(this.#latest, observation.at + this.#lead)
    this.disks.observe(observation)
    this.pictures.observe(observation)
    if (observation.type === 'invoked') this.#invoke(observation)
    else if (observation.type === 'answered') this.#answer(observation)
    else if (observation.type === 'stored') this.register(observation.key).hold(observation.value, observation.version)
    else if (observation.type === 'image') {
      for (const [key, { version, value }] of observation.entries) this.register(key).hold(value, version)
    } else if (observation.type === 'erased') this.#forget(observation.key)
  }

  #store({ version, expiresAt }: Stored): void {
    this.#latest = Math.max(this.#latest, msOf(version))
    if (expiresAt !== undefined) this.#expiries.set(version, expiresAt)
  }

  register(key: string): Register {
    let register = this.#registers.get(key)
    if (register === undefined) {
      register = new Register(key)
      this.#registers.set(key, register)
      const others = this.#ofSlot.get(register.slot)
      if (others === undefined) this.#ofSlot.set(register.slot, [register])
      else others.push(register)
    }
    return register
  }

  registersOf(slot: number): readonly Register[] {
    return this.#ofSlot.get(slot) ?? []
  }

  operation(number: number): Operation | undefined {
    return this.#operations.get(number)
  }

  /** The put of this value, when one was asked so far. */
  put(value: string): Operation | undefined {
    return this.#puts.get(value)
  }

  /** Whether the entry may read as absent: a tombstone, or a value that has expired by at least one clock. */
  isAbsent({ value, version }: { readonly value: string | undefined; readonly version: string }): boolean {
    if (value === undefined) return true
    const expiresAt = this.#expiries.get(version) ?? this.#puts.get(value)?.asked.expiresAt
    return expiresAt !== undefined && expiresAt <= this.#latest
  }

  /**
   * Whether the disk of the member holds the established version or a newerOf one. An absent entry counts as the newest
   * tombstone that was purged.
   */
  holds(member: MemberId, { register, version }: Established): boolean {
    const entry = this.disks.get(member, register.key)
    if (entry === undefined) return register.forgotten >= version
    return entry.version >= version
  }

  /** The operation that forbids the quorum read `operation` to return `value`; undefined: it may return it. */
  outdates(operation: Operation, value: string | undefined, floor: Floor): Operation | undefined {
    const { register } = operation
    // linearizable.ts checks the reads of such keys.
    if (register.isUpdated) return undefined
    const culprit = this.#outdated(register, value, floor)
    if (culprit === undefined || value !== undefined) return culprit
    const isFresh = ({ asked }: Operation) => this.#outdated(register, asked.value, floor) === undefined
    return this.#expiredFor(operation).some(isFresh) ? undefined : culprit
  }

  #outdated(register: Register, value: string | undefined, floor: Floor): Operation | undefined {
    const newest = register.versionsOf(value).at(-1) ?? (value === undefined ? '' : undefined)
    const isKnown = value !== undefined || this.#versionOf === undefined || register.deletes.length === 0
    if (isKnown && newest !== undefined && newest < floor.version) return floor.by
    const over = value === undefined ? overOfNothing(register) : this.#puts.get(value)?.over
    return over !== undefined && over < floor.order ? floor.youngest : undefined
  }

  /** Puts of values that the operation may have found and reported as absent, because they had expired. */
  #expiredFor({ register, clock: [, most] }: Operation): Operation[] {
    return register.expiring.filter(({ asked }) => {
      const version = register.versionsOf(asked.value).at(-1)
      if (version !== undefined && version <= register.forgotten) return true
      return (!this.hasDisks || version !== undefined) && asked.expiresAt! <= most
    })
  }

  /**
   * The version under which a write was acknowledged, or an older one; undefined when no disk has held it. It is one
   * that its router minted. When there are several, it is the newest; it is the oldest when the router is not known, or
   * served other operations on the key meanwhile: these may have written the value again, on one disk only.
   */
  writtenAs(operation: Operation): string | undefined {
    const { asked, register, tombstones } = operation
    const { kind, value, node } = asked
    const known = kind === 'put' ? register.versionsOf(value) : register.tombstones.slice(tombstones)
    const minter = this.pictures.memberOf(node)?.slice(0, MINTER_DIGITS)
    const own = known.filter((version) => version.endsWith(minter ?? '')).sort()
    if (own.length === 0) return kind === 'put' ? known[0] : undefined
    return minter === undefined || this.#hasCompany(operation) ? own[0] : own.at(-1)
  }

  #hasCompany({ asked, register, order }: Operation): boolean {
    for (const other of this.#operations.values()) {
      if (other.register !== register || other.asked === asked) continue
      if (other.asked.node === asked.node && other.ended > order) return true
    }
    return false
  }

  #invoke(asked: Invoked): void {
    const { operation: number, key, kind, value } = asked
    const register = this.register(key)
    const { acknowledged, read } = register
    const operation: Operation = {
      asked,
      register,
      order: this.#order,
      acknowledged,
      read,
      tombstones: register.tombstones.length,
      over: Number.POSITIVE_INFINITY,
      ended: Number.POSITIVE_INFINITY,
      clock: [asked.at, asked.at]
    }
    this.#operations.set(number, operation)
    if (kind === 'delete') register.deletes.push(operation)
    if (kind === 'update') for (const one of keysOf(asked)) this.register(one).isUpdated = true
    if (kind !== 'put' || value === undefined) return
    this.#puts.set(value, operation)
    if (asked.expiresAt !== undefined) register.expiring.push(operation)
    if (this.#versionOf !== undefined) register.hold(value, this.#versionOf(value))
  }

  #answer(answered: Answered): void {
    const operation = this.#operations.get(answered.operation)
    if (operation === undefined) return
    const { register, asked } = operation
    operation.ended = this.#order
    operation.clock = answered.clock ?? [asked.at, answered.at]
    if (isAcknowledgement(operation, answered)) {
      operation.over = this.#order
      const version = this.writtenAs(operation)
      register.acknowledged = raised(register.acknowledged, version ?? '', operation, operation.order, operation)
      if (version !== undefined) this.#establish(operation, version, asked.kind === 'delete')
    } else if (isRead(operation, answered)) {
      if (asked.kind === 'delete') operation.over = -1
      this.#establishRead(operation, asked.kind === 'get' ? answered.value : undefined)
    }
  }

  #establishRead(operation: Operation, value: string | undefined): void {
    const { register, acknowledged, read } = operation
    const least = newerOf(acknowledged.version, read.version)
    const version = value === undefined ? this.#oldestNothing(operation, least) : this.#oldest(register, value, least)
    const write = value === undefined ? undefined : this.#puts.get(value)
    if (write?.register === register) {
      register.read = raised(register.read, version ?? '', operation, write.order, write)
    } else if (version !== undefined) {
      register.read = raised(register.read, version, operation, -1, operation)
    }
    if (version === undefined) return
    this.#establish(operation, version, value === undefined && register.versionsOf(undefined).includes(version))
  }

  /** Like `#oldest`, for a read that found nothing: a tombstone, or a value that had expired. */
  #oldestNothing(operation: Operation, least: string): string | undefined {
    if (least === '') return undefined
    const { register } = operation
    let oldest = this.#oldest(register, undefined, least)
    for (const { asked } of this.#expiredFor(operation)) {
      const version = this.#oldest(register, asked.value, least)
      if (version !== undefined && (oldest === undefined || version < oldest)) oldest = version
    }
    return oldest
  }

  /** The oldest version of the value that is not below `least`. */
  #oldest(register: Register, value: string | undefined, least: string): string | undefined {
    return register.versionsOf(value).find((version) => version >= least)
  }

  #establish(operation: Operation, version: string, isTombstone: boolean): void {
    const { register, asked } = operation
    const under = this.pictures.answeredUnder(asked.node, register.slot)
    const established = { register, version, isTombstone, under, text: describe(operation) }
    register.establish(established)
    this.news = established
  }

  #forget(key: string): void {
    const erased = this.disks.replaced
    const register = this.register(key)
    if (erased === undefined || !this.isAbsent(erased)) return
    if (erased.version > register.forgotten) register.forgotten = erased.version
  }
}

/** All keys of an update. */
function keysOf({ key, steps = [], checks = [] }: Invoked): string[] {
  return [key, ...[...steps, ...checks].map((one) => one.key)]
}

/** The time in a version, ms; 0 for versions of other forms, as runs without disks have. */
function msOf(version: string): number {
  return version.length === VERSION_DIGITS ? Number.parseInt(version.slice(0, MS_DIGITS), 16) : 0
}

function newerOf(one: string, other: string): string {
  if (one > other) return one
  return other
}

/**
 * The last observation at which the key may be read as absent: infinite while a delete may still take effect, -1
 * without deletes.
 */
function overOfNothing(register: Register): number {
  let over = -1
  for (const remove of register.deletes) over = Math.max(over, remove.over)
  return over
}
