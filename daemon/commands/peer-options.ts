// Shared by all client commands: which peer to ask, how long to wait, and opening a client for one piece of work.
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { RingdClient } from '../../lib/client/client.js'
import { RingdError, toRingdError } from '../../lib/errors.js'
import { CONSISTENCIES, type Consistency } from '../../lib/key-value.js'
import type { ClientSecrets } from '../../lib/network/secrets.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { parsePeerAddress } from '../address.js'
import { readRunFile } from '../run-file.js'
import { readClientSecrets, readOperatorSecret } from '../secret-files.js'

export interface PeerOptions {
  readonly peer?: readonly string[]
  readonly data?: string
  readonly secretFile?: string
  readonly timeout: number
  readonly consistency?: Consistency
  readonly json?: boolean
}

/** How often a command that waits for a result asks the peer for its state. */
export const POLL_MS = 300
const TIMEOUT_MS = 15_000
const TIMEOUT_MS_MAX = 600_000

export function addPeerOptions(command: Command): Command {
  return command
    .option('--peer <multiaddr>', 'ask this peer; repeat it to give peers to try in turn', gather)
    .option('--data <dir>', 'ask the daemon that serves this directory on this machine (default: $RINGD_DATA)')
    .option('--secret-file <file>', 'the secret of a client, or of the ring (with --peer; default: $RINGD_SECRET_FILE)')
    .addOption(
      new Option('--timeout <ms>', 'how long to wait for the connection, and for each answer')
        .default(TIMEOUT_MS)
        .argParser(parseTimeout)
    )
}

export function addConsistencyOption(command: Command): Command {
  const text = 'owners that must answer (default: the configuration of the peer)'
  return command.addOption(new Option('--consistency <level>', text).choices(CONSISTENCIES))
}

export function gather(value: string, former: readonly string[] | undefined): string[] {
  return [...(former ?? []), value]
}

function parseTimeout(text: string): number {
  const ms = Number(text)
  if (/^\d+$/.test(text) && ms >= 1 && ms <= TIMEOUT_MS_MAX) return ms
  throw new InvalidArgumentError(`Expected milliseconds, 1 to ${TIMEOUT_MS_MAX}.`)
}

/** The peers to ask, tried in turn. Throws BAD_REQUEST, BAD_ADDRESS, or an error of `readRunFile`. */
async function addressesOf({ peer, data }: PeerOptions): Promise<readonly string[]> {
  if (peer !== undefined) return peer.map(parsePeerAddress)
  return (await readRunFile(directoryOf(data))).multiaddrs
}

/** What the client presents; undefined: the open secret. Throws BAD_REQUEST, BAD_CONFIG. */
async function secretOf({ peer, data, secretFile }: PeerOptions): Promise<ClientSecrets | undefined> {
  if (peer === undefined && secretFile === undefined) return readOperatorSecret(directoryOf(data))
  const path = secretFile ?? process.env['RINGD_SECRET_FILE']
  return path ? readClientSecrets(path) : undefined
}

function directoryOf(data = process.env['RINGD_DATA']): string {
  if (data !== undefined && data !== '') return resolve(data)
  throw new RingdError(
    'BAD_REQUEST',
    'no peer is named: give --peer MULTIADDR, or --data DIR of a daemon on this machine'
  )
}

/** Runs `work` with a connected client, and closes the client even when `work` fails. */
export async function withClient<T>(options: PeerOptions, work: (client: RingdClient) => Promise<T>): Promise<T> {
  return withClientAt(await addressesOf(options), options, work)
}

/** As `withClient`, with these peers to try in turn. */
export async function withClientAt<T>(
  addresses: readonly string[],
  options: PeerOptions,
  work: (client: RingdClient) => Promise<T>
): Promise<T> {
  const secret = await secretOf(options)
  // Loaded late, because the network stack takes longer to load than the rest of the program.
  const { connectClient } = await import('../../lib/network/client-link.js')
  const seams = { clock: systemClock, random: systemRandom }
  const connecting = RingdClient.connect(addresses, {
    dial: (address, timeoutMs) => connectClient(seams, { address, timeoutMs, ...(secret && { secret }) }),
    timeoutMs: options.timeout,
    ...(options.consistency === undefined ? {} : { consistency: options.consistency })
  })
  const client = await connecting.catch((thrown) => {
    throw explained(thrown, addresses)
  })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

/** Says what to do about a wrong secret: only this program knows its flags. */
function explained(thrown: unknown, addresses: readonly string[]): RingdError {
  const error = toRingdError(thrown)
  if (error.code !== 'WRONG_SECRET') return error
  return new RingdError(
    'WRONG_SECRET',
    `${addresses.join(', ')} does not accept this secret; give --secret-file FILE with a client secret ` +
      '(ringd secret client) or the ring secret, or --data DIR on the machine of the daemon',
    { cause: error }
  )
}
