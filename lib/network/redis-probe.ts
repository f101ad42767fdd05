// Tells whether a Redis server answers at an address where a peer was expected: a ringd has one port for peers and one
// for Redis clients, and they are easily mixed up. Used only after a dial has failed. It sends one PING.
import { connect } from 'node:net'
import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import { addressOf } from './libp2p-errors.js'

/** A Redis server on the way to an answer is as far away as the peer was. */
const PROBE_TIMEOUT_MS = 1000
/** Simple strings and errors of RESP: `+PONG`, `-NOAUTH ...`, `-ERR ...`, `-DENIED ...`. */
const REDIS_ANSWER = /^(\+PONG\r?\n|-[A-Z]+ )/
/** No address was reached, so nobody is there to ask. */
const NOT_REACHED = /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|EADDRNOTAVAIL/

/**
 * The error of a failed dial, or BAD_ADDRESS when a Redis server answers at the address. Takes 1 s at most.
 */
export async function orRedisPort(clock: Clock, address: string, error: RingdError): Promise<RingdError> {
  if (error.code !== 'UNREACHABLE' || NOT_REACHED.test(error.message)) return error
  if (!(await answersAsRedis(clock, address))) return error
  return new RingdError(
    'BAD_ADDRESS',
    `${address} is a port for Redis clients; give the port for peers, which the daemon there prints at its start ` +
      '("peers and clients") and ringd id --data DIR prints as well',
    { cause: error }
  )
}

function answersAsRedis(clock: Clock, address: string): Promise<boolean> {
  const [host, tcp] = addressOf(address)
    .getComponents()
    .filter(({ name }) => name !== 'ip6zone')
  return new Promise((resolve) => {
    const socket = connect({ host: host?.value ?? '', port: Number(tcp?.value) })
    let answer = ''
    const end = (): void => {
      timer.cancel()
      socket.destroy()
      resolve(REDIS_ANSWER.test(answer))
    }
    const timer = clock.after(PROBE_TIMEOUT_MS, end)
    socket.on('error', end)
    socket.on('close', end)
    socket.on('connect', () => socket.write('PING\r\n'))
    socket.on('data', (chunk) => {
      answer += chunk.subarray(0, 64).toString('latin1')
      if (answer.length >= 5) end()
    })
  })
}
