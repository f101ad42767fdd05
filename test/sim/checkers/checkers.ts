// All judges of a run, with one world among them. The only place that knows them all.
import type { Checker } from '../run/observation.js'
import { AcknowledgedWrites } from './acknowledged-writes.js'
import { Bounds, type BoundsOptions } from './bounds.js'
import { Completion, type CompletionOptions } from './completion.js'
import { Deletions } from './deletions.js'
import { Expiry } from './expiry.js'
import { MonotoneReads } from './monotone-reads.js'
import { ReadyFacts } from './ready-facts.js'
import { Resurrection } from './resurrection.js'
import { RingViews } from './ring-views.js'
import { Versions } from './versions.js'
import { VisibleWrites } from './visible-writes.js'
import { World, type WorldOptions } from './world.js'

export interface CheckersOptions extends WorldOptions {
  readonly bounds?: BoundsOptions | undefined
  readonly completion?: CompletionOptions | undefined
}

/** A fresh set for one run. Every observation goes to each of them, one observation after the other. */
export function allCheckers(options: CheckersOptions = {}): Checker[] {
  const world = new World(options)
  const judges: Checker[] = clientCheckers(world)
  judges.push(new Versions(world), new RingViews(world), new ReadyFacts(world))
  judges.push(new VisibleWrites(world), new Deletions(world))
  judges.push(new Bounds(world, options.bounds), new Completion(world, options.completion))
  return judges
}

/** Those that need nothing but what clients see: also for runs of real processes. */
export function clientCheckers(world = new World()): Checker[] {
  return [new AcknowledgedWrites(world), new MonotoneReads(world), new Resurrection(world), new Expiry(world)]
}
