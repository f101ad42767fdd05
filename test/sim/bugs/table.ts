// The bugs that the simulator must find: each breaks one rule of the protocol, by an edit of a compiled module.
// Production code holds no trace of them; plant.ts applies the edits while modules are loaded.

export interface Edit {
  /** Below dist/. */
  readonly file: string
  /** Stands in the compiled file exactly once. */
  readonly find: string
  readonly replace: string
}

export interface Bug {
  readonly name: string
  /** Which rule, in a sentence. */
  readonly breaks: string
  /** The directed scenarios that fail with it. */
  readonly scenarios: readonly string[]
  readonly edits: readonly Edit[]
}

const edit = (file: string, find: string, replace: string): Edit => ({ file: `lib/${file}.js`, find, replace })

export const BUGS: readonly Bug[] = [
  {
    name: 'noFence',
    breaks: 'an owner admits operations of an older config than the newest that it knows',
    scenarios: ['lateWriteAfter'],
    edits: [
      edit(
        'actors/storage',
        'if (newestConfig(this.#view.configs.windows[slot]).begin <= message.view)',
        'if (newestConfig(this.#view.configs.windows[slot]).begin > 0)'
      )
    ]
  },
  {
    name: 'pullWithoutFence',
    breaks: 'a source answers a pull although it does not know the view of who pulls',
    scenarios: ['lateWriteMid'],
    edits: [
      edit('actors/storage', '#handlePull(message) {', '#handlePull(message) { message = { ...message, view: 0 };')
    ]
  },
  {
    name: 'snapshotBeforeFence',
    breaks: 'a source takes the snapshot first and learns the view of who pulls afterwards',
    scenarios: ['lateWriteMid'],
    edits: [
      edit(
        'actors/storage',
        '#handlePull(message) {',
        '#handlePull(message) { message.early ??= this.#reader.block(message);'
      ),
      edit('actors/storage', ': this.#reader.block(message);\n', ': message.early;\n')
    ]
  },
  {
    name: 'noDrain',
    breaks: 'a source takes the snapshot before the writes that it admitted are applied',
    scenarios: ['lateWriteAdmitted'],
    edits: [edit('actors/storage', "this.#queue({ kind: 'barrier', reply: applied }, 0)", 'applied(undefined)')]
  },
  {
    name: 'viewsForgotten',
    breaks: 'a learned view is not on disk, so that the fence is gone after a restart',
    scenarios: ['lateWriteRestart'],
    edits: [
      edit(
        'actors/ring-keeper',
        'after.changes.slice(before.changes.length).map(writeView)',
        'after.changes.slice(before.changes.length).filter(({ number }) => number <= 2).map(writeView)'
      )
    ]
  },
  {
    name: 'pullFromOne',
    breaks: 'a newcomer pulls from one owner of a config where its quorums could have missed that one',
    scenarios: ['oneSource'],
    edits: [edit('views/configs', 'return config.owners.length - config.quorum + 1', 'return 1')]
  },
  {
    name: 'stayerSkipsPull',
    breaks: 'an owner that stays calls itself ready without a pull',
    scenarios: ['lazyStayer'],
    edits: [
      edit(
        'views/pull-plan',
        'const earlier = job.window.slice(0, -1);',
        "const earlier = job.window.slice(0, -1); if (earlier.at(-1)?.owners.includes(self)) return { kind: 'merge', sources: [] };"
      )
    ]
  },
  {
    name: 'growerSkipsPull',
    breaks: 'an owner that stays calls itself ready without a pull where no owner has gone',
    scenarios: ['lazyGrower'],
    edits: [
      edit(
        'views/pull-plan',
        'const earlier = job.window.slice(0, -1);',
        "const earlier = job.window.slice(0, -1); const last = earlier.at(-1); if (last?.owners.includes(self) && last.owners.every((id) => job.config.owners.includes(id))) return { kind: 'merge', sources: [] };"
      )
    ]
  },
  {
    name: 'readyForAnything',
    breaks: 'who was ready for an older config counts as ready for the newest',
    scenarios: ['lazyStayer'],
    edits: [edit('views/facts', '?.[slot] === config.begin)', '?.[slot] > 0)')]
  },
  {
    name: 'settledByOne',
    breaks: 'a config counts as settled when one of its owners is ready',
    scenarios: ['oneReady'],
    edits: [
      edit(
        'views/facts',
        'readyOwners(config, slot, readiness) < config.quorum',
        'readyOwners(config, slot, readiness) < 1'
      )
    ]
  },
  {
    name: 'settledByPullQuorum',
    breaks: 'a config of two counts as settled when one of its owners is ready',
    scenarios: ['growTwo'],
    edits: [
      edit(
        'views/facts',
        'readyOwners(config, slot, readiness) < config.quorum',
        'readyOwners(config, slot, readiness) < config.owners.length - config.quorum + 1'
      )
    ]
  },
  {
    name: 'vacuousReady',
    breaks: 'an owner whose config is settled calls itself ready because no older config is left to pull from',
    scenarios: ['vacuousReady'],
    edits: [edit('views/pull-plan', 'if (earlier.length === 0)\n        return undefined;', '')]
  },
  {
    name: 'readyBeforeMerged',
    breaks: 'what a transfer brought counts as merged before it is on disk',
    scenarios: ['readyThenCrash'],
    edits: [
      edit(
        'actors/storage',
        "return void this.#merges.push({ kind: 'merge', entries: message.entries, reply: message.reply });",
        "this.#merges.push({ kind: 'merge', entries: message.entries, reply: () => {} }); return message.reply(undefined);"
      )
    ]
  },
  {
    name: 'newestConfigOnly',
    breaks: 'an operation needs a quorum of the newest config only',
    scenarios: ['movingRead'],
    edits: [edit('actors/operation', 'this.window = window;', 'this.window = window.slice(-1);')]
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
        'actors/router',
        'new Phase(this.#view.configs.windows[slot],',
        "new Phase(step === 'reading' ? this.#view.configs.windows[slot].slice(0, 1) : this.#view.configs.windows[slot],"
      )
    ]
  },
  {
    name: 'windowMovesUnderPhase',
    breaks: 'answers that were asked for under one window are counted by another',
    scenarios: ['narrowMidRead'],
    edits: [
      edit(
        'actors/router',
        'if (phase.isComplete())',
        'phase.window = this.#view.configs.windows[operation.slot]; if (phase.isComplete())'
      )
    ]
  },
  {
    name: 'newcomerToldTooMuch',
    breaks: 'a newcomer is told that the newest config is settled while it is not',
    scenarios: ['blindJoiner'],
    edits: [
      edit(
        'views/ring-state',
        'bases: state.view === undefined ||',
        'bases: digest.view === 0 && state.view !== undefined ? new Uint32Array(SLOTS).fill(state.view.number) : state.view === undefined ||'
      )
    ]
  },
  {
    name: 'retryMintsVersion',
    breaks: 'a write that is tried again because the ring has changed gets a new version',
    scenarios: ['retryMints'],
    edits: [
      edit(
        'actors/router',
        'if (operation.waits || isOutdated)',
        "if (isOutdated && operation.step === 'writing') operation.envelope = undefined; if (operation.waits || isOutdated)"
      )
    ]
  },
  {
    name: 'noReadRepair',
    breaks: 'a read whose answers differ does not write the newest back before it answers',
    scenarios: ['halfWrite', 'halfDelete'],
    edits: [
      edit('actors/router', "else if (consistency === 'one' || phase.isAgreed(operation.found)) {", 'else if (true) {')
    ]
  },
  {
    name: 'noRepairOfTombstones',
    breaks: 'a read that finds a tombstone does not write it back before it answers',
    scenarios: ['halfDelete'],
    edits: [
      edit(
        'actors/router',
        "else if (consistency === 'one' || phase.isAgreed(operation.found)) {",
        "else if (consistency === 'one' || isTombstone(operation.found ?? Buffer.alloc(99)) || phase.isAgreed(operation.found)) {"
      )
    ]
  },
  {
    name: 'lateAnswersCount',
    breaks: 'an answer to a former phase counts in the one that goes on',
    scenarios: ['lateAnswer'],
    edits: [
      edit(
        'actors/router',
        'if (operation.phase !== phase)\n            return;',
        'if (operation.phase === undefined) return; target = operation.phase.target(target.member) ?? target; phase = operation.phase;'
      )
    ]
  },
  {
    name: 'oneOwnerAcknowledges',
    breaks: 'a write is acknowledged when one owner of each config has it',
    scenarios: ['oneAck'],
    edits: [
      edit(
        'actors/router',
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
    edits: [edit('actors/storage', 'if (order > 0)\n                return before;', '')]
  },
  {
    name: 'batchForgetsItself',
    breaks: 'of two writes of one key in one batch the later one is stored, whatever its version',
    scenarios: ['oneBatch'],
    edits: [
      edit('actors/storage', 'plan.planned(name) ?? this.#reader.get(key, stored)', 'this.#reader.get(key, stored)')
    ]
  },
  {
    name: 'tombstonesStayBehind',
    breaks: 'a transfer leaves out tombstones',
    scenarios: ['deletedStays'],
    edits: [
      edit(
        'actors/entry-reader',
        'if (this.#sound(stored.subarray(DATA_KEY_OVERHEAD), envelope) === undefined)',
        'if (envelope[21] === 1 || this.#sound(stored.subarray(DATA_KEY_OVERHEAD), envelope) === undefined)'
      )
    ]
  },
  {
    name: 'supersededCounts',
    breaks: 'an owner that did not apply a write because it holds a newer version counts for it',
    scenarios: ['slowClock'],
    edits: [
      edit(
        'actors/operation',
        "target.standing === 'answered' && target.newer === undefined",
        "target.standing === 'answered'"
      )
    ]
  },
  {
    name: 'ceilingForgotten',
    breaks: 'the ceiling of the clock is not on disk, so that versions go back after a restart',
    scenarios: ['clockBack'],
    edits: [edit('actors/router', '[{ name: CEILING, value: fromText(String(ceiling)) }]', '[]')]
  },
  {
    name: 'lastSlotSkipped',
    breaks: 'a pull leaves out the last slot of what it is for',
    scenarios: ['lastSlot'],
    edits: [edit('actors/migration', 'rangesOf(slots)', 'rangesOf(slots.length > 1 ? slots.slice(0, -1) : slots)')]
  },
  {
    name: 'restOfSlotSkipped',
    breaks: 'a transfer goes on behind the slot in which a block ended, not behind the entry',
    scenarios: ['blockBorder'],
    edits: [
      edit(
        'actors/transfer',
        'after = reached;',
        'after = Buffer.concat([reached.subarray(0, 3), Buffer.alloc(9, 255)]);'
      )
    ]
  },
  {
    name: 'votesForgotten',
    breaks: 'promises and acceptances are not on disk, so that a restarted acceptor votes again',
    scenarios: ['forgetfulAcceptor'],
    edits: [edit('actors/ring-keeper', 'this.#writes.push(writeAcceptor(state));', '')]
  },
  {
    name: 'acceptedBeforeDisk',
    breaks: 'an acceptance is spoken before it is on disk',
    scenarios: ['hastyAcceptor'],
    edits: [
      edit(
        'actors/voting',
        'this.#deps.keeper.after(() => respond({ accepted: { granted: vote.granted, promised } }));',
        'respond({ accepted: { granted: vote.granted, promised } });'
      )
    ]
  },
  {
    name: 'promisedBeforeDisk',
    breaks: 'a promise is spoken before it is on disk',
    scenarios: ['hastyPromise'],
    edits: [
      edit(
        'actors/voting',
        'this.#deps.keeper.after(() => respond({ promised: forms.promisedToWire(vote) }));',
        'respond({ promised: forms.promisedToWire(vote) });'
      )
    ]
  },
  {
    name: 'spokenBeforeDisk',
    breaks: 'what membership has learned or promised is spoken before it is on disk',
    scenarios: ['hastyAcceptor', 'hastyPromise'],
    edits: [edit('actors/ring-keeper', 'await this.#deps.persist(writes);', 'void this.#deps.persist(writes);')]
  },
  {
    name: 'acceptedIgnored',
    breaks: 'a proposer pushes its own view although a promise told it of an accepted one',
    scenarios: ['secondProposer'],
    edits: [edit('views/paxos', 'change = vote.accepted.change;', '')]
  },
  {
    name: 'minorityChooses',
    breaks: 'half of the members choose a view',
    scenarios: ['secondProposer'],
    edits: [
      edit(
        'views/paxos',
        'votes.size < quorum(proposal.acceptors.length)',
        'votes.size < Math.max(1, Math.floor(proposal.acceptors.length / 2))'
      )
    ]
  },
  {
    name: 'acknowledgedBeforeFlush',
    breaks: 'a write is acknowledged before it is on disk',
    scenarios: ['powerCut'],
    edits: [
      edit(
        'actors/storage',
        'const answers = group.map((pending) => this.#plan(plan, pending));',
        'const answers = group.map((pending) => this.#plan(plan, pending)); for (const answer of answers.splice(0)) answer();'
      )
    ]
  },
  {
    name: 'lossTrusted',
    breaks: 'a store that lost what it had acknowledged goes on as the same member',
    scenarios: ['forgetfulDisk'],
    edits: [
      edit(
        'storage/guarded-store',
        'if (persisted !== this.#acknowledged && persisted !== this.#acknowledged + 1)',
        'if (persisted > this.#acknowledged + 1)'
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
        'actors/router',
        'return this.#deps.network.link(this.#view.peerIds.get(member))?.storeId === member;',
        'return this.#deps.network.link(this.#view.peerIds.get(member)) !== undefined;'
      )
    ]
  },
  {
    name: 'anotherLifePulled',
    breaks: 'a peer that came back as another member counts in pulls as the member that it was',
    scenarios: ['anotherLifePulled'],
    edits: [
      edit('actors/migration', 'network.link(peerId)?.storeId === member', 'network.link(peerId) !== undefined'),
      edit('actors/transfer', 'network.link(source)?.storeId !== member', 'network.link(source) === undefined')
    ]
  }
]

/** The text of a compiled module with the bug in it. Throws unless each edit has one place. */
export function patched(bug: Bug, file: string, text: string): string {
  let changed = text
  for (const { find, replace } of bug.edits.filter((one) => one.file === file)) {
    const places = changed.split(find).length - 1
    if (places !== 1) throw new Error(`${bug.name}: its place in ${file} is found ${places} times, not once`)
    changed = changed.replace(find, () => replace)
  }
  return changed
}
