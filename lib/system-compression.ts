// Compression by zstd, on the threads of libuv.
import { constants, type ZstdOptions, zstdCompress, zstdDecompress } from 'node:zlib'
import type { Compression } from './compression.js'
import { RingdError } from './errors.js'

/** The quickest level. What moves is limited by the processors more often than by the network. */
export const ZSTD_OPTIONS: ZstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

export const systemCompression: Compression = {
  compress: (bytes) =>
    new Promise((resolve, reject) => {
      const options = { ...ZSTD_OPTIONS, chunkSize: chunkFor(bytes.length) }
      zstdCompress(bytes, options, (error, result) => (error === null ? resolve(result) : reject(error)))
    }),
  decompress: (bytes, length) =>
    new Promise((resolve, reject) => {
      const options = { maxOutputLength: Math.max(1, length), chunkSize: chunkFor(length) }
      zstdDecompress(bytes, options, (error, result) => {
        if (error === null && result.length === length) resolve(result)
        else reject(notWhole(length, error))
      })
    })
}

export function notWhole(length: number, cause: unknown): RingdError {
  return new RingdError('BAD_MESSAGE', `compressed bytes do not make the ${length} bytes that were announced`, {
    cause
  })
}

/** The result is put together from chunks: one is enough. zlib allows at least 64 bytes. */
function chunkFor(length: number): number {
  return Math.max(64, length)
}
