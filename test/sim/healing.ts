// Whether a ring is whole again: what a run must reach after its faults have ended.
import { digestOfView } from '../../lib/node-reports.js'
import { newestConfig } from '../../lib/views/configs.js'
import type { RingView } from '../../lib/views/ring-view.js'
import type { SimHost } from './sim-host.js'

/**
 * Every host that was ever started is up and a member of the same view, and every slot is settled with all its owners
 * that still have a disk ready.
 */
export function isWhole(hosts: readonly SimHost[]): boolean {
  const started = hosts.filter((host) => host.hasStarted)
  const views = started.map((host) => host.node?.node.view)
  const [first] = views
  if (first === undefined) return false
  const living = new Set(started.map(({ disk }) => disk.member))
  return views.every(
    (view) =>
      view?.isMember && view.number === first.number && sameRing(view, first) && unreadyCopies(view, living) === 0
  )
}

/** One line of what a host knows, for messages of failures. */
export function stateOf({ name, node, isUp, hasStarted, disk }: SimHost): string {
  if (!hasStarted) return `${name} was not started`
  const view = node?.node.view
  if (view === undefined) return `${name} ${isUp ? 'up' : 'down'}, no view`
  const moving = view.configs.windows.filter((window) => window.length > 1).length
  const links = [...view.peerIds.values()].filter((peerId) => node?.network.link(peerId) !== undefined)
  const unready = unreadyCopies(view, new Set([disk.member]))
  const role = view.isMember ? 'member' : 'no member'
  return `${name} ${role} of view ${view.number}, moving ${moving}, unready ${unready}, links ${links}`
}

const unready = new WeakMap<RingView, { readonly key: string; readonly copies: number }>()

/** Copies that members of `living` lack, and slots that still move. Counted once for each picture. */
function unreadyCopies(view: RingView, living: ReadonlySet<string | undefined>): number {
  const key = [...living].join()
  const known = unready.get(view)
  if (known?.key === key) return known.copies
  let copies = 0
  view.configs.windows.forEach((window, slot) => {
    if (window.length > 1) copies += 1
    const { owners, begin } = newestConfig(window)
    for (const owner of owners) if (living.has(owner) && view.readiness.get(owner)?.[slot] !== begin) copies += 1
  })
  unready.set(view, { key, copies })
  return copies
}

function sameRing(one: RingView, other: RingView): boolean {
  return digestOfView(one) === digestOfView(other)
}
