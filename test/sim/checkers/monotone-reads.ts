// Checks that reads do not step back: after a quorum read has returned a value, no quorum read that begins later
// returns an older one, even if the write of that value was never acknowledged. A sound run passes because a read whose
// answers differ writes the newest version back to quorums before it answers. This holds for all readers and all nodes.
import type { Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import { describeOutdated, isRead } from './registers.js'

export class MonotoneReads extends BaseChecker {
  readonly rule = 'monotone reads'

  protected check(observation: Observation): void {
    if (observation.type !== 'answered') return
    const operation = this.state.operation(observation.operation)
    if (operation === undefined || !isRead(operation, observation)) return
    const value = operation.asked.kind === 'get' ? observation.value : undefined
    const culprit = this.state.outdates(operation, value, operation.read)
    if (culprit === undefined) return
    const seen = culprit.asked.kind === 'put' ? 'the value of this put was read' : 'this operation saw something newer'
    const text = describeOutdated(operation, value, seen, culprit)
    this.report(observation.at, `read ${operation.asked.operation}`, text)
  }
}
