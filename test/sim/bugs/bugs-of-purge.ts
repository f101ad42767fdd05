// Bugs of forgetting: what was deleted leaves the disks too early, or comes back when it has.
import { type Bug, edit } from './bug.js'

export const PURGES: readonly Bug[] = [
  {
    name: 'purgeUncompared',
    breaks: 'tombstones are purged although the owners do not hold the same',
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
    breaks: 'the owners that are there agree on what may be forgotten, without those that are away',
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
    breaks: 'a write enters that is older than what its slot has forgotten',
    scenarios: ['lateWriteBelow'],
    edits: [edit('actors/replica/entry-writer', 'if (isBefore(version, floor))', 'if (false)')]
  },
  {
    name: 'handOverBelowFence',
    breaks: 'owners take what is older than what they have forgotten, when a former owner brings it',
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
    breaks: 'what has been forgotten is not on disk, so that it may enter after a restart',
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
    breaks: 'who owns a slot again believes what it kept, although the owners have forgotten some of it meanwhile',
    scenarios: ['leftoverOwner'],
    edits: [edit('actors/replica/purge-participant', 'if (forget === 0)', 'if (true)')]
  },
  {
    name: 'onceClosedNeverDoubted',
    breaks: 'one owner that has closed the slot and holds nothing outweighs the others that have',
    scenarios: ['hiddenBelow'],
    edits: [edit('entry/read-resolution', 'if (count.deniedBelow <= count.for)', 'if (count.deniedBelow === 0)')]
  },
  {
    name: 'oneVoiceIsEnough',
    breaks: 'what one owner that has closed the slot holds counts, whatever the others say',
    scenarios: ['shownBelow'],
    edits: [
      edit(
        'entry/read-resolution',
        'if (count.deniedBelow <= count.for)',
        'if (count.deniedBelow === 0 || count.for > 0)'
      )
    ]
  },
  {
    name: 'noneIsHeard',
    breaks: 'two owners that contradict each other are believed without hearing the third',
    scenarios: ['shownBelow'],
    edits: [edit('actors/router/router', 'operation.found.deniedBelow > 0 && this.#hearAll(operation, phase)', 'false')]
  },
  {
    name: 'notGivenBack',
    breaks: 'an owner does not take back what it has lost below a bound, though the others speak for it',
    scenarios: ['hiddenBelow'],
    edits: [edit('actors/replica/entry-writer', 'if (confirmedBelow < closed[slot])', 'if (true)')]
  },
  {
    name: 'disputesUnsettled',
    breaks: 'repair leaves alone what owners have closed and do not agree on',
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
