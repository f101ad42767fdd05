// What keeps the data of a node sound in the background: repair with the other owners, purge of
// what is gone, and scrub. Part of the node.

import { Purge, type PurgeDeps, type PurgeMessage, type PurgeOptions } from '../actors/purge.js'
import { Repair, type RepairDeps, type RepairMessage, type RepairOptions } from '../actors/repair/repair.js'
import type { Totals } from '../actors/replica/slot-stats.js'
import { Scrub, type ScrubMessage } from '../actors/scrub.js'
import type { Bytes } from '../bytes.js'
import type { RepairReport } from '../client/reports.js'
import { sleep } from '../clock.js'
import { RingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import type { SlotRange } from '../ring/slots.js'
import { ask, type Spawned, spawn } from '../runtime/actor.js'
import type { MetaWrite } from '../storage/meta.js'
import type { Store } from '../storage/store.js'
import type { RingView } from '../views/ring-view.js'

export interface MaintenanceDeps extends Omit<RepairDeps & PurgeDeps, 'self'> {
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  readonly totals: () => Totals
  readonly store: Pick<Store, 'check'>
  readonly onCrash: (error: RingdError) => void
}

export interface MaintenanceOptions {
  readonly repair: RepairOptions
  readonly purge: PurgeOptions
  readonly scrubMs: number | undefined
  readonly scrubProgress: Bytes | undefined
}

const REPORT_TIMEOUT_MS = 5000
/** Between two tables of some MiB, so that looking at all of them is not felt: some 40 MiB/s at most. */
const FILE_PAUSE_MS = 50

export class Maintenance {
  readonly repair: Spawned<RepairMessage>
  readonly #scrub: Spawned<ScrubMessage>
  readonly #purge: Spawned<PurgeMessage>
  readonly #deps: MaintenanceDeps
  #isStopped = false

  constructor(deps: MaintenanceDeps, { repair, purge, scrubMs, scrubProgress }: MaintenanceOptions) {
    this.#deps = deps
    this.repair = spawn<RepairMessage>(deps, 'repair', (self) => new Repair({ ...deps, self }, repair), deps)
    const checkFiles = () => this.#checkFiles()
    const scrub = { everyMs: scrubMs, progress: scrubProgress }
    this.#scrub = spawn<ScrubMessage>(deps, 'scrub', (self) => new Scrub({ ...deps, self, checkFiles }, scrub), deps)
    this.#purge = spawn<PurgeMessage>(deps, 'purge', (self) => new Purge({ ...deps, self }, purge), deps)
  }

  /** A newer picture of the ring; only once this store is trusted. */
  view(view: RingView): void {
    this.repair.signal({ type: 'view', view })
    this.#scrub.signal({ type: 'view', view })
    this.#purge.signal({ type: 'view', view })
  }

  linked(member: MemberId): void {
    this.repair.signal({ type: 'linked', member })
  }

  /** Compares with all owners of the range; without one, tells how far that is. Throws NOT_SERVING, OVERLOADED. */
  report(range: SlotRange | undefined): Promise<RepairReport> {
    return ask<RepairMessage, RepairReport>(this.#deps.clock, this.repair, REPORT_TIMEOUT_MS, (reply) =>
      range === undefined ? { type: 'report', reply } : { type: 'start', range, reply }
    )
  }

  /** Fails the node when its store may hide entries: it must not answer as an owner any more. */
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
    await this.repair.stop()
    await this.#scrub.stop()
    await this.#purge.stop()
  }
}
