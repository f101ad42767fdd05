// Checks that acknowledged writes are not lost and that quorum reads are not stale. A quorum read must return a value
// that was acknowledged before the read began, or a newer one, and only a value that a client put to this key.
// registers.ts defines "older". A deleted key that is read again is reported by resurrection.ts.
import type { Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import { describe, describeOutdated, isAcknowledgement, isRead, type Operation } from './registers.js'

export class AcknowledgedWrites extends BaseChecker {
  readonly rule = 'acknowledged writes'

  protected check(observation: Observation): void {
    if (observation.type !== 'answered') return
    const { at, operation: number, error, value } = observation
    const operation = this.state.operation(number)
    if (operation === undefined) return
    if (error === undefined && operation.asked.kind === 'get' && value !== undefined) {
      this.#checkOrigin(at, operation, value)
    }
    if (isRead(operation, observation)) {
      this.#checkRead(at, operation, operation.asked.kind === 'get' ? value : undefined)
    } else if (isAcknowledgement(operation, observation)) this.#checkWrite(at, operation)
  }

  /** At any consistency: the value that a read returns was put to this key before the read ended. */
  #checkOrigin(at: number, operation: Operation, value: string): void {
    const put = this.state.put(value)
    if (put?.register === operation.register || operation.register.isUpdated) return
    const origin = put === undefined ? 'no client had put it' : `it was put to ${put.asked.key}`
    this.report(at, `origin ${value}`, `${describe(operation)} returned ${value}, but ${origin}`)
  }

  #checkRead(at: number, operation: Operation, value: string | undefined): void {
    const culprit = this.state.outdates(operation, value, operation.acknowledged)
    if (culprit === undefined || (culprit.asked.kind === 'delete' && value !== undefined)) return
    const text = describeOutdated(operation, value, 'this write was acknowledged', culprit)
    this.report(at, `read ${operation.asked.operation}`, text)
  }

  /** An acknowledged write was on at least one disk. */
  #checkWrite(at: number, operation: Operation): void {
    if (!this.state.hasDisks || this.state.writtenAs(operation) !== undefined) return
    this.report(
      at,
      `write ${operation.asked.operation}`,
      `${describe(operation)} was acknowledged, but no disk has held it`
    )
  }
}
