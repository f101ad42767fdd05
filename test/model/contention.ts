// Operations that begin at once on the same keys, without loss: how many phases each takes, and how it ends. One phase
// is one round trip.
import { NO_DEVIATION } from './deviations.js'
import type { KeySet } from './entries.js'
import type { OperationKind } from './operations.js'
import { Ring } from './ring.js'

export interface Contender {
  readonly kind: OperationKind
  readonly keys: KeySet
  /** Another router for each when it is not given. */
  readonly router?: number
}

export interface Contention {
  readonly kind: OperationKind
  readonly phases: number
  readonly ok: number
  readonly unknown: number
}

const STEPS_MAX = 1500
/** A router retries about once in so many deliveries. */
const RETRY_SHARE = 0.05

/**
 * The means over `rounds` runs, by contender. `before` operations end before the others begin, and what they send at
 * last (the closing of a group) may still be under way.
 */
export function contend(
  contenders: readonly Contender[],
  owners: number,
  down: number,
  rounds: number,
  before: readonly Contender[] = []
): Contention[] {
  const sums = contenders.map(({ kind }) => ({ kind, phases: 0, ok: 0, unknown: 0 }))
  for (let seed = 1; seed <= rounds; seed++) {
    const ids = Array.from({ length: owners }, (_, id) => id)
    const ring = new Ring({
      seed,
      deviations: NO_DEVIATION,
      keys: 3,
      nodes: owners,
      routers: 6,
      owners: ids,
      isCalm: true
    })
    ring.clockShift = 3
    for (const { kind, keys, router = 5 } of before) finish(ring, [ring.start(ring.routers[router]!, kind, keys)])
    for (let id = owners - down; id < owners; id++) ring.nodes[id]!.isUp = false
    const operations = contenders.map(({ kind, keys, router }, index) =>
      ring.start(ring.routers[router ?? index % 5]!, kind, keys)
    )
    finish(ring, operations)
    operations.forEach((operation, index) => {
      if (operation.status === 'pending') ring.driver.giveUp(operation)
      const sum = sums[index]!
      sum.phases += operation.step / rounds
      if (operation.status === 'ok') sum.ok += 1 / rounds
      if (operation.status === 'unknown') sum.unknown += 1 / rounds
    })
  }
  return sums
}

function finish(ring: Ring, operations: ReturnType<Ring['start']>[]): void {
  const { random } = ring
  for (let step = 0; step < STEPS_MAX; step++) {
    const pending = operations.filter(({ status }) => status === 'pending')
    if (pending.length === 0) return
    ring.time++
    if (ring.packets.length > 0 && !random.chance(RETRY_SHARE)) {
      const [packet] = ring.packets.splice(random.below(ring.packets.length), 1)
      ring.deliver(packet!)
    } else if (ring.packets.length === 0 || random.chance(RETRY_SHARE)) ring.driver.retry(random.pick(pending))
  }
}
