// The clients of a run. Each client sends its operations one after the other through some node, and reports what it
// sees. Invariant: every value is put only once in a run, so a value names its write.
import type { RingdError } from '../../../lib/errors.js'
import type { VirtualClock } from '../seams/virtual-clock.js'
import type { SimNode } from '../sim-node.js'
import type { Answered, Observation } from './observation.js'
import type { PlannedOperation } from './plan.js'
import { isCounter } from './plan-generator.js'
import type { SimHost } from './sim-host.js'
import { isUpdateKind, type Update, type UpdateKind, updateOf } from './updates.js'

export interface ClientsDeps {
  readonly clock: VirtualClock
  readonly hosts: ReadonlyMap<string, SimHost>
  readonly observe: (observation: Observation) => void
}

/** A client that finds no serving node tries again after this. */
const LOOK_AGAIN_MS = 200

type Asked = Pick<PlannedOperation, 'client' | 'kind' | 'key' | 'ttlMs'>

type AnsweredParts = Pick<Answered, 'error' | 'value' | 'existed' | 'answers'>

interface UnderWay {
  readonly node: SimNode
  readonly lost: () => void
}

export class Clients {
  readonly #deps: ClientsDeps
  readonly #underWay = new Set<UnderWay>()
  /** Operations that wait for their time or for their client. */
  #waiting = 0
  #lastOperation = 0
  #isOver = false
  invoked = 0
  acknowledged = 0
  /** Failed operations by error code; `none`: no answer. */
  readonly failures = new Map<string, number>()

  constructor(deps: ClientsDeps) {
    this.#deps = deps
  }

  /** No operation is under way, and none is left to send. */
  get isIdle(): boolean {
    return this.#underWay.size === 0 && (this.#waiting === 0 || this.#isOver)
  }

  /** How many operations are under way, for messages. */
  get open(): number {
    return this.#underWay.size
  }

  /** Sends each of these operations at its time. */
  plan(operations: readonly PlannedOperation[]): void {
    const byClient = Map.groupBy(operations, ({ client }) => client)
    this.#waiting += operations.length
    for (const list of byClient.values()) this.#next(list, 0)
  }

  /** Sends one operation now through this node. Calls `then` when it is answered, or when the node has died. */
  ask(node: SimNode, asked: Asked, then: () => void = () => {}): void {
    const { clock, observe } = this.#deps
    const { client, kind, key, ttlMs } = asked
    const mark = node.clock.mark()
    const begun = node.now()
    // While its own clock is not right, a node goes by that of the others.
    const shown = (): readonly [number, number] => {
      const [least, most] = node.clock.shownSince(mark)
      const moments = [least, most, begun, node.now()]
      return [Math.min(...moments), Math.max(...moments)]
    }
    const operation = ++this.#lastOperation
    const value = kind === 'put' ? `v${operation}` : undefined
    const update = isUpdateKind(kind) ? this.#update(kind, asked, operation, mark.ms) : undefined
    this.invoked += 1
    const at = clock.elapsed()
    const expiresAt = ttlMs === undefined ? undefined : mark.ms + ttlMs
    const asking = { client, node: node.name, key, consistency: 'quorum' as const }
    const steps = update && [{ key, action: update.action }]
    if (isUpdateKind(kind)) observe({ type: 'invoked', at, operation, ...asking, kind: 'update', steps })
    else observe({ type: 'invoked', at, operation, ...asking, kind, value, expiresAt })
    let isOpen = true
    const end = () => {
      if (!isOpen) return
      isOpen = false
      this.#underWay.delete(underWay)
      then()
    }
    const lost = () => {
      if (isOpen) this.#failed('none')
      end()
    }
    const answered = (answer: AnsweredParts) => {
      if (!isOpen) return
      if (answer.error === undefined) this.acknowledged += 1
      else this.#failed(answer.error)
      observe({ type: 'answered', at: clock.elapsed(), operation, ...answer, clock: shown() })
      end()
    }
    const refused = (error: RingdError) => answered({ error: error.code })
    const underWay = { node, lost }
    this.#underWay.add(underWay)
    if (update !== undefined) update.run(node).then((answer) => answered({ answers: [answer] }), refused)
    else if (kind === 'get') node.get(key).then((found) => answered({ value: found }), refused)
    else if (kind === 'put') node.put(key, value!, 'quorum', ttlMs).then(() => answered({}), refused)
    else node.delete(key).then((existed) => answered({ existed }), refused)
  }

  /** Counters hold numbers, so that other clients can increment what one has stored. */
  #update(kind: UpdateKind, { key, ttlMs }: Asked, operation: number, now: number): Update {
    const value = isCounter(key) ? `${operation}` : `u${operation}`
    return updateOf(kind, key, value, ttlMs === undefined ? undefined : now + ttlMs)
  }

  /** The node has died: operations that wait for its answers end without one. */
  lost(node: SimNode): void {
    for (const underWay of [...this.#underWay]) if (underWay.node === node) underWay.lost()
  }

  /** No further operation is sent. */
  stop(): void {
    this.#isOver = true
  }

  #next(list: readonly PlannedOperation[], index: number): void {
    const operation = list[index]
    if (operation === undefined) return
    const { clock } = this.#deps
    clock.after(operation.at - clock.elapsed(), () => this.#send(list, index))
  }

  #send(list: readonly PlannedOperation[], index: number): void {
    if (this.#isOver) return
    const operation = list[index]!
    const node = this.#pick(operation.via)
    if (node === undefined) {
      this.#deps.clock.after(LOOK_AGAIN_MS, () => this.#send(list, index))
      return
    }
    this.#waiting -= 1
    this.ask(node, operation, () => this.#next(list, index + 1))
  }

  /** One of the nodes that serve; undefined when there is none. */
  #pick(via: number): SimNode | undefined {
    const serving: SimNode[] = []
    for (const { node } of this.#deps.hosts.values()) if (node?.node.view?.isMember) serving.push(node)
    return serving[via % serving.length]
  }

  #failed(code: string): void {
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1)
  }
}
