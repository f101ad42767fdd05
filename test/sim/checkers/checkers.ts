// All judges of a run, with one world among them. The only place that knows them all.
import type { Checker } from '../run/observation.js'
import { AcknowledgedWrites } from './acknowledged-writes.js'
import { Bounds, type BoundsOptions } from './bounds.js'
import { Completion, type CompletionOptions } from './completion.js'
import { Deletions } from './deletions.js'
import { Expiry } from './expiry.js'
import { MonotoneReads } from './monotone-reads.js'
import { ObservedState, type ObservedStateOptions } from './observed-state.js'
import { ReadyFacts } from './ready-facts.js'
import { Resurrection } from './resurrection.js'
import { RingViews } from './ring-views.js'
import { Versions } from './versions.js'
import { VisibleWrites } from './visible-writes.js'

export interface CheckersOptions extends ObservedStateOptions {
  readonly bounds?: BoundsOptions | undefined
  readonly completion?: CompletionOptions | undefined
}

/** A fresh set for one run. Every observation goes to each of them, one observation after the other. */
export function allCheckers(options: CheckersOptions = {}): Checker[] {
  const state = new ObservedState(options)
  const judges: Checker[] = clientCheckers(state)
  judges.push(new Versions(state), new RingViews(state), new ReadyFacts(state))
  judges.push(new VisibleWrites(state), new Deletions(state))
  judges.push(new Bounds(state, options.bounds), new Completion(state, options.completion))
  return judges
}

/** Those that need nothing but what clients see: also for runs of real processes. */
export function clientCheckers(state = new ObservedState()): Checker[] {
  return [new AcknowledgedWrites(state), new MonotoneReads(state), new Resurrection(state), new Expiry(state)]
}
