// Plants one bug of the table into compiled modules while they are loaded. Load this module first, in a separate
// process: PLANTED_BUG=name node --import dist/test/sim/bugs/plant.js ...
// The code under test contains nothing of it. Throws when the text of an edit does not occur exactly once.
import { registerHooks } from 'node:module'
import { type Bug, patched } from './bug.js'
import { BUGS } from './table.js'

const DIST = new URL('../../../', import.meta.url).href

/** The bug that is planted in this process. */
export const planted: Bug | undefined = named(process.env['PLANTED_BUG'])

const waiting = new Set(planted?.edits.map(({ file }) => file))

/** Whether every module that the bug changes was loaded. If not, the bug was not tried. */
export function isPlanted(): boolean {
  return planted !== undefined && waiting.size === 0
}

function named(name: string | undefined): Bug | undefined {
  if (name === undefined) return undefined
  const bug = BUGS.find((one) => one.name === name)
  if (bug === undefined) throw new Error(`there is no bug called ${name}`)
  return bug
}

if (planted !== undefined) {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const file = url.startsWith(DIST) ? url.slice(DIST.length) : ''
      if (!waiting.delete(file)) return loaded
      return { ...loaded, source: patched(planted, file, Buffer.from(loaded.source as Uint8Array).toString()) }
    }
  })
}
