// All directed scenarios, and how one is judged.
import { type Deviations, NO_DEVIATION } from './deviations.js'
import { MOVE_SCENARIOS } from './move-scenarios.js'
import { Violation } from './ring.js'
import { SCENARIOS as KEY_SCENARIOS, type Scenario } from './scenarios.js'

export const SCENARIOS: readonly Scenario[] = [...KEY_SCENARIOS, ...MOVE_SCENARIOS]

/** What the scenario finds: the text of a violation, or undefined. */
export function verdictOf(scenario: Scenario, deviations: Deviations = NO_DEVIATION): string | undefined {
  try {
    scenario.run(deviations)
    return undefined
  } catch (thrown) {
    if (thrown instanceof Violation) return thrown.message
    throw thrown
  }
}
