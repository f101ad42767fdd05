// Bugs of disks without room: what is stored, read and freed there.
import { type Bug, edit } from './bug.js'

export const FULL_DISKS: readonly Bug[] = [
  {
    name: 'fullOwnersAskedLate',
    breaks: 'a write is sent to owners with room before those that may refuse it have stored it',
    scenarios: ['refusedUnseen'],
    edits: [edit('actors/router/short-owners', 'return phase.canSpare(lacks) ? undefined', 'return true ? undefined')]
  },
  {
    name: 'fullUntold',
    breaks: 'a member does not tell the others that its disk is nearly full',
    scenarios: ['refusedUnseen'],
    edits: [edit('node/node', 'hasLowSpace: lowSpace }', 'lowSpace = false }')]
  },
  {
    name: 'repairRefusedWhenFull',
    breaks: 'a full owner refuses the entry that a read found elsewhere',
    scenarios: ['refusedReadable'],
    edits: [edit('actors/replica/write-requests', 'repair === true || isTombstone(envelope)', 'isTombstone(envelope)')]
  },
  {
    name: 'deleteRefusedWhenFull',
    breaks: 'a full owner refuses tombstones',
    scenarios: ['purgedWhenFull'],
    edits: [edit('actors/replica/write-requests', 'repair === true || isTombstone(envelope)', 'repair === true')]
  },
  {
    name: 'purgeRefusedWhenFull',
    breaks: 'a full owner closes no slot, so nothing is purged',
    scenarios: ['purgedWhenFull'],
    edits: [
      edit(
        'actors/replica/replica',
        'const closed = async () => this.#purge.close(message);',
        "const full = this.#space.admit('value', 1); if (full !== undefined) return message.reply(full);",
        'const closed = async () => this.#purge.close(message);'
      )
    ]
  },
  {
    name: 'closedStoreSilent',
    breaks: 'a store that takes no write answers no read',
    scenarios: ['closedStoreReads'],
    edits: [edit('storage/guarded-store', 'return !this.#isReopening;', 'return this.#failure === undefined;')]
  }
]
