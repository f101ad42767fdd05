// Bugs of reads and writes: which answers count, and which version wins.
import { type Bug, edit } from './bug.js'

export const OPERATIONS: readonly Bug[] = [
  {
    name: 'newestConfigOnly',
    breaks: 'an operation needs a quorum of the newest config only',
    scenarios: ['movingRead'],
    edits: [edit('actors/router/quorum-phase', 'this.window = window;', 'this.window = window.slice(-1);')]
  },
  {
    name: 'windowCutByLength',
    breaks: 'a new config removes the older ones from the window at once',
    scenarios: ['movingRead'],
    edits: [edit('views/configs', '[...old, config]', '[config]')]
  },
  {
    name: 'readsOldestConfigOnly',
    breaks: 'a read needs a quorum of the oldest config only',
    scenarios: ['staleBase'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'new QuorumPhase(this.#view.configs.windows[slot],',
        'new QuorumPhase(this.#view.configs.windows[slot].slice(0,',
        "step === 'reading' ? 1 : undefined),"
      )
    ]
  },
  {
    name: 'windowMovesUnderPhase',
    breaks: 'answers to a phase of one window are counted by another window',
    scenarios: ['narrowMidRead'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'else if (phase.isComplete())',
        'else if ((phase.window = this.#view.configs.windows[operation.slot]) && phase.isComplete())'
      )
    ]
  },
  {
    name: 'retryMintsVersion',
    breaks: 'a write that is retried after a change of the ring gets a new version',
    scenarios: ['retryMints'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'if (hasMoved || isBehind)\n            this.#beginAgain(operation);',
        "if (hasMoved && operation.step === 'writing') operation.envelope = undefined;",
        'if (hasMoved || isBehind) this.#beginAgain(operation);'
      )
    ]
  },
  {
    name: 'noReadRepair',
    breaks: 'a read whose answers differ does not write the newest version back before it answers',
    scenarios: ['halfWrite', 'halfDelete'],
    edits: [edit('actors/router/operation-runner', "if (consistency === 'one' || phase.isAgreed(found))", 'if (true)')]
  },
  {
    name: 'noRepairOfTombstones',
    breaks: 'a read that finds a tombstone does not write it back before it answers',
    scenarios: ['halfDelete'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'import { QuorumPhase }',
        "import { liveValue } from './operation-outcome.js'; import { QuorumPhase }"
      ),
      edit(
        'actors/router/operation-runner',
        "if (consistency === 'one' || phase.isAgreed(found))",
        'if ((liveValue(found.envelope, 0) === undefined) ||',
        "consistency === 'one' || phase.isAgreed(found))"
      )
    ]
  },
  {
    name: 'lateAnswersCount',
    breaks: 'a late answer to an earlier phase counts in the current phase',
    scenarios: ['lateAnswer'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'if (operation.phase !== phase)\n            return;',
        'if (operation.phase === undefined) return;',
        'phase = operation.phase; target = phase.targets.find(({ member }) => member === target.member) ?? target;'
      )
    ]
  },
  {
    name: 'oneOwnerAcknowledges',
    breaks: 'a write is acknowledged when one owner of each config has stored it',
    scenarios: ['oneAck'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'this.#view.number, level,',
        "this.#view.number, step === 'writing' ? 'one' : level,"
      )
    ]
  },
  {
    name: 'halfIsAQuorum',
    breaks: 'half of the owners count as a quorum',
    scenarios: ['oneAck'],
    edits: [edit('views/chain', 'return Math.floor(size / 2) + 1', 'return Math.max(1, Math.floor(size / 2))')]
  },
  {
    name: 'lastArrivalWins',
    breaks: 'the write that arrives last is stored, whatever its version',
    scenarios: ['arrivalOrder'],
    edits: [
      edit(
        'actors/replica/entry-writer',
        "if (verdict === 'newer' || verdict === 'here') {",
        "if (verdict === 'here') {"
      )
    ]
  },
  {
    name: 'batchForgetsItself',
    breaks: 'of two writes of one key in one batch the second one is stored, whatever its version',
    scenarios: ['oneBatch'],
    edits: [edit('actors/replica/entry-writer', 'const planned = batch.changeOf(name);', 'const planned = undefined;')]
  },
  {
    name: 'supersededCounts',
    breaks: 'an owner that holds a newer version, and so did not store a write, counts for that write',
    scenarios: ['slowClock'],
    edits: [
      edit(
        'actors/router/quorum-phase',
        "standing === 'answered' && (newer === undefined || had)",
        "standing === 'answered'"
      )
    ]
  },
  {
    name: 'damageServed',
    breaks: 'the checksum of an entry is not checked',
    scenarios: ['bitRot', 'bitRotPassedOn'],
    edits: [edit('entry/envelope', 'readU32(bytes, 0) === checksum(key, bytes)', 'true')]
  },
  {
    name: 'anotherLifeAsked',
    breaks: 'in operations a peer that came back as another member counts as its former member',
    scenarios: ['anotherLife'],
    edits: [
      edit(
        'actors/router/owner-requests',
        'return isMemberLinked(this.#deps.network, this.#view.peerIds, member);',
        'return this.#deps.network.link(this.#view.peerIds.get(member)) !== undefined;'
      )
    ]
  },
  {
    name: 'builtOnUnchosen',
    breaks: 'an update is built on an entry that quorums do not hold',
    scenarios: ['appendOnHalf'],
    edits: [edit('actors/router/round', 'found.deniedBelow === 0 && isChosen(', 'true || isChosen(')]
  },
  {
    name: 'originLost',
    breaks: 'a round that writes the entry of another operation again forgets whose it is',
    scenarios: ['appendOnHalf'],
    edits: [
      edit(
        'actors/router/round-steps',
        'const origin = found === undefined ? NO_ORIGIN : originOf(found);',
        'let origin;'
      )
    ]
  },
  {
    name: 'attemptsForgotten',
    breaks: 'an update that begins again does not ask for its earlier attempts',
    scenarios: ['appendOnHalf'],
    edits: [
      edit('actors/router/round-steps', 'const origins = attempts.map(({ origin }) => origin);', 'const origins = [];')
    ]
  },
  {
    name: 'conditionOnHalf',
    breaks: 'an operation whose condition fails is answered before the entry that it was decided by is on quorums',
    scenarios: ['setIfAbsentOnHalf'],
    edits: [
      edit(
        'actors/router/round-steps',
        'if (change === undefined)\n        return { ...ends, result };',
        "if (change === undefined) return { type: 'end', result };"
      )
    ]
  },
  {
    name: 'mintedAnew',
    breaks: 'a write that owners refuse gets a new version without a look at where the first one was seen',
    scenarios: ['oneTwoOne'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'if (isBlind)\n            this.#beginStep',
        'if (isBlind) { operation.attempts = []; operation.envelope = undefined;',
        "this.#beginStep(operation, 'writing'); }",
        'else if (isBlind) this.#beginStep'
      )
    ]
  }
]
