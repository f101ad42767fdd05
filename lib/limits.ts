// Sizes that both ends of a wire or a disk format rely on. Raising one is a change of format for older peers.

export const KiB = 1024
export const MiB = 1024 * KiB

/** Default bound of a key; option `maxKeyBytes` may lower it. */
export const KEY_BYTES_MAX = 64 * KiB
/** Default bound of a value; option `maxValueBytes` may lower it. */
export const VALUE_BYTES_MAX = 8 * MiB
