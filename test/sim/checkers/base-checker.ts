// The base class of all checkers: the observed state, the name of the rule, and the list of violations.
import type { Checker, Observation, Violation } from '../run/observation.js'
import { ObservedState } from './observed-state.js'

/** One bug causes many violations. More than this do not help the reader. */
const VIOLATIONS_MAX = 20
/** A member id. Versions have the same form; `nameOf` returns an id that it does not know unchanged. */
const MEMBER = /\b[0-9a-f]{32}\b/g

export abstract class BaseChecker implements Checker {
  abstract readonly rule: string
  readonly violations: Violation[] = []
  protected readonly state: ObservedState
  readonly #subjects = new Set<string>()

  /** Without `state` the checker makes its own. */
  constructor(state = new ObservedState()) {
    this.state = state
  }

  observe(observation: Observation): void {
    this.state.observe(observation)
    this.check(observation)
  }

  finish(_at: number): void {}

  /** Called after the observed state has taken in the observation. */
  protected abstract check(observation: Observation): void

  /** Reports each `subject` once: a violation would show again at every later observation. */
  protected report(at: number, subject: string, text: string): void {
    if (this.violations.length >= VIOLATIONS_MAX || this.#subjects.has(subject)) return
    this.#subjects.add(subject)
    const named = text.replaceAll(MEMBER, (id) => this.state.pictures.nameOf(id))
    this.violations.push({ at, rule: this.rule, text: named })
  }
}
