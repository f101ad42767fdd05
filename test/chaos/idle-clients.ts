// Clients that log in at a Redis door and then do nothing. They take descriptors of the daemon.
import { connect, type Socket } from 'node:net'
import type { DoorPlan } from './client-door.js'

/** At once, so that the backlog of the door holds them. */
const BATCH = 100
const BATCH_MS = 100

export class IdleClients {
  readonly #sockets: Socket[] = []
  #isOver = false

  /** Connects up to `count` of them; those that the door refuses count too. */
  async open({ host, respPort, password }: DoorPlan, count: number): Promise<void> {
    for (let opened = 0; opened < count && !this.#isOver; opened += BATCH) {
      for (let i = 0; i < BATCH; i++) this.#connect(host, respPort, password)
      await new Promise((resolve) => setTimeout(resolve, BATCH_MS))
    }
  }

  close(): void {
    this.#isOver = true
    for (const socket of this.#sockets.splice(0)) socket.destroy()
  }

  #connect(host: string, port: number, password: string | undefined): void {
    const socket = connect({ host, port })
    socket.on('error', () => {})
    socket.on('data', () => {})
    if (password !== undefined) socket.on('connect', () => socket.write(`AUTH ${password}\r\n`))
    this.#sockets.push(socket)
  }
}
