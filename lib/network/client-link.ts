// The client's end of /ringd/client/1.0.0.
import { RingdError } from '../errors.js'
import type { Body } from './network.js'

export interface ClientLinkOptions {
  readonly address: string
  readonly timeoutMs: number
}

export async function connectClient(
  options: ClientLinkOptions
): Promise<{ request(body: Body, timeoutMs: number): Promise<Body>; close(): Promise<void> }> {
  throw new RingdError('UNREACHABLE', `${options.address} does not answer`)
}
