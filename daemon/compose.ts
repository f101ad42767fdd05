// The composition root: builds the real adapters and the node on them.
import { RingdError } from '../lib/errors.js'
import type { Logger } from '../lib/logger.js'
import type { DaemonConfig } from './config.js'
import type { RunningDaemon } from './run-file.js'

/** Resolves when the daemon serves. Throws RingdError by code (DATA_LOCKED, PORT_IN_USE, WRONG_RING...). */
export async function runDaemon(_config: DaemonConfig, _log: Logger): Promise<RunningDaemon> {
  throw new RingdError('INTERNAL', 'the node is not composed yet')
}
