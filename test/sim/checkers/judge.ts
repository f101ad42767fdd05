// What all judges have in common: one world to look at, a name, and a list of what they found.
import type { Checker, Observation, Violation } from '../run/observation.js'
import { ObservedState } from './observed-state.js'

/** One broken thing shows in many places: more than this tells nobody anything. */
const VIOLATIONS_MAX = 20
/** Versions look like this, too. */
const MEMBER = /\b[0-9a-f]{32}\b/g

export abstract class Judge implements Checker {
  abstract readonly rule: string
  readonly violations: Violation[] = []
  protected readonly state: ObservedState
  readonly #subjects = new Set<string>()

  /** A judge alone brings a world of its own. */
  constructor(state = new ObservedState()) {
    this.state = state
  }

  observe(observation: Observation): void {
    this.state.observe(observation)
    this.judge(observation)
  }

  finish(_at: number): void {}

  /** The world has taken in the observation. */
  protected abstract judge(observation: Observation): void

  /** Reports once for each `subject`: what is broken stays so at every later look. */
  protected report(at: number, subject: string, text: string): void {
    if (this.violations.length >= VIOLATIONS_MAX || this.#subjects.has(subject)) return
    this.#subjects.add(subject)
    const told = text.replaceAll(MEMBER, (id) => this.state.pictures.nameOf(id))
    this.violations.push({ at, rule: this.rule, text: told })
  }
}
