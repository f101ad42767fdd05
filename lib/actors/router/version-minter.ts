// The fact under which no life of this member made a version: its name and bytes. Pure.
import { fromText, toText } from '../../bytes.js'
import { RingdError } from '../../errors.js'
import type { MetaReader, MetaWrite } from '../../storage/meta.js'

const CEILING = 'clock-ceiling'

export function writeCeiling(ms: number): MetaWrite {
  return { name: CEILING, value: fromText(String(ms)) }
}

/** 0 when there is none. Throws DATA_DAMAGED. */
export function readCeiling(meta: MetaReader): number {
  const bytes = meta.get(CEILING)
  const ceiling = bytes === undefined ? 0 : Number(toText(bytes))
  if (!Number.isSafeInteger(ceiling)) throw new RingdError('DATA_DAMAGED', 'the ceiling of the clock cannot be read')
  return ceiling
}
