// Bugs of lost majorities, rescued rings, identities that run twice, and rings at addresses of others.
import { type Bug, edit } from './bug.js'

export const IDENTITIES: readonly Bug[] = [
  {
    name: 'eitherOfTwoChooses',
    breaks: 'in a ring of two that grew from one, either member chooses the next view alone',
    scenarios: ['bothOfTwoDecide'],
    edits: [edit('views/chain', 'voters.has(elder)', 'voters.size > 0')]
  },
  {
    name: 'latecomerStays',
    breaks: 'a second member that never had its copies is not evicted',
    scenarios: ['secondDiesYoung'],
    edits: [edit('detector/eviction-rule', 'if (view.elder !== undefined)', 'if (false)')]
  },
  {
    name: 'secondEvicted',
    breaks: 'a second member is evicted although it has its copies, and one copy is left',
    scenarios: ['secondStays'],
    edits: [edit('detector/eviction-rule', 'longestWindow(configs) === 1', 'false')]
  },
  {
    name: 'purgedBeforeHandOver',
    breaks: 'a rescued ring purges at once, and drops older entries that are handed over later',
    scenarios: ['rescuedRing'],
    edits: [edit('actors/purge', 'if (awaitsHandOver(view.founding.ringId, this.#deps.ringTime.now()))', 'if (false)')]
  },
  {
    name: 'twinsUnnoticed',
    breaks: 'two processes with one peer id are taken for one that has two connections',
    scenarios: ['twins'],
    edits: [edit('network/peer-table', "return first !== '' && second !== '' && first !== second", 'return false')]
  },
  {
    name: 'twinRecordStands',
    breaks: 'a member leaves the newest record of itself to a process that has run with its key',
    scenarios: ['twins'],
    edits: [edit('actors/membership/durable-ring', 'record === undefined || record.sequence <= this.#sequence', 'true')]
  },
  {
    name: 'silentTwin',
    breaks: 'a process that does not answer counts as one that runs',
    scenarios: ['halfOpenRestart'],
    edits: [edit('network/peer-table', 'if (first === undefined)\n', 'if (false)\n')]
  },
  {
    name: 'twinBelieved',
    breaks: 'a peer ends for a second process that its key has not signed',
    scenarios: ['inventedTwin'],
    edits: [edit('network/instances', '(await verify(', 'true || (await verify(')]
  },
  {
    name: 'endsForOtherRing',
    breaks: 'a member ends when the peer at its join address belongs to another ring',
    scenarios: ['wipedFounder'],
    edits: [edit('node/meet-ring', 'view.members.size > 1', 'false')]
  },
  {
    name: 'eachFounds',
    breaks: 'each of the expected peers founds a ring when it has met the others',
    scenarios: ['expectedPeers'],
    edits: [edit('actors/membership/joining', 'durableRing.peerId < peerId', 'true')]
  }
]
