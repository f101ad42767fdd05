// Bugs of members that the ring goes on without by itself.
import { type Bug, edit } from './bug.js'

const RULE = 'detector/eviction-rule'

export const EVICTIONS: readonly Bug[] = [
  {
    name: 'evictedByMinority',
    breaks: 'a majority is counted over the members that are up, not over all',
    scenarios: ['evictedByMinority'],
    edits: [
      edit(
        'actors/membership/proposer',
        'propose([...view.members.keys()],',
        'propose([...view.members.keys()].filter((id) => input.isUp(id)),'
      )
    ]
  },
  {
    name: 'votesOfDeaf',
    breaks: 'an acceptor helps to evict a member that it hears',
    scenarios: ['votesOfDeaf'],
    edits: [edit('actors/membership/voting', 'if (heard === undefined)', 'if (true)')]
  },
  {
    name: 'twoAtOnce',
    breaks: 'another member is evicted while the slots of the one before move, and whatever is left of them',
    scenarios: ['twoOfThreeDie'],
    edits: [
      edit(RULE, 'const isMoving = longestWindow(configs) > 1;', 'const isMoving = false;'),
      edit(RULE, 'if (slotsAtRisk === 0)', 'if (true)')
    ]
  },
  {
    name: 'evictsWhatIsLeft',
    breaks: 'a member is evicted although acknowledged writes may be on nobody else, and nobody said that it may',
    scenarios: ['twoOfThreeDie'],
    edits: [edit(RULE, 'if (slotsAtRisk === 0)', 'if (true)')]
  },
  {
    name: 'evictBelowReplicas',
    breaks: 'a member is evicted although fewer remain than there are to be copies',
    scenarios: ['evictBelowReplicas'],
    edits: [edit(RULE, '|| view.members.size <= view.founding.replicas', '')]
  },
  {
    name: 'pausedAccuses',
    breaks: 'time in which this peer itself was not running counts against others',
    scenarios: ['pausedAccuses'],
    edits: [
      edit('actors/detector', 'watched.askedAt = forgiven(watched.askedAt, lateMs, now);', '{}'),
      edit('actors/detector', '+ this.#patienceMs);\n            else', ');\n            else')
    ]
  },
  {
    name: 'refusesWhatIsAccepted',
    breaks: 'an acceptor that hears the member refuses to accept what another one has accepted',
    scenarios: ['stuckEviction'],
    edits: [
      edit(
        'actors/membership/voting',
        'const vote = this.#acceptSelf(forms.ballotFromWire(message.ballot), change);',
        'if (this.#deps.evictor.heardOf(change.removals)) return respond(new RingdError("BAD_REQUEST", ""));',
        'const vote = this.#acceptSelf(forms.ballotFromWire(message.ballot), change);'
      )
    ]
  }
]
