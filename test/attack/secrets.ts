// The secrets of the ring under attack, and the operator's way in. Owns no process.
import type { RunInfo } from '../../daemon/run-file.js'
import { RingdClient } from '../../lib/client/client.js'
import type { IdReport, StatusReport } from '../../lib/client/reports.js'
import { connectClient } from '../../lib/network/client-link.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'

/** Hex. */
export interface RingSecrets {
  readonly file: string
  readonly ring: string
  readonly data: string
}

/** Makes the secrets of a ring. */
export function ringSecrets(_folder: string): RingSecrets {
  return { file: '', ring: '', data: '' }
}

/** The flags with which a daemon gets its ring secret. */
export function secretFlags(_secrets: RingSecrets): { readonly flags: readonly string[] } {
  return { flags: [] }
}

/** Longer than a daemon under attack may need, so that a slow answer is not taken for none. */
const ANSWER_MS_MAX = 10_000
const SEAMS = { clock: systemClock, random: systemRandom }

/** The operator's connection to one daemon. It stays open between calls, as a monitor's does. */
export class OperatorLink {
  #client: Promise<RingdClient> | undefined

  readonly #data: string

  constructor(data: string) {
    this.#data = data
  }

  async status(info: RunInfo): Promise<StatusReport> {
    return (await this.#connected(info)).status()
  }

  async id(info: RunInfo): Promise<IdReport> {
    return (await this.#connected(info)).id()
  }

  /** Opens a connection of its own, asks once, and closes it, as `ringd status` does. */
  async askOnce(info: RunInfo): Promise<void> {
    const client = await this.#connect(info)
    try {
      await client.status()
    } finally {
      await client.close()
    }
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.then((open) => open.close()).catch(() => {})
  }

  #connected(info: RunInfo): Promise<RingdClient> {
    if (this.#client !== undefined) return this.#client
    const connecting = this.#connect(info)
    this.#client = connecting
    connecting.catch(() => {
      if (this.#client === connecting) this.#client = undefined
    })
    return connecting
  }

  #connect({ multiaddrs }: RunInfo): Promise<RingdClient> {
    const dial = (address: string, timeoutMs: number) => connectClient(SEAMS, { address, timeoutMs })
    return RingdClient.connect(multiaddrs, { dial, timeoutMs: ANSWER_MS_MAX })
  }
}
