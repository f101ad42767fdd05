// How many files and connections this process may have open, and the share of each part of it.
// A Redis client that takes the last descriptor would take it from the store: LevelDB then cannot open its next log,
// and every write fails. So the doors get what the store and the links between members can spare.
import { readFileSync } from 'node:fs'
import { RingdError } from '../lib/errors.js'
import type { Logger } from '../lib/logger.js'
import type { ConnectionBounds } from '../lib/network/libp2p.js'

/** The share of each part. The sum is at most the limit. */
export interface OpenFiles {
  /** What the system allows. */
  readonly limit: number
  /** Connections of Redis clients. */
  readonly redis: number
  /** Connections on the port for peers. */
  readonly network: ConnectionBounds
}

/** Fewer are refused: too few members and clients could be connected. */
export const OPEN_FILES_MIN = 256
/** The log, the event loop, listening sockets, and the check of the store. */
const OWN = 96
/** LevelDB maps its tables to memory and closes them. Open are its logs, and the tables that it writes or maps. */
const STORE = 64
/** What each part takes where the limit is high. */
const MOST = { redis: 4096, member: 4096, data: 1024, operator: 64, pending: 512 }
/** The shares of what is left, in sixteenths. */
const SHARES = { redis: 8, member: 3, data: 2, operator: 1, pending: 2 }
const SHARES_SUM = 16

/** Divides `limit`, the number of files that the process may open. Throws BAD_CONFIG when it is too small. */
export function shareOpenFiles(limit: number): OpenFiles {
  if (limit < OPEN_FILES_MIN) {
    const advice = 'raise it (ulimit -n, or LimitNOFILE= of the systemd unit)'
    throw new RingdError(
      'BAD_CONFIG',
      `this process may open ${limit} files; ringd needs ${OPEN_FILES_MIN} or more: ${advice}`
    )
  }
  const share = (part: keyof typeof MOST) =>
    Math.min(MOST[part], Math.floor(((limit - OWN - STORE) * SHARES[part]) / SHARES_SUM))
  const [member, data, operator, pending] = [share('member'), share('data'), share('operator'), share('pending')]
  return { limit, redis: share('redis'), network: { member, data, operator, pending } }
}

/** The number of files that this process may open; Infinity where that is not known. */
export function openFilesLimit(): number {
  return limitInText(procLimits()) ?? limitInReport() ?? Number.POSITIVE_INFINITY
}

/** The soft limit in the text of /proc/self/limits. */
export function limitInText(text: string): number | undefined {
  const soft = /^Max open files +(\S+)/m.exec(text)?.[1]
  if (soft === undefined) return undefined
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

export function tellOpenFiles({ limit, redis, network }: OpenFiles, log: Logger): void {
  const fields = { openFiles: limit, redisClients: redis, memberConnections: network.member, clients: network.data }
  if (redis === MOST.redis) log.info(fields, 'files and connections that this process may open')
  else log.warn(fields, 'this process may open few files, which bounds its connections; raise LimitNOFILE or ulimit -n')
}

function procLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    // Not Linux.
    return ''
  }
}

/** Node tells the limits in its report on other systems. It looks up no host names for that. */
function limitInReport(): number | undefined {
  const { report } = process
  if (report === undefined) return undefined
  Object.assign(report, { excludeNetwork: true })
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const soft = userLimits?.open_files?.soft
  if (soft === 'unlimited') return Number.POSITIVE_INFINITY
  return typeof soft === 'number' ? soft : undefined
}
