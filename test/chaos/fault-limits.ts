// Which steps are allowed at this moment, and which daemons they affect, so that the campaign does not break what the
// ring relies on. Pure.
//   - A fault may lose a store (FaultTraits.loses) only while the ring is whole, and the next one only when the ring is
//     whole again. So at most one store of a slot is lost before the slot has settled.
//   - A fault that only the memory of other members can detect, such as an old copy, must be alone.
//   - A majority of the members can serve, except when all are killed at once. Otherwise the campaign would measure
//     only how long a ring without a majority is away.
import { FAULTS, type Step } from './plan-generator.js'

/** free: no daemon and no data. up: it serves. away: it cannot serve. moving: it is joining or leaving. */
export type HostState = 'free' | 'up' | 'away' | 'moving'

/** The state of the campaign that decides about a step. */
export interface Situation {
  readonly hosts: ReadonlyMap<string, HostState>
  /** Hosts whose data is on a small disk of their own. */
  readonly disks: ReadonlySet<string>
  /** How many members of the view will never answer again. */
  readonly deadMembers: number
  /** How many faults have not ended. */
  readonly open: number
  /** Whether one of them may lose a store. */
  readonly openLoss: boolean
  /** Whether one of them must be alone. */
  readonly openAlone: boolean
  /** Whether every member is up and reachable, all agree on the view, and all slots have settled. */
  readonly isWhole: boolean
}

export type Decision =
  | { readonly do: 'go'; readonly targets: readonly string[] }
  | { readonly do: 'wait'; readonly why: string }
  | { readonly do: 'skip'; readonly why: string }

/** A daemon may leave only when more than this belong to the ring: one more may then be away, and three still serve. */
const MEMBERS_LEAST = 4

export function decide(step: Step, situation: Situation): Decision {
  const traits = FAULTS[step.kind]
  if (situation.openAlone) return { do: 'wait', why: 'an active fault must be alone' }
  if (traits.alone && situation.open > 0) return { do: 'wait', why: 'it must be alone, and other faults are active' }
  if (traits.loses && situation.openLoss) return { do: 'wait', why: 'the ring has not recovered from another loss' }
  if (traits.loses && !situation.isWhole) return { do: 'wait', why: 'the ring is not whole' }
  const targets = targetsOf(step, situation)
  if (targets.length === 0) return { do: 'skip', why: 'no daemon is in a state for it' }
  if (traits.away !== undefined && traits.away !== 'all' && !keepsMajority(situation, targets.length)) {
    return { do: 'skip', why: 'no majority would serve' }
  }
  return { do: 'go', targets }
}

function targetsOf({ kind, lots }: Step, situation: Situation): string[] {
  const { hosts, disks } = situation
  const up = named(hosts, 'up')
  switch (kind) {
    case 'kill-all':
      return up
    case 'join':
      return chosen(named(hosts, 'free'), lots, 1)
    case 'clone': {
      const [original] = chosen(up, lots, 1)
      const [copy] = chosen(named(hosts, 'free'), lots.slice(1), 1)
      return original === undefined || copy === undefined ? [] : [original, copy]
    }
    case 'leave':
      return hosts.size - named(hosts, 'free').length > MEMBERS_LEAST && !isMoving(hosts) ? chosen(up, lots, 1) : []
    case 'disk-full':
      return chosen(
        up.filter((name) => disks.has(name)),
        lots,
        1
      )
    case 'cut':
      return up.length < 2 ? [] : chosen(up, lots, 2)
    case 'partition':
      return chosen(up, lots, 1 + Math.floor((lots.at(-1) ?? 0) * spare(situation)))
    default:
      return chosen(up, lots, 1)
  }
}

function keepsMajority(situation: Situation, count: number): boolean {
  return count <= spare(situation)
}

/** How many more daemons may be away, so that a majority still serves. */
function spare({ hosts, deadMembers }: Situation): number {
  const present = hosts.size - named(hosts, 'free').length
  const away = named(hosts, 'away').length + named(hosts, 'moving').length
  const members = present + deadMembers
  return Math.ceil(members / 2) - 1 - away - deadMembers
}

function isMoving(hosts: Situation['hosts']): boolean {
  return named(hosts, 'moving').length > 0
}

function named(hosts: Situation['hosts'], wanted: HostState): string[] {
  const found: string[] = []
  for (const [name, state] of hosts) if (state === wanted) found.push(name)
  return found.sort()
}

/** `count` different names, selected by `lots`. */
function chosen(names: readonly string[], lots: readonly number[], count: number): string[] {
  const pool = names.slice()
  const taken: string[] = []
  for (let at = 0; at < count && pool.length > 0; at++) {
    taken.push(...pool.splice(Math.floor((lots[at % lots.length] ?? 0) * pool.length), 1))
  }
  return taken
}
