// Bugs of the report `status`: it calls a ring healthy that its clients cannot use.
import { type Bug, edit } from './bug.js'

export const STATUS: readonly Bug[] = [
  {
    name: 'fullDiskIgnored',
    breaks: 'an owner whose disk is full counts as one that takes writes',
    scenarios: ['fullDisksTold'],
    edits: [
      edit('node/serving', 'writes: (id) => answers(id, STOPS_WRITES)', 'writes: (id) => answers(id, STOPS_READS)')
    ]
  },
  {
    name: 'closedStoreIgnored',
    breaks: 'an owner that answers pings counts as one that answers reads',
    scenarios: ['closedStoresTold'],
    edits: [edit('node/serving', 'reads: (id) => answers(id, STOPS_READS)', 'reads: (id) => isReached(id, input)')]
  },
  {
    name: 'othersEarsIgnored',
    breaks: 'a member tells nobody which other members it does not hear',
    scenarios: ['oneWayTold'],
    edits: [edit('node/node-reports', 'this.#reach = reach;', '')]
  }
]
