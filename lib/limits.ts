// Limits that both ends of the wire, or the disk format, depend on. A higher limit is a change of format: older peers
// refuse.

export const KiB = 1024
export const MiB = 1024 * KiB

/** The default limit of a key. The option `maxKeyBytes` may lower it. */
export const KEY_BYTES_MAX = 64 * KiB
/** The default limit of a value. The option `maxValueBytes` may lower it. */
export const VALUE_BYTES_MAX = 8 * MiB
