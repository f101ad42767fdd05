// The hash of a run, and its readable trace. Every observation and every delivery goes into the hash, in order, so two
// runs of one plan have the same hash.
import { createHash, type Hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Observation, Stored } from './observation.js'

export class Trace {
  readonly #hash: Hash = createHash('sha256')
  readonly #read: ((line: string) => void) | undefined
  /** The checksum of all packets so far. */
  #packets = 0
  readonly #time = new Float64Array(1)
  observations = 0
  deliveries = 0

  /** `read` is called with each line of the trace. */
  constructor(read?: (line: string) => void) {
    this.#read = read
  }

  /** The hash of the run so far. */
  digest(): string {
    return this.#hash.copy().update(String(this.#packets)).digest('hex')
  }

  delivered(at: number, from: string, to: string, bytes: Uint8Array): void {
    this.deliveries += 1
    this.#time[0] = at
    this.#packets = crc32(bytes, crc32(new Uint8Array(this.#time.buffer), crc32(from + to, this.#packets)))
  }

  observed(observation: Observation): void {
    this.observations += 1
    const text = textOf(observation)
    this.#hash.update(`${this.#packets} ${observation.at} ${text}\n`)
    this.#read?.(`${observation.at.toFixed(3).padStart(12)}  ${text}`)
  }

  /** An event that is no observation: a step of the plan, or the end of a node. */
  said(at: number, text: string): void {
    this.#hash.update(`${at} ${text}\n`)
    this.#read?.(`${at.toFixed(3).padStart(12)}  ${text}`)
  }
}

function textOf(observation: Observation): string {
  switch (observation.type) {
    case 'invoked': {
      const { operation, client, node, kind, key, value = '' } = observation
      const steps = observation.steps === undefined ? '' : JSON.stringify([observation.checks, observation.steps])
      return `#${operation} client ${client} at ${node}: ${kind} ${key} ${value}${until(observation)}${steps}`
    }
    case 'answered': {
      const { operation, error, value, existed } = observation
      const answers = observation.answers === undefined ? '' : JSON.stringify(observation.answers)
      return `#${operation} answered ${error ?? value ?? existed ?? ''}${answers}`
    }
    case 'stored':
      return `stored ${name(observation.member)} ${entryText(observation)}`
    case 'erased':
      return `erased ${name(observation.member)} ${observation.key}`
    case 'image': {
      const entries = Array.from(observation.entries, ([key, { version, value }]) => `${key} = ${value} @ ${version}`)
      return `image ${name(observation.member)} ${entries.join(', ')}`
    }
    case 'lost':
      return `lost ${name(observation.member)}`
    case 'view':
      return `view ${observation.view} known by ${name(observation.member)}: ${observation.digest}`
    case 'picture': {
      const { node, member, view, windows } = observation
      const listed = Array.from(windows, ([slot, window]) => `${slot}: ${window.map(configOf).join(' ')}`)
      return `picture of ${node} ${name(member)} in view ${view}; ${listed.join(', ')}`
    }
    case 'ready':
      return `ready ${name(observation.member)} slot ${observation.slot} config ${observation.config}`
    case 'started':
    case 'killed':
      return `${observation.type} ${observation.node}`
    case 'healed':
      return 'everything heals'
    case 'load': {
      const { node, mailbox, queuedBytes, timers } = observation
      return `load ${node} mailbox ${mailbox} queued ${queuedBytes} timers ${timers}`
    }
  }
}

function entryText({ key, value, version, expiresAt }: Stored): string {
  return `${key} = ${value} @ ${version}${until({ expiresAt })}`
}

function until({ expiresAt }: Pick<Stored, 'expiresAt'>): string {
  return expiresAt === undefined ? '' : ` until ${expiresAt}`
}

/** The first digits of a member id: enough to distinguish the members of a run. */
function name(member: string): string {
  return member.slice(0, 6)
}

function configOf({ begin, owners }: { readonly begin: number; readonly owners: readonly string[] }): string {
  return `${begin}(${owners.map(name).join()})`
}
