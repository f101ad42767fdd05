// The transfers of all members, gathered for the reports `transfers` and `status`. Part of the node.
// Each member knows those by which it takes data. Owns the bound of questions under way.
// Invariants: a report is gathered in a bounded time, and says which members did not answer; what they answer is
// checked and bounded.
import {
  ENDED_MAX,
  type RunningTransfer,
  type TransferRecord,
  transferFromWire,
  transferToWire
} from '../actors/migration/transfer-records.js'
import type { ToldTransfers, Transfers } from '../actors/migration/transfers.js'
import type { MoveReport, TransferReport, TransfersReport } from '../client/reports.js'
import type { Clock } from '../clock.js'
import { RingdError, toRingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import { requestMember } from '../network/member-link.js'
import type { Network } from '../network/network.js'
import type { AskTransfers, ToldTransfers as WireTold } from '../network/wire.js'
import { SLOTS } from '../ring/slots.js'
import { newestConfig } from '../views/configs.js'
import type { RingView } from '../views/ring-view.js'

export interface RingTransfersDeps {
  readonly clock: Clock
  readonly network: Pick<Network, 'link' | 'request'>
  readonly transfers: Pick<Transfers, 'tell'>
}

/** What the members have told, by member. */
interface Gathered {
  readonly told: ReadonlyMap<MemberId, ToldTransfers>
  readonly failures: ReadonlyMap<MemberId, RingdError>
}

/** For one member, and for all of them together: a client waits 15 s for the report. */
const TIMEOUT_MS = 3000
const ALL_MS_MAX = 9000
/** For `status`, which people look at all the time. */
const STATUS_TIMEOUT_MS = 1000
const ASKED_AT_ONCE = 16
/** Members that `status` asks. When more of them move, their number is told without a time. */
const STATUS_ASKED_MAX = 32
/** Transfers that have ended, of all members together, as far as members are asked for them. */
const ENDED_ASKED_MAX = 6400
const ENDED_ASKED_MIN = 4
const RUNNING_MAX = 1000
/** Ranges of slots of one transfer that a report names. */
const RANGES_MAX = 256
/** A member tells at most this many; a longer answer is refused. */
const TOLD_MAX = 512

/** The answer to another member. */
export function toldToWire(transfers: Pick<Transfers, 'tell'>, { ended: wanted }: AskTransfers): WireTold {
  const { running, ended, left } = transfers.tell(Math.min(wanted, ENDED_MAX))
  return {
    running: running.map(transferToWire),
    ended: ended.map(transferToWire),
    slotsLeft: left.slots,
    bytesLeft: left.bytes,
    msLeft: left.ms === undefined ? undefined : Math.round(left.ms)
  }
}

/** Throws BAD_MESSAGE. */
export function toldFromWire({ running, ended, slotsLeft, bytesLeft, msLeft }: WireTold): ToldTransfers {
  const left = { slots: slotsLeft, bytes: bytesLeft, ms: msLeft }
  const areCounts = [slotsLeft, bytesLeft ?? 0, msLeft ?? 0].every((count) => Number.isSafeInteger(count) && count >= 0)
  if (running.length > TOLD_MAX || ended.length > ENDED_MAX || slotsLeft > SLOTS || !areCounts) {
    throw new RingdError('BAD_MESSAGE', 'a member tells more transfers than there can be')
  }
  return { running: running.map(transferFromWire), ended: ended.map(transferFromWire), left }
}

export class RingTransfers {
  readonly #deps: RingTransfersDeps

  constructor(deps: RingTransfersDeps) {
    this.#deps = deps
  }

  /** The report `transfers`; without `withEnded` only of those that are running. Takes nine seconds at most. */
  async report(view: RingView, withEnded: boolean): Promise<TransfersReport> {
    const members = [...view.members.keys()]
    const wanted = withEnded
      ? Math.max(ENDED_ASKED_MIN, Math.min(ENDED_MAX, Math.floor(ENDED_ASKED_MAX / members.length)))
      : 0
    const gathered = await this.#gather(view, members, wanted, TIMEOUT_MS)
    const running: TransferReport[] = []
    const ended: TransferRecord[] = []
    for (const told of gathered.told.values()) {
      const ms = told.left.ms
      for (const transfer of told.running) if (running.length < RUNNING_MAX) running.push(runningReport(transfer, ms))
      ended.push(...told.ended)
    }
    ended.sort(newestFirst)
    return {
      view: view.number,
      move: moveReport(view, gathered),
      running,
      ended: ended.slice(0, ENDED_MAX).map((transfer) => ({
        ...reportOf(transfer),
        state: transfer.state === 'running' ? 'cut' : transfer.state,
        endedAtMs: transfer.endedAtMs
      })),
      failures: Array.from(gathered.failures, ([storeId, { code }]) => ({ storeId, error: code }))
    }
  }

  /** What moves in the whole ring. Asks the members that have something to copy; takes a second or two. */
  async move(view: RingView, isUp: (id: MemberId) => boolean): Promise<MoveReport> {
    const left = copiesLeft(view)
    if (left.size === 0) return { copies: 0, bytes: 0, etaS: 0, etaMs: 0 }
    const asked = [...left.keys()].filter(isUp).sort((one, other) => left.get(other)! - left.get(one)!)
    return moveReport(view, await this.#gather(view, asked.slice(0, STATUS_ASKED_MAX), 0, STATUS_TIMEOUT_MS))
  }

  async #gather(view: RingView, members: readonly MemberId[], ended: number, timeoutMs: number): Promise<Gathered> {
    const told = new Map<MemberId, ToldTransfers>()
    const failures = new Map<MemberId, RingdError>()
    const { clock } = this.#deps
    const deadline = clock.elapsed() + ALL_MS_MAX
    const waiting = [...members]
    const askOn = async (): Promise<void> => {
      for (let member = waiting.shift(); member !== undefined; member = waiting.shift()) {
        try {
          const ms = Math.min(timeoutMs, Math.floor(deadline - clock.elapsed()))
          if (ms <= 0) throw new RingdError('TIMEOUT', 'other members took all the time')
          told.set(member, await this.#ask(view, member, ended, ms))
        } catch (thrown) {
          failures.set(member, toRingdError(thrown))
        }
      }
    }
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askOn))
    return { told, failures }
  }

  async #ask(view: RingView, member: MemberId, ended: number, timeoutMs: number): Promise<ToldTransfers> {
    const { network, transfers } = this.#deps
    if (member === view.self) return transfers.tell(ended)
    const peerId = view.peerIds.get(member)
    if (peerId === undefined) throw new RingdError('UNREACHABLE', 'the member has no known peer')
    const body = { askTransfers: { view: view.number, ended } }
    const { toldTransfers } = await requestMember(network, { peerId, member, stream: 'bulk', body, timeoutMs })
    if (toldTransfers === undefined) throw new RingdError('BAD_MESSAGE', 'not an answer to a question for transfers')
    return toldFromWire(toldTransfers)
  }
}

