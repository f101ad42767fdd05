// A libp2p node that breaks the rules below our streams: it gives a test the encrypted connection under the muxer.
import type { Connection, MessageStream, StreamMuxerFactory } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { newPrivateKey } from '../../lib/network/identity.js'
import { transportOptions } from '../../lib/network/libp2p-options.js'
import { daemonSecrets, Keyring, OPEN_SECRET, type Role } from '../../lib/network/secrets.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'

export interface RawPeer {
  readonly node: Libp2p
  /** Below each muxer: bytes sent here are yamux frames, or are not. */
  readonly wires: MessageStream[]
  dial(address: string): Promise<Connection>
  stop(): Promise<void>
}

export interface RawPeerOptions {
  readonly deaf?: boolean
  /** What it is admitted as. */
  readonly role?: Role
}

/** A deaf peer reads nothing, so its own muxer does not end the connection because of an answer. */
export async function rawPeer({ deaf = false, role = 'member' }: RawPeerOptions = {}): Promise<RawPeer> {
  const wires: MessageStream[] = []
  const create = yamux({ enableKeepAlive: false })
  const capture = (): StreamMuxerFactory => {
    const factory = create()
    return {
      protocol: factory.protocol,
      createStreamMuxer(wire) {
        wires.push(wire)
        return factory.createStreamMuxer(deaf ? withoutMessages(wire) : wire)
      }
    }
  }
  const keyring = new Keyring(daemonSecrets([OPEN_SECRET]))
  const admission = { clock: systemClock, keyring, speaks: role, accepts: [] }
  const options = transportOptions(await newPrivateKey(systemRandom), admission)
  const node = await createLibp2p({ ...options, streamMuxers: [capture] })
  await node.start()
  return {
    node,
    wires,
    dial: (address) => node.dial(multiaddr(address), { force: true }),
    stop: async () => node.stop()
  }
}

function withoutMessages(wire: MessageStream): MessageStream {
  wire.addEventListener('message', () => {})
  return new Proxy(wire, {
    get(target, name) {
      if (name === 'addEventListener') {
        return (type: 'close', listener: () => void) => {
          if ((type as string) !== 'message') target.addEventListener(type, listener)
        }
      }
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' && name !== 'log' ? value.bind(target) : value
    }
  })
}

/** A yamux header. */
export function header(type: number, flags: number, streamId: number, length: number, version = 0): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(12))
  bytes.setUint8(0, version)
  bytes.setUint8(1, type)
  bytes.setUint16(2, flags)
  bytes.setUint32(4, streamId)
  bytes.setUint32(8, length)
  return new Uint8Array(bytes.buffer)
}
