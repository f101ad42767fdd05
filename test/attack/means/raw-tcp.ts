// A TCP connection of an attacker: bytes out, bytes in, nothing else. Every connection ends with the attack.
import { connect, type Socket } from 'node:net'
import type { Context } from '../attack.js'

const CONNECT_MS_MAX = 3000

/** Resolves with an open connection. Rejects when it cannot be opened within three seconds. */
export function rawTcp({ signal }: Pick<Context, 'signal'>, host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Error('the attack is over'))
    const socket = connect({ host, port })
    const timer = setTimeout(() => socket.destroy(new Error('no connection')), CONNECT_MS_MAX)
    const end = () => socket.destroy()
    signal.addEventListener('abort', end, { once: true })
    socket.on('error', reject)
    socket.on('close', () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      reject(new Error('closed'))
    })
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(socket)
    })
  })
}

/** Resolves with true when the other end closes the connection within `ms`. */
export function closesWithin(socket: Socket, ms: number): Promise<boolean> {
  if (socket.destroyed) return Promise.resolve(true)
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms)
    const closed = () => {
      clearTimeout(timer)
      resolve(true)
    }
    socket.once('close', closed)
    socket.once('end', closed)
    socket.resume()
  })
}

/** Writes, and waits until the bytes have left this process. False when the connection has ended. */
export function push(socket: Socket, bytes: Uint8Array | string): Promise<boolean> {
  if (socket.destroyed || !socket.writable) return Promise.resolve(false)
  return new Promise((resolve) => {
    const done = () => {
      socket.off('close', ended)
      resolve(!socket.destroyed)
    }
    const ended = () => resolve(false)
    socket.once('close', ended)
    socket.write(bytes, done)
  })
}