/** The same order at every peer. */
function newestFirst(one: TransferRecord, other: TransferRecord): number {
  const byPuller = one.puller < other.puller ? -1 : Number(one.puller > other.puller)
  return other.endedAtMs - one.endedAtMs || byPuller || other.number - one.number
}

/** By member: the slots that it owns and is not ready for. O(slots x owners). */
function copiesLeft({ configs, readiness }: RingView): ReadonlyMap<MemberId, number> {
  const left = new Map<MemberId, number>()
  configs.windows.forEach((window, slot) => {
    const { owners, begin } = newestConfig(window)
    for (const owner of owners) {
      if (readiness.get(owner)?.[slot] !== begin) left.set(owner, (left.get(owner) ?? 0) + 1)
    }
  })
  return left
}

/** The move ends when its last member is done. A member that does not tell may be that one. */
function moveReport(view: RingView, { told }: Gathered): MoveReport {
  const left = copiesLeft(view)
  let [copies, bytes, ms]: [number, number | undefined, number | undefined] = [0, 0, 0]
  for (const [member, slots] of left) {
    copies += slots
    const own = told.get(member)?.left
    bytes = bytes === undefined || own?.bytes === undefined ? undefined : bytes + own.bytes
    ms = ms === undefined || own?.ms === undefined ? undefined : Math.max(ms, own.ms)
  }
  return {
    copies,
    bytes: bytes ?? null,
    etaS: ms === undefined ? null : Math.ceil(ms / 1000),
    etaMs: ms === undefined ? null : Math.round(ms)
  }
}

function reportOf(transfer: TransferRecord): Omit<TransferReport, 'slotsInAll' | 'bytesPerS' | 'etaS' | 'heldBy'> {
  const { cause, source, puller, config, entries, bytes, receipt, beganAtMs } = transfer
  const ranges = receipt.slots.ranges()
  return {
    why: cause,
    from: source,
    to: puller,
    config,
    slots: receipt.slots.size,
    entries,
    bytes,
    receipt: {
      ranges: ranges.slice(0, RANGES_MAX),
      rangesLeftOut: Math.max(0, ranges.length - RANGES_MAX),
      entries: receipt.entries,
      checksum: receipt.checksum
    },
    beganAtMs
  }
}

/** The transfers of one member for one change end together: each job goes to the source that has the fewest. */
function runningReport(transfer: RunningTransfer, ms: number | undefined): TransferReport {
  const { cause, slotsInAll, bytesPerS, heldBy } = transfer
  const etaS = ms === undefined || cause === 'repair' ? null : Math.ceil(ms / 1000)
  return { ...reportOf(transfer), slotsInAll, bytesPerS, etaS, heldBy }
}
