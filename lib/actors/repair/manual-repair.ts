// A repair that an operator asked for: the owners that are still to be compared with, and the result. Part of the
// repair actor. An owner is tried at most 15 times; one that is unreachable is tried once.
import type { RepairReport } from '../../client/reports.js'
import type { RingdError } from '../../errors.js'
import type { MemberId } from '../../member.js'
import type { SlotRange } from '../../ring/slots.js'
import { noCount, type RepairCount } from './repair-session.js'

const ATTEMPTS_MAX = 15
const RETRY_MS = 1000

interface Waiting {
  attempts: number
  notBefore: number
}

export class ManualRepair {
  readonly range: SlotRange
  readonly #owners: number
  readonly #waiting: Map<MemberId, Waiting>
  readonly #count = noCount()
  readonly #failures: { readonly storeId: MemberId; readonly error: string }[] = []

  constructor(range: SlotRange, owners: readonly MemberId[]) {
    this.range = range
    this.#owners = owners.length
    this.#waiting = new Map(owners.map((member) => [member, { attempts: 0, notBefore: 0 }]))
  }

  get isRunning(): boolean {
    return this.#waiting.size > 0
  }

  /** When the next owner is due; monotonic ms, infinite when none is left. */
  get dueAt(): number {
    return Math.min(...Array.from(this.#waiting.values(), ({ notBefore }) => notBefore))
  }

  /** The owner to compare with now; undefined: none is due. */
  next(now: number): MemberId | undefined {
    for (const [member, { notBefore }] of this.#waiting) if (notBefore <= now) return member
    return undefined
  }

  ended(member: MemberId, count: RepairCount, error: RingdError | undefined, now: number): void {
    for (const field of Object.keys(count) as (keyof RepairCount)[]) this.#count[field] += count[field]
    const waiting = this.#waiting.get(member)
    if (waiting === undefined) return
    waiting.attempts += 1
    waiting.notBefore = now + RETRY_MS
    const isHopeless = error?.code === 'UNREACHABLE' || waiting.attempts >= ATTEMPTS_MAX
    if (error !== undefined && !isHopeless) return
    this.#waiting.delete(member)
    if (error !== undefined) this.#failures.push({ storeId: member, error: error.code })
  }

  report(): Omit<RepairReport, 'rounds'> {
    const owners = this.#owners
    const { first, last } = this.range
    const compared = owners - this.#waiting.size - this.#failures.length
    return { running: this.isRunning, first, last, owners, compared, ...this.#count, failures: [...this.#failures] }
  }
}
