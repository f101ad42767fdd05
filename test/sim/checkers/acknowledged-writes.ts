// Judges that acknowledged writes are not lost and quorum reads are not stale: a quorum read returns what was
// acknowledged before it began, or something newer, and never what nobody has put there. What is older, and when one
// knows, is defined in registers.ts. A deleted key that is read again is resurrection.ts's to report.
import type { Observation } from '../run/observation.js'
import { Judge } from './judge.js'
import { describe, describeOutdated, isAcknowledgement, isRead, type Operation } from './registers.js'

export class AcknowledgedWrites extends Judge {
  readonly rule = 'acknowledged writes'

  protected judge(observation: Observation): void {
    if (observation.type !== 'answered') return
    const { at, operation: number, error, value } = observation
    const operation = this.state.operation(number)
    if (operation === undefined) return
    if (error === undefined && operation.asked.kind === 'get' && value !== undefined) {
      this.#judgeOrigin(at, operation, value)
    }
    if (isRead(operation, observation)) {
      this.#judgeRead(at, operation, operation.asked.kind === 'get' ? value : undefined)
    } else if (isAcknowledgement(operation, observation)) this.#judgeWrite(at, operation)
  }

  /** What is read was put to this key, and not after the read; this holds at any consistency. */
  #judgeOrigin(at: number, operation: Operation, value: string): void {
    const put = this.state.put(value)
    if (put?.register === operation.register) return
    const origin = put === undefined ? 'nobody has put that yet' : `that was put to ${put.asked.key}`
    this.report(at, `origin ${value}`, `${describe(operation)} returned ${value}, but ${origin}`)
  }

  #judgeRead(at: number, operation: Operation, value: string | undefined): void {
    const culprit = this.state.outdates(operation, value, operation.acknowledged)
    if (culprit === undefined || (culprit.asked.kind === 'delete' && value !== undefined)) return
    const text = describeOutdated(operation, value, 'this was acknowledged', culprit)
    this.report(at, `read ${operation.asked.operation}`, text)
  }

  /** Whatever acknowledges a write has had it on disk. */
  #judgeWrite(at: number, operation: Operation): void {
    if (!this.state.hasDisks || this.state.writtenAs(operation) !== undefined) return
    this.report(
      at,
      `write ${operation.asked.operation}`,
      `${describe(operation)} was acknowledged and has been on no disk`
    )
  }
}
