// The chain up to a view in which every slot was settled, in short: the members, and the view in which the config of
// each slot began. Pure.
// Invariant: a peer that starts from a snapshot has the same windows as a peer that learned the whole chain.
// Source: rule 12 of lib/views/README.md.

import { MEMBERS_MAX } from '../limits.js'
import type { Member, MemberId, PeerId } from '../member.js'
import { ownerTable } from '../ring/owners.js'
import { SLOTS } from '../ring/slots.js'
import { checkFounding, checkMember, type Founding, quorum, require, type View } from './chain.js'
import { aloneWindow, baseConfig, type Config, type ConfigTable, type Window } from './configs.js'

export interface Snapshot {
  readonly number: number
  readonly founding: Founding
  readonly members: readonly Member[]
  /** The former members that left last, in the order in which they left. Their ids are never used again. */
  readonly former: readonly FormerMember[]
  /** Per slot: the view in which its only config began. */
  readonly begins: Uint32Array
}

export interface FormerMember {
  readonly storeId: MemberId
  readonly peerId: PeerId
  readonly lost: boolean
}

/** Former members whose ids are kept. Only a peer that was away while this many others left could reuse an older id. */
export const FORMER_MAX = 1024

/** The snapshot of a view in which every window has one config. */
export function snapshotOf(view: View, configs: ConfigTable): Snapshot {
  return {
    number: view.number,
    founding: view.founding,
    members: [...view.members.values()],
    former: newestFormer(view),
    begins: Uint32Array.from(configs.windows, (window) => baseConfig(window).begin)
  }
}

/** The former members that left last, in the order in which they left. */
export function newestFormer({ members, peerIds, lost }: View): FormerMember[] {
  const former = Array.from(peerIds).filter(([id]) => !members.has(id))
  return former.slice(-FORMER_MAX).map(([storeId, peerId]) => ({ storeId, peerId, lost: lost.has(storeId) }))
}

/** Throws BAD_MESSAGE unless every field lies within its bounds and the fields agree. */
export function checkSnapshot({ number, founding, members, former, begins }: Snapshot): void {
  require(number >= 1, 'views count from 1')
  checkFounding(founding)
  require(members.length > 0 && members.length <= MEMBERS_MAX, `a view has 1..${MEMBERS_MAX} members`)
  require(former.length <= FORMER_MAX, `a snapshot has at most ${FORMER_MAX} former members`)
  for (const member of members) checkMember(member)
  const ids = new Set([...members, ...former].map(({ storeId }) => storeId))
  require(ids.size === members.length + former.length, 'a snapshot lists each id once')
  require(begins.every((begin) => begin >= 1 && begin <= number), 'a config begins in a view of the chain')
}

export function viewOfSnapshot({ number, founding, members, former }: Snapshot): View {
  return {
    number,
    founding,
    members: new Map(members.map((member) => [member.storeId, member])),
    peerIds: new Map([...former, ...members].map(({ storeId, peerId }) => [storeId, peerId])),
    lost: new Set(former.filter(({ lost }) => lost).map(({ storeId }) => storeId))
  }
}

/** Makes one window for each pair of owner set and begin. O(slots). */
export function configsOfSnapshot({ number, founding, members, begins }: Snapshot): ConfigTable {
  const table = ownerTable(members, founding.replicas)
  const memo = new Map<number, Window>()
  const windows = Array.from({ length: SLOTS }, (_, slot) => {
    const set = table.ofSlot[slot]!
    const begin = begins[slot]!
    const known = memo.get(begin * SLOTS + set)
    if (known !== undefined) return known
    const owners = table.sets[set]!
    const config: Config = { begin, owners, quorum: quorum(owners.length) }
    const window = aloneWindow(config)
    memo.set(begin * SLOTS + set, window)
    return window
  })
  return { view: number, windows }
}
