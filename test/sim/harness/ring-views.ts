// Ring views made by hand, for actors that are tested alone. Every slot has the same owners, config by config.
import type { Member, MemberId } from '../../../lib/member.js'
import type { Link } from '../../../lib/network/network.js'
import { SLOTS } from '../../../lib/ring/slots.js'
import { quorum } from '../../../lib/views/chain.js'
import type { Config, Window } from '../../../lib/views/configs.js'
import type { RingView } from '../../../lib/views/ring-view.js'

/** The member id of a one-letter name. */
export function idOf(name: string): MemberId {
  return name.charCodeAt(0).toString(16).padStart(2, '0').repeat(16)
}

export function letterOf(member: MemberId): string {
  return String.fromCharCode(Number.parseInt(member.slice(0, 2), 16))
}

/** The link to the peer of a member, by its letter. */
export function linkOf(letter: string): Link {
  return { peerId: `peer-${letter}`, ringId: 'ab'.repeat(16), storeId: idOf(letter) }
}

/** A config whose owners are given by their letters. */
export function config(begin: number, letters: string): Config {
  const owners = [...letters].map(idOf).sort()
  return { begin, owners, quorum: quorum(owners.length) }
}

export interface HandMade {
  readonly number: number
  readonly self: string
  readonly window: Window
  /** Members that are ready, by letter: the config, for all slots. */
  readonly ready?: Readonly<Record<string, number>>
  /** Slots that have another window. */
  readonly except?: ReadonlyMap<number, Window>
}

/** The peer of member `a` is `peer-a`. */
export function ringView({ number, self, window, ready = {}, except }: HandMade): RingView {
  const owners = [...new Set(window.flatMap(({ owners }) => owners))]
  const letters = owners.map(letterOf)
  const members = new Map<MemberId, Member>()
  const peerIds = new Map<MemberId, string>()
  for (const letter of new Set([...letters, self])) {
    const storeId = idOf(letter)
    const peerId = `peer-${letter}`
    members.set(storeId, { storeId, peerId, tokens: [1], zone: '', weight: 1 })
    peerIds.set(storeId, peerId)
  }
  const windows = Array.from({ length: SLOTS }, (_, slot) => except?.get(slot) ?? window)
  const readiness = new Map(
    Object.entries(ready).map(([letter, begin]) => [idOf(letter), new Uint32Array(SLOTS).fill(begin)])
  )
  const founding = { ringId: 'ab'.repeat(16), replicas: 3 }
  const configs = { view: number, windows }
  return {
    number,
    founding,
    self: idOf(self),
    isMember: true,
    members,
    peerIds,
    lost: new Set<MemberId>(),
    configs,
    readiness
  }
}
