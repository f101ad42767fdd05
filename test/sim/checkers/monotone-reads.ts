// Judges that reads never step back: once a quorum read has returned something, no quorum read that begins after its
// end returns anything older, whether or not the write behind it was ever acknowledged. A read whose answers differ
// writes the newest back to quorums before it answers, so this holds for any readers, through any nodes.
import type { Observation } from '../run/observation.js'
import { Judge } from './judge.js'
import { describeOutdated, isRead } from './registers.js'

export class MonotoneReads extends Judge {
  readonly rule = 'monotone reads'

  protected judge(observation: Observation): void {
    if (observation.type !== 'answered') return
    const operation = this.state.operation(observation.operation)
    if (operation === undefined || !isRead(operation, observation)) return
    const value = operation.asked.kind === 'get' ? observation.value : undefined
    const culprit = this.state.outdates(operation, value, operation.read)
    if (culprit === undefined) return
    const seen = culprit.asked.kind === 'put' ? 'this had been read' : 'something newer had been seen by this'
    const text = describeOutdated(operation, value, seen, culprit)
    this.report(observation.at, `read ${operation.asked.operation}`, text)
  }
}
