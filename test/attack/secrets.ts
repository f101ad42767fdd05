// The secrets of the ring under attack, and the operator's way in. Owns no process.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunInfo } from '../../daemon/run-file.js'
import { fromHex, toHex } from '../../lib/bytes.js'
import { RingdClient } from '../../lib/client/client.js'
import type { IdReport, StatusReport } from '../../lib/client/reports.js'
import { connectClient } from '../../lib/network/client-link.js'
import { clientSecret, handshakeKey, newSecret, type Secret, secretText } from '../../lib/network/secrets.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'

/** Hex. */
export interface RingSecrets {
  readonly file: string
  readonly ring: string
  readonly data: string
  /** The public name of the ring secret for connections of members. */
  readonly memberId: string
}

/** Makes the secrets of a ring, and the file from which the daemons read them. */
export function ringSecrets(folder: string): RingSecrets {
  const ring = newSecret(systemRandom)
  const file = join(folder, 'ring.secret')
  writeFileSync(file, `${secretText(ring)}\n`, { mode: 0o600 })
  const memberId = toHex(handshakeKey(ring, 'member').id)
  return { file, ring: secretText(ring), data: secretText(clientSecret(ring, 'data')), memberId }
}

/** The flags with which a daemon gets its ring secret. */
export function secretFlags({ file }: RingSecrets): readonly string[] {
  return ['--secret-file', file]
}

/** Longer than a daemon under attack may need, so that a slow answer is not taken for none. */
const ANSWER_MS_MAX = 10_000
const SEAMS = { clock: systemClock, random: systemRandom }

/** The operator's connection to one daemon. It stays open between calls, as a monitor's does. */
export class OperatorLink {
  readonly #ringSecret: string
  #client: Promise<RingdClient> | undefined

  constructor(ringSecret: string) {
    this.#ringSecret = ringSecret
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
    const ring = fromHex(this.#ringSecret) as Secret
    const secret = { right: 'operator' as const, secrets: [clientSecret(ring, 'operator')] }
    const dial = (address: string, timeoutMs: number) => connectClient(SEAMS, { address, timeoutMs, secret })
    return RingdClient.connect(multiaddrs, { dial, timeoutMs: ANSWER_MS_MAX })
  }
}
