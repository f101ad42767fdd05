// The background actors that keep the data of a node sound: repair with the other owners, purge of tombstones and
// expired values, scrub, and the end of old promises. Part of the node.

import { PromiseSweep } from '../actors/promise-sweep.js'
import { Purge, type PurgeDeps, type PurgeMessage, type PurgeOptions } from '../actors/purge.js'
import { Repair, type RepairDeps, type RepairMessage, type RepairOptions } from '../actors/repair/repair.js'
import type { Totals } from '../actors/replica/replica-messages.js'
import type { RouterMessage } from '../actors/router/router-messages.js'
import { Scrub, type ScrubMessage } from '../actors/scrub.js'
import type { Bytes } from '../bytes.js'
import type { RepairReport } from '../client/reports.js'
import { sleep } from '../clock.js'
import { RingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import type { SlotRange } from '../ring/slots.js'
import { ask, type Ref, type Spawned, spawn } from '../runtime/actor.js'
import type { MetaWrite } from '../storage/meta.js'
import type { Store } from '../storage/store.js'
import type { RingView } from '../views/ring-view.js'
import { OwnerTallies } from './owner-tallies.js'
import { Verification } from './verification.js'

export interface MaintenanceDeps extends Omit<RepairDeps & PurgeDeps, 'self'> {
  readonly router: Ref<RouterMessage>
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  readonly totals: () => Totals
  readonly store: Pick<Store, 'check'>
  readonly onCrash: (error: RingdError) => void
}

export interface MaintenanceOptions {
  readonly repair: RepairOptions
  readonly purge: PurgeOptions
  readonly scrubMs: number | undefined
  readonly settleAfterMs: number | undefined
  readonly scrubProgress: Bytes | undefined
}

const REPORT_TIMEOUT_MS = 5000
/** Rest after each file of some MiB: at most about 40 MiB/s are read, which clients do not notice. */
const FILE_PAUSE_MS = 50

export class Maintenance {
  readonly repair: Spawned<RepairMessage>
  /** Asks owners what they hold of slots. */
  readonly tallies: OwnerTallies
  readonly verification: Verification
  readonly #scrub: Spawned<ScrubMessage>
  readonly #purge: Spawned<PurgeMessage>
  readonly #promises: PromiseSweep
  readonly #deps: MaintenanceDeps
  #isStopped = false

  constructor(deps: MaintenanceDeps, options: MaintenanceOptions) {
    const { repair, purge, scrubMs, scrubProgress, settleAfterMs } = options
    this.#deps = deps
    this.#promises = new PromiseSweep(deps, settleAfterMs)
    const { clock, random, ringTime, log, metrics, network, replica, learned, persist, totals, withinLimit } = deps
    this.tallies = new OwnerTallies({ clock, network, replica, learned })
    this.verification = new Verification({ clock, log, tallies: this.tallies })
    this.repair = spawn<RepairMessage>(
      deps,
      'repair',
      (self) => new Repair({ clock, random, log, metrics, network, replica, learned, withinLimit, self }, repair),
      deps
    )
    const checkFiles = () => this.#checkFiles()
    this.#scrub = spawn<ScrubMessage>(
      deps,
      'scrub',
      (self) =>
        new Scrub(
          { clock, log, metrics, replica, persist, totals, checkFiles, self },
          { everyMs: scrubMs, progress: scrubProgress }
        ),
      deps
    )
    this.#purge = spawn<PurgeMessage>(
      deps,
      'purge',
      (self) => new Purge({ clock, ringTime, log, metrics, network, replica, learned, self }, purge),
      deps
    )
  }

  /** Hands on a newer view. The node calls it only once the rollback guard trusts this store. */
  view(view: RingView): void {
    this.verification.useView(view)
    this.repair.signal({ type: 'view', view })
    this.#scrub.signal({ type: 'view', view })
    this.#purge.signal({ type: 'view', view })
    this.#promises.begin()
  }

  /** A link to the member came up: repair begins with members that were away. */
  linked(member: MemberId): void {
    this.repair.signal({ type: 'linked', member })
  }

  /** Compares with all owners of the range. Without one it tells the progress. Throws NOT_SERVING, OVERLOADED. */
  report(range: SlotRange | undefined): Promise<RepairReport> {
    return ask<RepairMessage, RepairReport>(this.#deps.clock, this.repair, REPORT_TIMEOUT_MS, (reply) =>
      range === undefined ? { type: 'report', reply } : { type: 'start', range, reply }
    )
  }

  /** Fails the node when a damaged file may hide entries: it would answer "absent" for what it was to hold. */
  async #checkFiles(): Promise<void> {
    const { clock, store, onCrash } = this.#deps
    const damage = await store.check?.(async () => {
      if (this.#isStopped) throw new RingdError('STOPPED')
      await sleep(clock, FILE_PAUSE_MS)
    })
    if (damage !== undefined && !this.#isStopped) {
      onCrash(new RingdError('DATA_DAMAGED', `the store is damaged: ${damage}; start again for what to do`))
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.verification.stop()
    this.#promises.stop()
    await this.repair.stop()
    await this.#scrub.stop()
    await this.#purge.stop()
  }
}
