// The loop that reads a scan to its end in bounded chunks, and closes it in every case.
import type { Scan } from './store.js'

type Chunk = Awaited<ReturnType<Scan['next']>>

/**
 * The entries of an open scan, in key order, in chunks of about `bytesMax`. Closes the scan at its end, when the reader
 * breaks out of its loop, and when it throws. The scan is open already, so the snapshot is as old as the call.
 */
export async function* chunks(scan: Scan, bytesMax: number): AsyncGenerator<Chunk, void, void> {
  try {
    for (let chunk = await scan.next(bytesMax); chunk.length > 0; chunk = await scan.next(bytesMax)) yield chunk
  } finally {
    await scan.close()
  }
}
