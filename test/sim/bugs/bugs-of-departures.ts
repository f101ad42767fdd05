// Bugs of leaving and removal, of handoff and release of slots, and of snapshots of the chain.
import { type Bug, edit } from './bug.js'

export const DEPARTURES: readonly Bug[] = [
  {
    name: 'deletedBeforeSettled',
    breaks: 'a former owner releases a slot before its newest config has settled',
    scenarios: ['hastyDelete'],
    edits: [
      edit(
        'actors/migration/handoff',
        'if (window.length > 1 || !this.#isWhole(config, slot, view, now))',
        'if (false)'
      ),
      edit(
        'actors/replica/fence',
        'return window.length === 1 && window[0].begin === config && !window[0].owners.includes(view.self);',
        'return newestConfig(window).begin === config;'
      )
    ]
  },
  {
    name: 'deletedWithoutComparison',
    breaks: 'a former owner releases a slot although the owners lack entries that it holds',
    scenarios: ['lastCopy'],
    edits: [edit('actors/migration/handoff-session', 'return sum(mine).equals(sum(theirs));', 'return true;')]
  },
  {
    name: 'deletedAsOwner',
    breaks: 'a slot is released and deleted although the member owns it again',
    scenarios: ['ownerAgain'],
    edits: [
      edit('actors/replica/fence', 'if (!isOver)\n            return false;', ''),
      edit(
        'actors/replica/entry-writer',
        'if (!this.#deps.fence.isReleased(slotOf(storedKey.subarray(DATA_KEY_OVERHEAD))))\n            return;',
        ''
      )
    ]
  },
  {
    name: 'retiredServesPulls',
    breaks: 'a former owner that has deleted a slot answers pulls for it',
    scenarios: ['retiredSource'],
    edits: [edit('actors/replica/fence', 'if (this.#released[slot] >= config || this.isReleased(slot))', 'if (false)')]
  },
  {
    name: 'reownerServesPulls',
    breaks: 'a member that released a slot and owns it again answers pulls for the config at which it released it',
    scenarios: ['reownedSource'],
    edits: [edit('actors/replica/fence', 'this.#released[slot] >= config', 'this.#released[slot] > config')]
  },
  {
    name: 'retirementForgotten',
    breaks: 'the release of a slot is not on disk, so the slot is served again after a restart',
    scenarios: ['retiredRestart'],
    edits: [
      edit('actors/replica/slot-release', 'const writes = [writeReleased(fence.released)];', 'const writes = [];')
    ]
  },
  {
    name: 'majorityOfTheNew',
    breaks: 'a view is chosen by a majority of its own members, not of the members of the view before',
    scenarios: ['twoMajorities'],
    edits: [
      edit(
        'actors/membership/proposer',
        'propose([...view.members.keys()],',
        'propose([...view.members.keys()].filter((id) => !change.removals.includes(id)),'
      )
    ]
  },
  {
    name: 'snapshotForgetsBegins',
    breaks: 'a snapshot names configs by its own view, not by the view in which they began',
    scenarios: ['sleeper'],
    edits: [edit('views/snapshot', 'baseConfig(window).begin)', 'view.number)')]
  },
  {
    name: 'snapshotWhileMoving',
    breaks: 'a chain is replaced by a snapshot while slots move',
    scenarios: ['movingSnapshot'],
    edits: [edit('views/ring-state', 'if (longestWindow(configs) > 1)\n        return state;', '')]
  }
]
