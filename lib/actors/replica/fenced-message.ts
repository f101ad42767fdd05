// The messages that the fence may hold until a newer view is known, and how much memory each keeps. Part of the
// replica.
import type { RepairCompareMessage, RepairEntriesMessage, RepairVersionsMessage } from './repair-messages.js'
import type {
  CloseMessage,
  CompareMessage,
  FetchMessage,
  OfferMessage,
  PrepareMessage,
  PullMessage,
  ReadMessage,
  SnapshotMessage,
  TallyMessage,
  WriteMessage
} from './replica-messages.js'

export type FencedMessage =
  | ReadMessage
  | WriteMessage
  | PrepareMessage
  | PullMessage
  | SnapshotMessage
  | FetchMessage
  | CompareMessage
  | OfferMessage
  | CloseMessage
  | TallyMessage
  | RepairCompareMessage
  | RepairVersionsMessage
  | RepairEntriesMessage

/** Of a message without lists, and of each item of a list beside its bytes. */
const ITEM_BYTES = 64

/** About how many bytes of memory the message keeps. */
export function sizeOf(message: FencedMessage): number {
  switch (message.type) {
    case 'read':
      return ITEM_BYTES + message.key.length
    case 'write':
      return ITEM_BYTES + message.key.length + message.envelope.length
    case 'prepare':
      return ITEM_BYTES * (2 + message.origins.length) + message.key.length
    case 'pull':
    case 'snapshot':
      return ITEM_BYTES * (1 + message.ranges.length)
    case 'fetch':
      return sum(message.keys, (key) => key.length)
    case 'compare':
    case 'close':
    case 'tally':
      return ITEM_BYTES + 8 * message.slots.length
    case 'offer':
      return (
        sum(message.entries, ({ dataKey, envelope }) => dataKey.length + envelope.length) +
        sum(message.versions, ({ dataKey }) => dataKey.length)
      )
    case 'repair-compare':
      return ITEM_BYTES * (1 + message.sums.length)
    case 'repair-versions':
      return sum(message.listed, ({ versions }) => ITEM_BYTES * versions.length)
    case 'repair-entries':
      return sum(message.entries, ({ dataKey, envelope }) => dataKey.length + envelope.length)
  }
}

function sum<T>(items: readonly T[], bytesOf: (item: T) => number): number {
  return items.reduce((bytes, item) => bytes + ITEM_BYTES + bytesOf(item), ITEM_BYTES)
}
