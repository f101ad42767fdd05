// The messages of the hints actor. Shapes only.

import type { Bytes } from '../../bytes.js'
import type { Envelope } from '../../entry/envelope.js'
import type { RingdError } from '../../errors.js'
import type { MemberId } from '../../member.js'
import type { RingView } from '../../views/ring-view.js'
import type { NumberedHint } from './hint-queue.js'
import type { RoundReport } from './hint-replay.js'

export type HintsMessage =
  | { readonly type: 'view'; readonly view: RingView }
  | KeepMessage
  /** A link to the member came up. */
  | { readonly type: 'linked'; readonly member: MemberId }
  | HintsEvent

/** The write is acknowledged, and the member, an owner of the key, has not taken it. */
export interface KeepMessage {
  readonly type: 'keep'
  readonly member: MemberId
  readonly key: Bytes
  readonly envelope: Envelope
}

/** Messages of the actor to itself. */
export type HintsEvent =
  | { readonly type: 'tick' }
  /** The group is on the disk, or `error` says why not. */
  | { readonly type: 'written'; readonly group: readonly NumberedHint[]; readonly error: RingdError | undefined }
  /** A replay round has ended. */
  | { readonly type: 'ended'; readonly member: MemberId; readonly report: RoundReport | RingdError }
  /** The hints that were on the disk at the start are counted; `error`: only some of them, the others follow later. */
  | { readonly type: 'counted'; readonly error: RingdError | undefined }
