// Limits that both ends of the wire, or the disk format, depend on. A higher limit is a change of format: older peers
// refuse.

export const KiB = 1024
export const MiB = 1024 * KiB

/** The default limit of a key. The option `maxKeyBytes` may lower it. */
export const KEY_BYTES_MAX = 64 * KiB
/** The default limit of a value. The option `maxValueBytes` may lower it. */
export const VALUE_BYTES_MAX = 8 * MiB

/** The head of one frame of a block stream. */
export const BLOCK_HEAD_BYTES_MAX = 64 * KiB
/** The body of one frame of a block stream: the largest entry with its key and envelope, and room for more. */
export const BLOCK_BODY_BYTES_MAX = VALUE_BYTES_MAX + KEY_BYTES_MAX + 64 * KiB

/** Members of one view. Every peer keeps a connection with every other one. */
export const MEMBERS_MAX = 1024
/** Tokens of one member. */
export const TOKENS_MAX = 4096
/** The weight of a member, relative to others. */
export const WEIGHT_MAX = 16
/** Copies of each entry. Every owner of a slot answers for it; more owners only make writes slower. */
export const REPLICAS_MAX = 7
/** Operations that a round asks an owner about: its own attempts. And the versions of each that an owner tells. */
export const ORIGINS_MAX = 16
export const TOLD_VERSIONS_MAX = 64
