// The client's end of /ringd/client/1.0.0.
import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import type { Random } from '../random.js'
import type { Body } from './network.js'

export interface ClientLinkDeps {
  readonly clock: Clock
  readonly random: Random
}

export interface ClientLinkOptions {
  readonly address: string
  readonly timeoutMs?: number
}

export async function connectClient(
  _deps: ClientLinkDeps,
  options: ClientLinkOptions
): Promise<{ request(body: Body, timeoutMs: number): Promise<Body>; close(): Promise<void> }> {
  throw new RingdError('UNREACHABLE', `${options.address} does not answer`)
}
