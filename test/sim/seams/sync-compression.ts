// Compression for the simulator: the same as the system's, but at once, so that a run repeats.
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Compression } from '../../../lib/compression.js'
import { notWhole, ZSTD_OPTIONS } from '../../../lib/system-compression.js'

export const syncCompression: Compression = {
  compress: async (bytes) => zstdCompressSync(bytes, ZSTD_OPTIONS),
  async decompress(bytes, length) {
    let result: Uint8Array
    try {
      result = zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, length) })
    } catch (thrown) {
      throw notWhole(length, thrown)
    }
    if (result.length !== length) throw notWhole(length, undefined)
    return result
  }
}
