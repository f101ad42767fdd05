// All bugs that the simulator must find. Each breaks one rule of the protocol, by edits of compiled modules. The code
// of the product contains nothing of them: plant.ts applies the edits while modules are loaded.
import type { Bug } from './bug.js'
import { CLOCKS } from './bugs-of-clocks.js'
import { DEPARTURES } from './bugs-of-departures.js'
import { DISKS_AND_VOTES } from './bugs-of-disks-and-votes.js'
import { EVICTIONS } from './bugs-of-evictions.js'
import { EXPIRY } from './bugs-of-expiry.js'
import { FULL_DISKS } from './bugs-of-full-disks.js'
import { HINTS } from './bugs-of-hints.js'
import { IDENTITIES } from './bugs-of-identities.js'
import { LIES } from './bugs-of-lies.js'
import { LIMIT_BUGS } from './bugs-of-limits.js'
import { MOVES } from './bugs-of-moves.js'
import { OPERATIONS } from './bugs-of-operations.js'
import { PROMISED } from './bugs-of-promises.js'
import { PURGES } from './bugs-of-purge.js'
import { REPAIR } from './bugs-of-repair.js'
import { STATUS } from './bugs-of-status.js'
import { STRANGERS } from './bugs-of-strangers.js'

export const BUGS: readonly Bug[] = [
  ...MOVES,
  ...OPERATIONS,
  ...PROMISED,
  ...DISKS_AND_VOTES,
  ...FULL_DISKS,
  ...LIES,
  ...DEPARTURES,
  ...EVICTIONS,
  ...HINTS,
  ...EXPIRY,
  ...REPAIR,
  ...PURGES,
  ...CLOCKS,
  ...STRANGERS,
  ...IDENTITIES,
  ...STATUS,
  ...LIMIT_BUGS
]
