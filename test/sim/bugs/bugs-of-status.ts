// Bugs of the report `status`: it calls a ring healthy that its clients cannot use.
import { type Bug, edit } from './bug.js'

export const STATUS: readonly Bug[] = [
  {
    name: 'fullDiskIgnored',
    breaks: 'an owner whose disk is full counts as one that takes writes',
    scenarios: ['fullDisksTold'],
    edits: [edit('conditions', "['store-closed', 'disk-full']", "['store-closed']")]
  },
  {
    name: 'closedStoreIgnored',
    breaks: 'an owner whose store is closed counts as one that takes writes',
    scenarios: ['closedStoresTold'],
    edits: [edit('conditions', "['store-closed', 'disk-full']", "['disk-full']")]
  },
  {
    name: 'othersEarsIgnored',
    breaks: 'a member tells nobody which other members it does not hear',
    scenarios: ['oneWayTold'],
    edits: [edit('node/node-reports', 'this.#reach = reach;', '')]
  }
]
