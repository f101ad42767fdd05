// Checks that a value is not read after it has expired, at any consistency, and that every disk keeps the expiry that
// the client gave. A node uses its own clock. A read is checked against the smallest time that the clock of its node
// showed during the read, so that every correct router passes.
// Whether a value ends too early, or an older value comes back after it, is checked by the checkers of reads: for them
// an expired value reads as absent and still counts by its version.
import type { Answered, Observation, Stored } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import { describe } from './registers.js'

export class Expiry extends BaseChecker {
  readonly rule = 'expiry'

  protected check(observation: Observation): void {
    if (observation.type === 'answered') this.#checkRead(observation)
    else if (observation.type === 'stored') this.#checkStored(observation)
  }

  #checkRead({ at, operation: number, value }: Answered): void {
    const operation = this.state.operation(number)
    const expiresAt = value === undefined ? undefined : this.state.put(value)?.asked.expiresAt
    if (operation === undefined || expiresAt === undefined || operation.clock[0] < expiresAt) return
    const since = Math.round(operation.clock[0] - expiresAt)
    const text = `${describe(operation)} returned ${value}`
    this.report(at, `read ${number}`, `${text}, which had expired ${since} ms before by the clock of its node`)
  }

  #checkStored({ at, member, key, value, expiresAt }: Stored): void {
    const put = value === undefined ? undefined : this.state.put(value)
    if (put === undefined || put.asked.expiresAt === expiresAt) return
    const text = `${member} stored ${value} under ${key} with expiry ${expiresAt ?? 'none'}`
    this.report(at, `stored ${value}`, `${text}, but it was put with expiry ${put.asked.expiresAt ?? 'none'}`)
  }
}
