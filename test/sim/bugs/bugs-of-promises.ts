// What owners promise to rounds, and what they tell of entries that they have held.
import { type Bug, edit } from './bug.js'

const JUDGED = 'judgeWrite(envelope, sound, promises.of(batch, name))'

/** Entries of this origin pass every promise. */
function passes(name: string, breaks: string, origin: string, scenarios: readonly string[]): Bug {
  const free = `judgeWrite(envelope, sound, origin === '${origin}' ? undefined : promises.of(batch, name))`
  return { name, breaks, scenarios, edits: [edit('actors/replica/entry-writer', JUDGED, free)] }
}

export const PROMISED: readonly Bug[] = [
  {
    name: 'promiseNotDurable',
    breaks: 'a restarted owner has forgotten what it promised to rounds',
    scenarios: ['promiseLost'],
    edits: [edit('node/build-actors', 'promises: identity.promises,', 'promises: [],')]
  },
  {
    name: 'promiseToldEarly',
    breaks: 'a promise is told before it is on disk',
    scenarios: ['promiseBeforeDisk'],
    edits: [
      edit(
        'actors/replica/write-requests',
        'const result = this.#promise(batch, slot, message);',
        'const result = this.#promise(batch, slot, message); reply(result); return () => { };'
      )
    ]
  },
  passes('blindUnderPromise', 'a write of a client enters below a promise', 'client', [
    'blindPasses',
    'acceptUnderHigher'
  ]),
  passes('wbIgnoresPromise', 'a write-back of a read enters below a promise', 'owner', ['writeBackPasses']),
  passes('repairIgnoresPromise', 'an entry of repair enters below a promise', 'repair', ['pushPasses']),
  {
    name: 'pullIgnoresPromise',
    breaks: 'an entry that a pull brings enters below a promise',
    scenarios: ['pullBreaksPromise'],
    edits: [
      edit(
        'actors/replica/entry-writer',
        JUDGED,
        "judgeWrite(envelope, sound, origin === 'source' ? undefined : promises.of(batch, name))"
      ),
      edit('actors/replica/entry-writer', 'promises.end(batch, name, storedKey);', '')
    ]
  },
  {
    name: 'freshPullIgnoresPromise',
    breaks: 'an entry that a pull brings into an empty slot is not looked up, and enters below a promise',
    scenarios: ['pullBreaksPromise'],
    edits: [
      edit(
        'actors/replica/entry-writer',
        '(promises.isAny(batch) && promises.of(batch, nameOf(storedKey)) !== undefined)',
        'false'
      )
    ]
  },
  {
    name: 'pullForgetsPromise',
    breaks: 'the promises of a source are not due at the puller',
    scenarios: ['promiseLeftBehind'],
    edits: [edit('actors/migration/slot-pull', 'this.#pull.due(entries.map(', 'void (entries.map(')]
  },
  {
    name: 'readyBeforeDue',
    breaks: 'a puller is ready although it lacks what is due',
    scenarios: ['promiseLeftBehind', 'pullBreaksPromise'],
    edits: [edit('actors/migration/pull-end', 'if (lacking.length === 0)', 'if (true)')]
  },
  {
    name: 'memoryBeforeReady',
    breaks: 'an owner tells of what it had before it was ready for its config',
    scenarios: ['hadBeforeReady'],
    edits: [edit('actors/replica/merge-requests', 'memory.forgetSlots(slots);', 'void memory;')]
  },
  {
    name: 'readsNotShown',
    breaks: 'an owner says that nobody has seen an entry which it has answered to a read',
    scenarios: ['shownToReader'],
    edits: [edit('actors/replica/read-requests', 'this.#deps.memory.show(stored, envelope);', 'void stored;')]
  },
  {
    name: 'shownForgotten',
    breaks: 'a restarted owner says that nobody has seen an entry of before',
    scenarios: ['shownBeforeRestart'],
    edits: [
      edit('actors/replica/entry-memory', 'this.#storedMs = floorMs;', 'this.#storedMs = 0;'),
      edit(
        'actors/replica/entry-memory',
        'this.#add(storedKey, head, before, true)',
        'this.#add(storedKey, head, before, false)'
      )
    ]
  },
  {
    name: 'memoryWithoutFloor',
    breaks: 'a restarted owner says that it never had an entry which was overwritten before',
    scenarios: ['hadForgotten'],
    edits: [edit('actors/replica/entry-memory', 'this.#storedMs = floorMs;', 'this.#storedMs = 0;')]
  },
  {
    name: 'adoptNotShown',
    breaks: 'an owner says that nobody has seen an entry which a round of a reader has written',
    scenarios: ['adoptedAndTold'],
    edits: [edit('actors/replica/entry-writer', ' || isAdopted(envelope);', ';')]
  }
]
