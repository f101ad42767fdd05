// The checkers of a run. They share one ObservedState. This is the only file that lists them all.
import type { Checker } from '../run/observation.js'
import { AcknowledgedWrites } from './acknowledged-writes.js'
import { Bounds, type BoundsOptions } from './bounds.js'
import { Completion, type CompletionOptions } from './completion.js'
import { Deletions } from './deletions.js'
import { Expiry } from './expiry.js'
import { Linearizable, type LinearizableMode, type LinearizableOptions } from './linearizable.js'
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
  /** Which keys are checked for linearizability, and how strictly; see linearizable.ts. */
  readonly linearizable?: LinearizableMode | undefined
}

/** Of histories of other stores, and of processes, which do not tell whether a failed write may still be seen. */
const LINEARIZABLE: LinearizableMode = 'updates'

/** New checkers for one run. The caller gives every observation to each of them, in the order of the run. */
export function allCheckers(options: CheckersOptions = {}): Checker[] {
  const state = new ObservedState(options)
  const checkers: Checker[] = clientCheckers(state, { mode: options.linearizable })
  checkers.push(new Versions(state), new RingViews(state), new ReadyFacts(state))
  checkers.push(new VisibleWrites(state), new Deletions(state))
  checkers.push(new Bounds(state, options.bounds), new Completion(state, options.completion))
  return checkers
}

/** The checkers that need only what clients see. Campaigns on real processes use them too. */
export function clientCheckers(state = new ObservedState(), options: LinearizableOptions = {}): Checker[] {
  const { mode = LINEARIZABLE, ...others } = options
  return [
    new AcknowledgedWrites(state),
    new MonotoneReads(state),
    new Resurrection(state),
    new Expiry(state),
    new Linearizable(state, { mode, ...others })
  ]
}
