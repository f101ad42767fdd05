// The network of the daemons of a campaign. Either each daemon has a network namespace, linked by a veth pair to a
// bridge in the namespace of this process, or all daemons use loopback addresses. Owns namespaces, links, cuts and
// small disks. A cut is silent and works in one direction. The sender gets a wrong hardware address for the receiver,
// so its packets are lost on the bridge, as in a switch that drops them. Connections see neither an error nor a reset.
// Everything is made inside the private network and mount namespaces of this process (see `enter` in scripts/chaos.ts),
// so the system removes it when the process ends, also when it is killed.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const PEER_PORT = 4710
export const RESP_PORT = 4712
/** Given as --resp-password: outside loopback the RESP door requires a password. */
const PASSWORD = 'chaos'
/** The ring secret of every campaign: outside loopback a daemon requires one. */
export const SECRET = 'c4a05'.padEnd(64, '0')
const COMMAND_MS_MAX = 10_000
const NOBODY_MAC = '02:00:00:00:00:fe'
/** ringd refuses writes below 64 MiB of free space; a campaign writes some MiB. */
const DISK_MIB = 256
const FILL_CHUNK = Buffer.alloc(1 << 20)

export interface Address {
  readonly host: string
  readonly password: string | undefined
}

export interface HostNetwork {
  /** Whether each daemon has its own network, which can be cut. */
  readonly hasNetwork: boolean
  addressOf(name: string): Address
  /** The start of a daemon's command line. */
  prefix(name: string): readonly string[]
  /** From now on no packet of `from` reaches `to`. Cuts are counted, so they may overlap. */
  cut(from: string, to: string): void
  mend(from: string, to: string): void
}

/** Daemons on 127.x.y.1, 127.x.y.2 ...; x and y come from the pid, so that two campaigns can use the same ports. */
export class LoopbackHostNetwork implements HostNetwork {
  readonly hasNetwork = false
  readonly #names: readonly string[]

  constructor(names: readonly string[]) {
    this.#names = names
  }

  addressOf(name: string): Address {
    const { pid } = process
    return { host: `127.${64 + ((pid >> 8) & 63)}.${pid & 255}.${this.#names.indexOf(name) + 1}`, password: undefined }
  }

  prefix(): readonly string[] {
    return guard()
  }

  cut(): void {}
  mend(): void {}
}

interface Wire {
  readonly namespace: string
  readonly host: string
  readonly mac: string
}

/** A bridge in this namespace, and one namespace for each daemon. */
export class NamespaceHostNetwork implements HostNetwork {
  readonly hasNetwork = true
  readonly #wires = new Map<string, Wire>()
  readonly #cuts = new Map<string, number>()

  /** Throws when `ip` fails. */
  constructor(names: readonly string[]) {
    const bridge = `ch${process.pid}`
    ip('link', 'set', 'lo', 'up')
    ip('link', 'add', bridge, 'type', 'bridge')
    ip('addr', 'add', '10.77.0.1/24', 'dev', bridge)
    ip('link', 'set', bridge, 'up')
    for (const [index, name] of names.entries()) this.#add(name, index + 2, bridge)
  }

  #add(name: string, number: number, bridge: string): void {
    const namespace = `chaos-${process.pid}-${name}`
    const mac = `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`
    const host = `10.77.0.${number}`
    ip('netns', 'add', namespace)
    ip('link', 'add', `ve-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', namespace)
    ip('link', 'set', `ve-${name}`, 'master', bridge, 'up')
    ip('-n', namespace, 'addr', 'add', `${host}/24`, 'dev', 'eth0')
    ip('-n', namespace, 'link', 'set', 'lo', 'up')
    ip('-n', namespace, 'link', 'set', 'eth0', 'up')
    this.#wires.set(name, { namespace, host, mac })
  }

  addressOf(name: string): Address {
    return { host: this.#wire(name).host, password: PASSWORD }
  }

  prefix(name: string): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this.#wire(name).namespace}`, '--', ...guard()]
  }

  cut(from: string, to: string): void {
    const cuts = this.#cuts.get(`${from} ${to}`) ?? 0
    this.#cuts.set(`${from} ${to}`, cuts + 1)
    if (cuts === 0) this.#point(from, to, NOBODY_MAC)
  }

  mend(from: string, to: string): void {
    const cuts = this.#cuts.get(`${from} ${to}`) ?? 0
    this.#cuts.set(`${from} ${to}`, Math.max(0, cuts - 1))
    if (cuts === 1) this.#point(from, to, this.#wire(to).mac)
  }

  #point(from: string, to: string, mac: string): void {
    const { namespace } = this.#wire(from)
    const { host } = this.#wire(to)
    ip('-n', namespace, 'neigh', 'replace', host, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent')
  }

  #wire(name: string): Wire {
    const wire = this.#wires.get(name)
    if (wire === undefined) throw new Error(`there is no namespace for ${name}`)
    return wire
  }
}

/** Mounts a small disk on `folder`; it ends with the mount namespace of this process. Throws when not root. */
export function mountDisk(folder: string): void {
  mkdirSync(folder, { recursive: true })
  run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', folder])
}

export function unmountDisk(folder: string): void {
  run('umount', ['--lazy', folder])
}

/** Fills the disk of `folder`: takes as many bytes as are free now, and leaves what its users give back meanwhile. */
export function fillDisk(folder: string): void {
  const file = join(folder, 'filler')
  const { bavail, bsize } = statfsSync(folder)
  try {
    for (let left = bavail * bsize; left > 0; left -= FILL_CHUNK.length) {
      writeFileSync(file, FILL_CHUNK.subarray(0, Math.min(left, FILL_CHUNK.length)), { flag: 'a' })
    }
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown
  }
}

export function freeDisk(folder: string): void {
  const file = join(folder, 'filler')
  if (!existsSync(file)) return
  truncateSync(file)
  rmSync(file)
}

/** Makes daemons end with this process, when the system has setpriv. */
function guard(): readonly string[] {
  return existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] : []
}

function ip(...argv: string[]): void {
  run('ip', argv)
}

function run(command: string, argv: readonly string[]): void {
  try {
    execFileSync(command, argv, { stdio: ['ignore', 'pipe', 'pipe'], timeout: COMMAND_MS_MAX })
  } catch (thrown) {
    const { stderr, message } = thrown as Error & { stderr?: Buffer }
    throw new Error(`${command} ${argv.join(' ')}: ${stderr?.toString().trim() || message}`)
  }
}
