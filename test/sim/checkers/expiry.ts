// Judges that values end when they should: what has expired is not read, at any consistency, and an expiry is what the
// client that put the value gave it, on every disk. A peer goes by its own clock: a read is judged by the least that
// the clock of its node has shown while it was under way, so that what any router could have done is accepted.
// That values do not end too early, and that nothing older comes back after them, is for the judges of reads: to them
// a value that has expired is nothing that counts by its version.
import type { Answered, Observation, Stored } from '../run/observation.js'
import { Judge } from './judge.js'
import { describe } from './registers.js'

export class Expiry extends Judge {
  readonly rule = 'expiry'

  protected judge(observation: Observation): void {
    if (observation.type === 'answered') this.#judgeRead(observation)
    else if (observation.type === 'stored') this.#judgeStored(observation)
  }

  #judgeRead({ at, operation: number, value }: Answered): void {
    const operation = this.state.operation(number)
    const expiresAt = value === undefined ? undefined : this.state.put(value)?.asked.expiresAt
    if (operation === undefined || expiresAt === undefined || operation.clock[0] < expiresAt) return
    const since = Math.round(operation.clock[0] - expiresAt)
    this.report(at, `read ${number}`, `${describe(operation)} returned ${value}, which had expired ${since} ms before`)
  }

  #judgeStored({ at, member, key, value, expiresAt }: Stored): void {
    const put = value === undefined ? undefined : this.state.put(value)
    if (put === undefined || put.asked.expiresAt === expiresAt) return
    const text = `${member} stored ${value} under ${key} until ${expiresAt ?? 'ever'}`
    this.report(at, `stored ${value}`, `${text}, but it was put until ${put.asked.expiresAt ?? 'ever'}`)
  }
}
