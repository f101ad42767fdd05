// Bugs of evictions.
import { type Bug, edit } from './bug.js'

const RULE = 'detector/eviction-rule'

export const EVICTIONS: readonly Bug[] = [
  {
    name: 'evictedByMinority',
    breaks: 'a majority of the members that are up chooses a view, not one of all members',
    scenarios: ['evictedByMinority'],
    edits: [
      edit(
        'actors/membership/proposer',
        'propose([...view.members.keys()],',
        'propose([...view.members.keys()].filter((id) => input.isUp(id)),'
      ),
      edit('views/votes', 'chooses(before, signatures)', 'signatures.size > 0')
    ]
  },
  {
    name: 'votesOfDeaf',
    breaks: 'an acceptor votes for the eviction of a member that it still reaches',
    scenarios: ['votesOfDeaf'],
    edits: [edit('actors/membership/voting', 'if (heard === undefined)', 'if (true)')]
  },
  {
    name: 'twoAtOnce',
    breaks: 'a second member is evicted while the slots of the first one move, even if only that member holds a write',
    scenarios: ['twoOfThreeDie'],
    edits: [
      edit(RULE, 'const isMoving = longestWindow(configs) > 1;', 'const isMoving = false;'),
      edit(RULE, 'if (slotsAtRisk === 0)', 'if (true)')
    ]
  },
  {
    name: 'evictsWhatIsLeft',
    breaks: 'a member is evicted although it may hold the only copies of acknowledged writes',
    scenarios: ['twoOfThreeDie'],
    edits: [edit(RULE, 'if (slotsAtRisk === 0)', 'if (true)')]
  },
  {
    name: 'evictBelowReplicas',
    breaks: 'a member is evicted although fewer members remain than each entry must have copies',
    scenarios: ['evictBelowReplicas'],
    edits: [edit(RULE, 'view.members.size <= view.founding.replicas', 'false')]
  },
  {
    name: 'pausedAccuses',
    breaks: 'time in which this peer itself was paused counts as silence of the others',
    scenarios: ['pausedAccuses'],
    edits: [
      edit('actors/detector', 'watched.askedAt = forgiven(watched.askedAt, lateMs, now);', '{}'),
      edit('actors/detector', '+ this.#patienceMs);\n            else', ');\n            else')
    ]
  },
  {
    name: 'refusesWhatIsAccepted',
    breaks: 'an acceptor that reaches the member refuses an eviction that another acceptor has accepted',
    scenarios: ['stuckEviction'],
    edits: [
      edit(
        'actors/membership/voting',
        'const { granted, promised, signature } = await this.#acceptSelf(acceptance);',
        'if (this.#deps.evictor.heardOf(change.removals, () => false))',
        'return respond(new RingdError("BAD_REQUEST", ""));',
        'const { granted, promised, signature } = await this.#acceptSelf(acceptance);'
      )
    ]
  }
]
