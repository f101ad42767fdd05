// Every directed scenario.
import { LATE_WRITES } from './late-writes.js'
import type { Scenario } from './stage.js'

export const SCENARIOS: readonly Scenario[] = [...LATE_WRITES]
