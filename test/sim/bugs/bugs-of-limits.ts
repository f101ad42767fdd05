// Bugs of the limit for moving data: members end with different limits, or forget theirs.
import { type Bug, edit } from './bug.js'

export const LIMIT_BUGS: readonly Bug[] = [
  {
    name: 'limitUnwritten',
    breaks: 'a limit that another member has set is not written to disk',
    scenarios: ['lostLimit'],
    edits: [edit('actors/membership/durable-ring', 'writes.push(writeLimit(after.limit))', 'void after')]
  },
  {
    name: 'limitUntold',
    breaks: 'a limit is told once, and exchanges do not bring it to those that it did not reach',
    scenarios: ['lostLimit', 'limitsOfTwoSides'],
    edits: [edit('views/ring-state', 'isNewerLimit(state.limit, digest.limit) ?', 'false ?')]
  },
  {
    name: 'limitsUnordered',
    breaks: 'the limit that is heard last counts',
    scenarios: ['lateLimit'],
    edits: [edit('views/move-limit', 'isNewerLimit(told, known) ?', 'true ?')]
  }
]
