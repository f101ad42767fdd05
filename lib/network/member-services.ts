// Serves the protocols of a libp2p service (identify, gossipsub) to members only: other connections get their stream
// aborted before the service sees it.
// libp2p's own middleware cannot do this: with each inbound stream it appends the handler to the list that was
// registered, so every later stream would be handled several times.
import type { Connection, Stream } from '@libp2p/interface'
import { RingdError } from '../errors.js'
import { roleOf } from './secured-noise.js'

type Handler = (stream: Stream, connection: Connection) => void | Promise<void>

/** Throws NOT_ALLOWED; libp2p then aborts the stream. */
export function requireMember(connection: Connection): void {
  if (roleOf(connection) !== 'member') throw new RingdError('NOT_ALLOWED', 'this protocol is for members of the ring')
}

/** The same service, with a registrar that puts the check before each of its handlers. */
export function membersOnly<Components extends { readonly registrar: object }, Service>(
  make: (components: Components) => Service
): (components: Components) => Service {
  return (components) => {
    const registrar = new Proxy(components.registrar, {
      get: (target, name) => (name === 'handle' ? handleGuarded(target) : methodOf(target, name))
    })
    return make(
      new Proxy(components, {
        get: (target, name) => (name === 'registrar' ? registrar : Reflect.get(target, name, target))
      })
    )
  }
}

function handleGuarded(registrar: object) {
  return (protocol: string, handler: Handler, ...more: unknown[]): unknown => {
    const guarded: Handler = (stream, connection) => {
      requireMember(connection)
      return handler(stream, connection)
    }
    return methodOf(registrar, 'handle')(protocol, guarded, ...more)
  }
}

/** A method of an object with private fields works on that object only, not on its proxy. */
function methodOf(target: object, name: string | symbol) {
  const found = Reflect.get(target, name, target)
  return typeof found === 'function' ? found.bind(target) : found
}
