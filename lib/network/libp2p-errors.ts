// The errors of libp2p as RingdErrors. Pure. Some failures of libp2p differ only in the name or message of the error.
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { RingdError } from '../errors.js'
import { NO_COMMON_SECRET } from './secured-noise.js'

/** A host, a TCP port, and perhaps a peer id. Others may stand for many addresses, or for another way to connect. */
const TCP_ADDRESS = /^(?:ip6zone )?(?:ip4|ip6|dns|dns4|dns6) tcp(?: p2p)?$/

/** A multiaddr over TCP, with or without a peer id. Throws BAD_ADDRESS. */
export function addressOf(text: string): Multiaddr {
  let address: Multiaddr
  try {
    address = multiaddr(text)
  } catch (thrown) {
    throw new RingdError('BAD_ADDRESS', `${text} is no multiaddr, such as /ip4/127.0.0.1/tcp/4100`, { cause: thrown })
  }
  const names = address.getComponents().map(({ name }) => name)
  if (!names.includes('tcp')) throw new RingdError('BAD_ADDRESS', `${text} names no TCP port`)
  if (!TCP_ADDRESS.test(names.join(' '))) {
    throw new RingdError('BAD_ADDRESS', `${text} is more than a host, a TCP port and a peer id`)
  }
  return address
}

/** What libp2p says when the peer that answers, or the peer id in the address, is its own. */
const OWN = /\bdial(?:ing)? self\b/i

/**
 * OWN_ADDRESS when this node itself answers, WRONG_SECRET when the peer has none of our secrets, WRONG_VERSION when it
 * supports none of our protocols, otherwise UNREACHABLE.
 */
export function dialError(address: string, thrown: unknown): RingdError {
  const { name, message } = thrown instanceof Error ? thrown : { name: '', message: String(thrown) }
  // A dial of several addresses fails with the errors of all of them.
  const messages = thrown instanceof AggregateError ? thrown.errors.map(String) : [message]
  if (messages.some((one) => OWN.test(one))) {
    return new RingdError('OWN_ADDRESS', `${address} is an address of this peer itself`, { cause: thrown })
  }
  if (messages.some((one) => one.includes(NO_COMMON_SECRET))) {
    return new RingdError(
      'WRONG_SECRET',
      `the peer at ${address} does not accept our secret; compare the secret files of both`,
      { cause: thrown }
    )
  }
  if (name === 'UnsupportedProtocolError' || messages.some((one) => /could not negotiate \/ringd\//.test(one))) {
    return new RingdError('WRONG_VERSION', `the peer at ${address} does not speak this version of ringd`, {
      cause: thrown
    })
  }
  return new RingdError('UNREACHABLE', `no connection with ${address}: ${message}`, { cause: thrown })
}

/**
 * PORT_IN_USE, or BAD_ADDRESS when the address is not one of this machine or may not be used. The message names the
 * address.
 */
export function listenError(thrown: unknown): RingdError {
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  const taken = /(\S+): (?:Error: )?listen EADDRINUSE/.exec(message)
  if (taken !== null)
    return new RingdError('PORT_IN_USE', `${taken[1]} is in use by another process`, { cause: thrown })
  const refused = /(\S+): (?:Error: )?listen (EADDRNOTAVAIL|EACCES|EINVAL)/.exec(message)
  if (refused !== null) {
    return new RingdError('BAD_ADDRESS', `${refused[1]} cannot be listened on: ${refused[2]}`, { cause: thrown })
  }
  return new RingdError('BAD_ADDRESS', `cannot listen: ${message.replaceAll(/\s+/g, ' ')}`, { cause: thrown })
}
