// The messages of the router. Shapes only.
import type { Bytes } from '../../bytes.js'
import type { Resolution } from '../../entry/read-resolution.js'
import type { MemberId } from '../../member.js'
import type { Reply } from '../../runtime/actor.js'
import type { RingView } from '../../views/ring-view.js'
import type { Operation } from './operation.js'

export type RouterMessage =
  | { readonly type: 'view'; readonly view: RingView }
  | { readonly type: 'operation'; readonly operation: Operation }
  /** Whether room on the disk of the member is running out. */
  | { readonly type: 'room'; readonly member: MemberId; readonly isShort: boolean }
  /** Replies with what a quorum of the owners holds, or all of them when they contradict each other. */
  | { readonly type: 'entry'; readonly key: Bytes; readonly reply: Reply<Resolution> }
  /** Ends the promises of old rounds on the key: a round of its own, which changes nothing. Replies when it is done. */
  | { readonly type: 'settle'; readonly key: Bytes; readonly reply: Reply<undefined> }
  /** Replies when no operation is under way any more. */
  | { readonly type: 'drain'; readonly reply: Reply<undefined> }
