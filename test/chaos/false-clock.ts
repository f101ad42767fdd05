// Loaded into a daemon before its own code (`node --import`): the wall clock of its machine, which may be wrong. The
// file that CHAOS_CLOCK names holds by how many ms it is ahead. Elapsed time stays right, as on a real machine.
import { readFileSync } from 'node:fs'

const LOOK_MS = 50
const file = process.env['CHAOS_CLOCK']
const now = Date.now

if (file !== undefined) {
  let aheadMs = 0
  let lookAt = 0
  Date.now = () => {
    const elapsed = performance.now()
    if (elapsed >= lookAt) {
      lookAt = elapsed + LOOK_MS
      aheadMs = aheadOf(file)
    }
    return now() + aheadMs
  }
}

/** 0 when there is no such file. */
function aheadOf(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8')) || 0
  } catch {
    return 0
  }
}
