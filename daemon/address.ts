// Parses the addresses that users type: multiaddrs for peers, host:port for Redis clients. Pure.
// Refuses an address that cannot work, with the reason, before anything dials or binds it. Throws BAD_ADDRESS only.
import { isIP } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { RingdError } from '../lib/errors.js'

export interface HostPort {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

const ADDRESS_LENGTH_MAX = 1024
const HOST_PROTOCOLS = ['ip4', 'ip6', 'dns', 'dns4', 'dns6']
/** Addresses to listen on that stand for all addresses of the machine. */
const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::'])
/** A peer id in base58. The multiaddr parser does not check it: it accepts any text after /p2p/. */
const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]{46,60}$/
const HOST_NAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$/

/** Checks an address to dial: host, tcp, port, and optionally /p2p/ with the id of the peer. Returns it unchanged. */
export function parsePeerAddress(text: string): string {
  const protocols = components(text)
  const [host, tcp, peer, ...more] = protocols
  const shaped = HOST_PROTOCOLS.includes(host?.name ?? '') && tcp?.name === 'tcp' && more.length === 0
  if (!shaped || (peer !== undefined && peer.name !== 'p2p')) {
    throw bad(text, 'expected a multiaddr like /ip4/127.0.0.1/tcp/4710 or /dns4/example.org/tcp/4710/p2p/12D3Koo...')
  }
  if (tcp.value === '0') throw bad(text, 'nothing listens on port 0; give the port of the peer')
  if (peer !== undefined && !PEER_ID.test(peer.value ?? ''))
    throw bad(text, `${peer.value} is not a peer id; ringd id prints the id of a peer`)
  return text
}

/**
 * Checks an address by which other peers reach this one: host, tcp and a port, nothing else. Returns it unchanged. The
 * host must name a machine: nobody can dial 0.0.0.0.
 */
export function parseAnnouncedAddress(text: string): string {
  const [host, tcp, ...more] = components(text)
  const shaped = HOST_PROTOCOLS.includes(host?.name ?? '') && tcp?.name === 'tcp' && more.length === 0
  if (!shaped) throw bad(text, 'expected a multiaddr like /ip4/203.0.113.7/tcp/4710 or /dns4/peer.example.org/tcp/4710')
  if (tcp.value === '0') throw bad(text, 'nobody can dial port 0; give the port by which others reach this peer')
  if (UNSPECIFIED.has(host?.value ?? ''))
    throw bad(text, `nobody can dial ${host?.value}; give an address of this machine`)
  return text
}

/** The peer id that an address demands; undefined when any peer may answer there. */
export function pinnedPeer(address: string): string | undefined {
  return components(address).find(({ name }) => name === 'p2p')?.value
}

/** Whether only processes of this machine reach the peer at a multiaddr. */
export function isLoopbackAddress(address: string): boolean {
  return isLoopback(components(address)[0]?.value ?? '')
}

/** Checks an address to listen on: an IP address, tcp and a port, nothing else. Returns it unchanged. */
export function parseListenAddress(text: string): string {
  const protocols = components(text)
  const shaped = protocols.length === 2 && /^ip[46]$/.test(protocols[0]?.name ?? '') && protocols[1]?.name === 'tcp'
  if (!shaped) throw bad(text, 'expected a multiaddr like /ip4/127.0.0.1/tcp/4710 or /ip6/::/tcp/0')
  return text
}

function components(text: string): ReadonlyArray<{ readonly name: string; readonly value?: string | undefined }> {
  if (text.length > ADDRESS_LENGTH_MAX) throw bad(text.slice(0, 60), `longer than ${ADDRESS_LENGTH_MAX} characters`)
  try {
    return multiaddr(text).getComponents()
  } catch (thrown) {
    throw bad(text, thrown instanceof Error ? thrown.message : String(thrown), thrown)
  }
}

/** `127.0.0.1:4712`, `[::1]:4712` or `localhost:4712`. */
export function parseHostPort(text: string): HostPort {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  if (match === null) throw bad(text, 'expected HOST:PORT like 127.0.0.1:4712 or [::1]:4712')
  const [, bracketed, plain, digits] = match
  const host = bracketed ?? plain ?? ''
  const port = Number(digits)
  const known = bracketed !== undefined ? isIP(bracketed) === 6 : isIP(host) === 4 || isHostName(host)
  if (!known) throw bad(text, `${host} is neither an IP address nor a host name`)
  if (port > 65535) throw bad(text, `port ${port} is too large; the largest is 65535`)
  return { host, port }
}

/** The form that `parseHostPort` reads: an IPv6 address has brackets. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** A text of digits and dots only is a mistyped IPv4 address, not a host name. */
function isHostName(host: string): boolean {
  return HOST_NAME.test(host) && !/^[\d.]+$/.test(host)
}

/** Whether only processes of this machine can connect. A name other than localhost may resolve to any address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function bad(text: string, reason: string, cause?: unknown): RingdError {
  return new RingdError('BAD_ADDRESS', `${JSON.stringify(text)}: ${reason}`, { cause })
}
