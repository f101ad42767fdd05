// Block streams between nodes of a ring of hundreds: bytes travel as they are, without windows.
import type { Clock } from '../../../lib/clock.js'
import type { RingdError } from '../../../lib/errors.js'
import { silent } from '../../../lib/logger.js'
import { noMetrics } from '../../../lib/metrics.js'
import { type BlockConnection, BlockTable } from '../../../lib/network/block-table.js'
import { ByteBudget, MEMBER_BUDGET } from '../../../lib/network/byte-budget.js'
import type { ByteStream, ByteStreamUser } from '../../../lib/network/link-options.js'

export function newBlockTable(clock: Clock): BlockTable {
  const received = noMetrics.counter('ringd_network_received_bytes', 'bytes that other peers sent', { stream: 'pull' })
  return new BlockTable({ clock, log: silent, budget: new ByteBudget(MEMBER_BUDGET), received })
}

export interface BlockWay {
  /** The other end opens its end of a stream, or throws. */
  readonly accept: (bytes: ByteStream) => ByteStreamUser
  /** Calls `arrive` at the other end, or at this one, after the delay of the way; never when one of them is gone. */
  readonly there: (arrive: () => void) => void
  readonly back: (arrive: () => void) => void
}

export function blockConnection({ accept, there, back }: BlockWay): BlockConnection {
  return {
    openBlocks: (attach, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as RingdError))
        let opener: ByteStreamUser | undefined
        let other: ByteStreamUser | undefined
        const refuse = (thrown: unknown) => {
          there(() => other?.ended('the stream was reset by the peer'))
          reject(thrown as RingdError)
        }
        there(() => {
          try {
            other = accept(bytesOver(back, () => opener))
          } catch (thrown) {
            back(() => reject(thrown as RingdError))
            return
          }
          back(() => {
            try {
              opener = attach(bytesOver(there, () => other))
              resolve()
            } catch (thrown) {
              refuse(thrown)
            }
          })
        })
      })
  }
}

function bytesOver(way: (arrive: () => void) => void, user: () => ByteStreamUser | undefined): ByteStream {
  return {
    send(bytes) {
      const copy = bytes.slice()
      way(() => user()?.received(copy))
      return true
    },
    pause() {},
    resume() {},
    close() {},
    abort: () => way(() => user()?.ended('the stream was reset by the peer'))
  }
}
