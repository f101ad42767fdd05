// What may be done to a ring at this moment without asking more of it than is promised, and to whom. Pure.
//   - A store is lost for good (FaultTraits.loses) only while the ring is whole, and the next one only when it is whole
//     again: at most one of a slot's stores is lost before the slot has settled.
//   - What only memory can tell, that a copy is old, is asked of daemons that nothing else happens to (`alone`).
//   - A majority of the members can serve, except when all are killed at once; so the campaign measures the ring and
//     not only its absence.
import { FAULTS, type Step } from './plan-generator.js'

/** free: no daemon, and no data. away: it cannot serve. leaving: it was told to, or is being added. */
export type HostState = 'free' | 'up' | 'away' | 'moving'

export interface Scene {
  readonly hosts: ReadonlyMap<string, HostState>
  /** Hosts whose data lies on a disk of their own. */
  readonly disks: ReadonlySet<string>
  /** Members of the view that will never answer again. */
  readonly ghosts: number
  /** Faults that have not ended, and whether some loss is not made good yet. */
  readonly open: number
  readonly openLoss: boolean
  readonly openAlone: boolean
  /** Every member is up, all agree, all slots have settled, nobody is cut off. */
  readonly isWhole: boolean
}

export type Decision =
  | { readonly do: 'go'; readonly targets: readonly string[] }
  | { readonly do: 'wait'; readonly why: string }
  | { readonly do: 'skip'; readonly why: string }

/** Below this, losing one more leaves fewer members than copies while one is away. */
const MEMBERS_LEAST = 4

export function decide(step: Step, scene: Scene): Decision {
  const traits = FAULTS[step.kind]
  if (scene.openAlone) return { do: 'wait', why: 'what is under way must be alone' }
  if (traits.alone && scene.open > 0) return { do: 'wait', why: 'others are under way' }
  if (traits.loses && scene.openLoss) return { do: 'wait', why: 'another loss is not made good' }
  if (traits.loses && !scene.isWhole) return { do: 'wait', why: 'the ring is not whole' }
  const targets = targetsOf(step, scene)
  if (targets.length === 0) return { do: 'skip', why: 'nobody is left to do it to' }
  if (traits.away !== undefined && traits.away !== 'all' && !keepsMajority(scene, targets.length)) {
    return { do: 'skip', why: 'too few would serve' }
  }
  return { do: 'go', targets }
}

function targetsOf({ kind, lots }: Step, scene: Scene): string[] {
  const { hosts, disks } = scene
  const up = named(hosts, 'up')
  switch (kind) {
    case 'kill-all':
      return up
    case 'join':
      return chosen(named(hosts, 'free'), lots, 1)
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
      return chosen(up, lots, 1 + Math.floor((lots.at(-1) ?? 0) * spare(scene)))
    default:
      return chosen(up, lots, 1)
  }
}

function keepsMajority(scene: Scene, count: number): boolean {
  return count <= spare(scene)
}

/** How many more may be away. */
function spare({ hosts, ghosts }: Scene): number {
  const present = hosts.size - named(hosts, 'free').length
  const away = named(hosts, 'away').length + named(hosts, 'moving').length
  const members = present + ghosts
  return Math.ceil(members / 2) - 1 - away - ghosts
}

function isMoving(hosts: Scene['hosts']): boolean {
  return named(hosts, 'moving').length > 0
}

function named(hosts: Scene['hosts'], wanted: HostState): string[] {
  const found: string[] = []
  for (const [name, state] of hosts) if (state === wanted) found.push(name)
  return found.sort()
}

/** `count` different ones, as the lots fall. */
function chosen(names: readonly string[], lots: readonly number[], count: number): string[] {
  const pool = names.slice()
  const taken: string[] = []
  for (let at = 0; at < count && pool.length > 0; at++) {
    taken.push(...pool.splice(Math.floor((lots[at % lots.length] ?? 0) * pool.length), 1))
  }
  return taken
}
