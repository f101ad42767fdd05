// All directed scenarios.

import { CLOCKS } from './clocks.js'
import { DEPARTURES } from './departures.js'
import { DISKS } from './disks.js'
import { ENTRIES } from './entries.js'
import { EVICTIONS } from './evictions.js'
import { EXPIRY } from './expiry.js'
import { FULL_DISKS } from './full-disks.js'
import { HINTS } from './hints.js'
import { IDENTITIES } from './identities.js'
import { LATE_WRITES } from './late-writes.js'
import { LIARS } from './liars.js'
import { LIMITS } from './limits.js'
import { LOST_MAJORITY } from './lost-majority.js'
import { MOVING_WINDOWS } from './moving-windows.js'
import { PROMISES } from './promises.js'
import { PULLS } from './pulls.js'
import { PURGE } from './purge.js'
import { RECEIPTS } from './receipts.js'
import { REPAIR } from './repair.js'
import { ROUNDS } from './rounds.js'
import type { Scenario } from './scenario-cluster.js'
import { SHORT_CHAINS } from './short-chains.js'
import { STATUS } from './status.js'
import { STRANGERS } from './strangers.js'
import { STREAMS } from './streams.js'
import { VOTES } from './votes.js'

export const SCENARIOS: readonly Scenario[] = [
  ...LATE_WRITES,
  ...PULLS,
  ...ROUNDS,
  ...PROMISES,
  ...STREAMS,
  ...RECEIPTS,
  ...MOVING_WINDOWS,
  ...ENTRIES,
  ...VOTES,
  ...LIARS,
  ...DISKS,
  ...FULL_DISKS,
  ...DEPARTURES,
  ...SHORT_CHAINS,
  ...EVICTIONS,
  ...HINTS,
  ...EXPIRY,
  ...REPAIR,
  ...PURGE,
  ...CLOCKS,
  ...STRANGERS,
  ...LOST_MAJORITY,
  ...IDENTITIES,
  ...STATUS,
  ...LIMITS
]
