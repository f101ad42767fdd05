// The transfers of member `d` without a node around them. What they write is kept, and nobody tells them sizes.

import { type KeptTransfers, NO_TRANSFERS } from '../../../lib/actors/migration/transfer-records.js'
import { Transfers, type TransfersDeps } from '../../../lib/actors/migration/transfers.js'
import type { Clock } from '../../../lib/clock.js'
import { silent } from '../../../lib/logger.js'
import { noMetrics } from '../../../lib/metrics.js'
import { idOf } from './ring-views.js'

export function lonelyTransfers(
  clock: Clock,
  deps: Partial<TransfersDeps> = {},
  kept: KeptTransfers = NO_TRANSFERS
): Transfers {
  return new Transfers(
    {
      clock,
      log: silent,
      metrics: noMetrics,
      self: idOf('d'),
      persist: async () => {},
      causeOf: () => 'join',
      paceHeldBy: () => undefined,
      sizesOf: async (_view, slots) => slots.map(() => undefined),
      bytesHere: () => 0,
      ...deps
    },
    kept
  )
}
