// What `status` advises an operator to do, one sentence for each thing that does not end by itself. Pure. A rule looks
// at what is known of the members and of the process; add further rules to RULES.
import { lostMajority } from './lost-majority.js'
import type { MembersInput } from './serving.js'

export interface AdviceInput extends MembersInput {
  /** Settings of this peer that have no effect, one sentence each. */
  readonly settings: readonly string[]
}

type Rule = (input: AdviceInput) => readonly string[]

const settingsWithoutEffect: Rule = ({ settings }) => settings

const majority: Rule = ({ view, health }) => {
  const lost = lostMajority(view, health)
  return lost === undefined ? [] : [lost.says]
}

const RULES: readonly Rule[] = [majority, settingsWithoutEffect]

export function adviceFor(input: AdviceInput): readonly string[] {
  return RULES.flatMap((rule) => rule(input))
}
