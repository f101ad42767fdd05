// Bugs of reads and writes: whose answers count, and which version wins.
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
    breaks: 'a newer config closes the older ones at once',
    scenarios: ['movingRead'],
    edits: [edit('views/configs', '[...old, config]', '[config]')]
  },
  {
    name: 'readsOldestConfigOnly',
    breaks: 'a read needs a quorum of the oldest config only',
    scenarios: ['staleBase'],
    edits: [
      edit(
        'actors/router/router',
        'new QuorumPhase(this.#view.configs.windows[slot],',
        'new QuorumPhase(this.#view.configs.windows[slot].slice(0,',
        "step === 'reading' ? 1 : undefined),"
      )
    ]
  },
  {
    name: 'windowMovesUnderPhase',
    breaks: 'answers that were asked for under one window are counted by another',
    scenarios: ['narrowMidRead'],
    edits: [
      edit(
        'actors/router/router',
        'if (phase.isComplete())\n            this.#completed(operation, phase);\n        else if',
        'phase.window = this.#view.configs.windows[operation.slot];',
        'if (phase.isComplete()) this.#completed(operation, phase); else if'
      )
    ]
  },
  {
    name: 'retryMintsVersion',
    breaks: 'a write that is tried again because the ring has changed gets a new version',
    scenarios: ['retryMints'],
    edits: [
      edit(
        'actors/router/router',
        'if (operation.waits || isOutdated)',
        "if (isOutdated && operation.step === 'writing') operation.envelope = undefined;",
        'if (operation.waits || isOutdated)'
      )
    ]
  },
  {
    name: 'noReadRepair',
    breaks: 'a read whose answers differ does not write the newest back before it answers',
    scenarios: ['halfWrite', 'halfDelete'],
    edits: [
      edit(
        'actors/router/router',
        "else if (consistency === 'one' || phase.isAgreed(operation.found)) {",
        'else if (true) {'
      )
    ]
  },
  {
    name: 'noRepairOfTombstones',
    breaks: 'a read that finds a tombstone does not write it back before it answers',
    scenarios: ['halfDelete'],
    edits: [
      edit(
        'actors/router/router',
        "else if (consistency === 'one' || phase.isAgreed(operation.found)) {",
        'else if ((liveValue(operation.found.envelope, 0) === undefined) ||',
        "consistency === 'one' || phase.isAgreed(operation.found)) {"
      )
    ]
  },
  {
    name: 'lateAnswersCount',
    breaks: 'an answer to a former phase counts in the one that goes on',
    scenarios: ['lateAnswer'],
    edits: [
      edit(
        'actors/router/router',
        'if (operation.phase !== phase)\n            return;',
        'if (operation.phase === undefined) return;',
        'target = operation.phase.target(target.member) ?? target; phase = operation.phase;'
      )
    ]
  },
  {
    name: 'oneOwnerAcknowledges',
    breaks: 'a write is acknowledged when one owner of each config has it',
    scenarios: ['oneAck'],
    edits: [
      edit(
        'actors/router/router',
        'this.#view.number, consistency);',
        "this.#view.number, step === 'writing' ? 'one' : consistency);"
      )
    ]
  },
  {
    name: 'halfIsAQuorum',
    breaks: 'a quorum is half of the owners, not more than half',
    scenarios: ['oneAck'],
    edits: [edit('views/chain', 'return Math.floor(size / 2) + 1', 'return Math.max(1, Math.floor(size / 2))')]
  },
  {
    name: 'lastArrivalWins',
    breaks: 'what arrives last is stored, whatever its version',
    scenarios: ['arrivalOrder'],
    edits: [edit('actors/replica/entry-writer', 'if (order > 0)\n                return versionOf(sound);', '')]
  },
  {
    name: 'batchForgetsItself',
    breaks: 'of two writes of one key in one batch the later one is stored, whatever its version',
    scenarios: ['oneBatch'],
    edits: [edit('actors/replica/entry-writer', 'const planned = batch.changeOf(name);', 'const planned = undefined;')]
  },
  {
    name: 'supersededCounts',
    breaks: 'an owner that did not apply a write because it holds a newer version counts for it',
    scenarios: ['slowClock'],
    edits: [
      edit(
        'actors/router/quorum-phase',
        "target.standing === 'answered' && target.newer === undefined",
        "target.standing === 'answered'"
      )
    ]
  },
  {
    name: 'damageServed',
    breaks: 'the checksum of an entry is not compared',
    scenarios: ['bitRot', 'bitRotPassedOn'],
    edits: [edit('entry/envelope', 'return readU32(bytes, 0) === checksum(key, bytes);', 'return true;')]
  },
  {
    name: 'anotherLifeAsked',
    breaks: 'a peer that came back as another member counts in operations as the member that it was',
    scenarios: ['anotherLife'],
    edits: [
      edit(
        'actors/router/router',
        'return isMemberLinked(this.#deps.network, this.#view.peerIds, member);',
        'return this.#deps.network.link(this.#view.peerIds.get(member)) !== undefined;'
      )
    ]
  }
]
