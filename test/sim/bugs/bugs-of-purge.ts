// Bugs of purges: a tombstone leaves the disks too early, or a deleted value comes back after its purge.
import { type Bug, edit } from './bug.js'

export const PURGES: readonly Bug[] = [
  {
    name: 'purgeUncompared',
    breaks: 'tombstones are purged although the owners hold different entries',
    scenarios: ['missedDelete'],
    edits: [
      edit(
        'actors/purge',
        'told.every(({ sums }) => sumAt(sums, index)',
        'true || told.every(({ sums }) => sumAt(sums, index)'
      )
    ]
  },
  {
    name: 'purgeWithoutAll',
    breaks: 'the owners that are up agree on a purge without those that are down',
    scenarios: ['absentOwner'],
    edits: [
      edit('actors/purge', '!config.owners.every((owner) => this.#isThere(owner, view))', 'false'),
      edit(
        'actors/purge',
        'const { owners } = job.config;',
        'const owners = job.config.owners.filter((owner) => this.#isThere(owner, view));'
      )
    ]
  },
  {
    name: 'lateWriteEnters',
    breaks: 'an owner stores a write that is older than the purge bound of its slot',
    scenarios: ['lateWriteBelow'],
    edits: [edit('actors/replica/entry-writer', 'if (isBefore(version, floor))', 'if (false)')]
  },
  {
    name: 'handOverBelowFence',
    breaks: 'owners store entries of a handoff that are older than the purge bound of their slot',
    scenarios: ['handOverBelow'],
    edits: [
      edit(
        'actors/replica/entry-writer',
        'return bounds.isClosed(slot, version) && fence.isComplete(slot);',
        'return false;'
      )
    ]
  },
  {
    name: 'fenceForgotten',
    breaks: 'the purge bound is not on disk, so older entries may enter after a restart',
    scenarios: ['handOverBelow'],
    edits: [
      edit(
        'actors/replica/purge-participant',
        '[writeClosing(bounds.closing), writeClosed(bounds.closed)]',
        '[writeClosing(bounds.closing)]'
      )
    ]
  },
  {
    name: 'leftoverBelieved',
    breaks: 'a member that owns a slot again keeps its old entries, although the owners have purged some of them',
    scenarios: ['leftoverOwner'],
    edits: [edit('actors/replica/purge-participant', 'if (forget === 0)', 'if (true)')]
  },
  {
    name: 'onceClosedNeverDoubted',
    breaks: 'one owner that has closed the slot and holds nothing wins against two that hold the entry',
    scenarios: ['hiddenBelow'],
    edits: [edit('entry/read-resolution', 'if (count.denying <= count.confirming)', 'if (count.denying === 0)')]
  },
  {
    name: 'oneVoiceIsEnough',
    breaks: 'an entry of one owner that has closed the slot wins against two owners that lack it',
    scenarios: ['shownBelow'],
    edits: [
      edit(
        'entry/read-resolution',
        'if (count.denying <= count.confirming)',
        'if (count.denying === 0 || count.confirming > 0)'
      )
    ]
  },
  {
    name: 'noneIsHeard',
    breaks: 'a read of two owners that contradict each other does not ask the third',
    scenarios: ['shownBelow'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'if (found.deniedBelow > 0 && this.#hearAll(operation, phase))',
        'if (false)'
      )
    ]
  },
  {
    name: 'notGivenBack',
    breaks: 'an owner does not store an entry that it lost below its purge bound, though the others hold it',
    scenarios: ['hiddenBelow'],
    edits: [edit('actors/replica/entry-writer', 'if (confirmedBelow < closed[slot])', 'if (true)')]
  },
  {
    name: 'disputesUnsettled',
    breaks: 'repair does not resolve entries below the purge bound that the owners disagree about',
    scenarios: ['hiddenBelow', 'shownBelow'],
    edits: [
      edit('actors/replica/entry-writer', 'this.#deps.onDisputed(key)', 'void key'),
      edit(
        'actors/replica/repair-exchange',
        'this.#deps.onDisputed(storedKey.subarray(DATA_KEY_OVERHEAD))',
        'void storedKey'
      )
    ]
  }
]
