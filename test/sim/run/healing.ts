// Whether a ring is whole again, which a run must reach after its faults have ended.
import { EMPTY_BYTES, toHex, toText } from '../../../lib/bytes.js'
import { parseDataKey } from '../../../lib/entry/keys.js'
import { digestOfView } from '../../../lib/node/reports.js'
import { newestConfig } from '../../../lib/views/configs.js'
import type { RingView } from '../../../lib/views/ring-view.js'
import type { SimHost } from './sim-host.js'

/**
 * Whether the members of one view are exactly the hosts that were started and have not left, all of them are up, and
 * every slot is settled with all its owners ready.
 */
export function isWhole(hosts: readonly SimHost[]): boolean {
  const started = hosts.filter((host) => host.hasStarted)
  const views = started.map((host) => host.node?.node.view)
  const [first] = views
  if (first === undefined) return started.length === 0
  return views.every(
    (view) =>
      view?.isMember &&
      view.members.size === started.length &&
      view.number === first.number &&
      digestOfView(view) === digestOfView(first) &&
      unreadyCopies(view) === 0
  )
}

/** The first key under which the owners of its slot hold different entries, in words; '' when there is none. */
export function differenceOf(hosts: readonly SimHost[]): string {
  const up = hosts.filter(({ node }) => node !== undefined)
  const view = up[0]?.node?.node.view
  if (view === undefined) return ''
  const disks = new Map(up.map(({ node, disk }) => [node!.node.storeId, disk.copy()]))
  for (const name of new Set([...disks.values()].flatMap((disk) => [...disk.keys()]))) {
    const parsed = parseDataKey(Buffer.from(name, 'latin1'))
    if (parsed === undefined) continue
    const { owners } = newestConfig(view.configs.windows[parsed.slot]!)
    const held = owners.map((owner) => disks.get(owner)?.get(name))
    const isSame = held.every((envelope) => toHex(envelope ?? EMPTY_BYTES) === toHex(held[0] ?? EMPTY_BYTES))
    if (isSame && held[0] !== undefined) continue
    if (held.every((envelope) => envelope === undefined)) continue
    return `the owners ${owners} hold different entries of ${toText(parsed.key)}`
  }
  return ''
}

/** One line about the state of a host, for messages of failures. */
export function stateOf({ name, node, isUp, hasStarted }: SimHost): string {
  if (!hasStarted) return `${name} does not belong to the ring`
  const view = node?.node.view
  if (view === undefined) return `${name} ${isUp ? 'up' : 'down'}, no view`
  const moving = view.configs.windows.filter((window) => window.length > 1).length
  const links = [...view.peerIds.values()].filter((peerId) => node?.network.link(peerId) !== undefined)
  const role = view.isMember ? 'member' : 'no member'
  const ring = `${role} of view ${view.number} of ${view.members.size}`
  return `${name} ${ring}, moving ${moving}, unready ${unreadyCopies(view)}, links ${links}`
}

const unready = new WeakMap<RingView, number>()

/** How many owners are not ready, over all slots, plus the slots that still move. Counted once for each view. */
function unreadyCopies(view: RingView): number {
  let copies = unready.get(view)
  if (copies !== undefined) return copies
  copies = 0
  for (const [slot, window] of view.configs.windows.entries()) {
    if (window.length > 1) copies += 1
    const { owners, begin } = newestConfig(window)
    for (const owner of owners) if (view.readiness.get(owner)?.[slot] !== begin) copies += 1
  }
  unready.set(view, copies)
  return copies
}
