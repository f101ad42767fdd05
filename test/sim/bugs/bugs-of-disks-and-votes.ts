// Bugs of what must be on disk before it is spoken, and of how a view is chosen.
import { type Bug, edit } from './bug.js'

export const DISKS_AND_VOTES: readonly Bug[] = [
  {
    name: 'viewsForgotten',
    breaks: 'a learned view is not on disk, so that the fence is gone after a restart',
    scenarios: ['lateWriteRestart'],
    edits: [
      edit(
        'actors/membership/durable-ring',
        'after.changes.slice(before.changes.length).map(writeView)',
        'after.changes.slice(before.changes.length).filter(({ number }) => number <= 2).map(writeView)'
      )
    ]
  },
  {
    name: 'readyBeforeMerged',
    breaks: 'what a transfer brought counts as merged before it is on disk',
    scenarios: ['readyThenCrash'],
    edits: [
      edit(
        'actors/replica/replica',
        "return this.#queueMerge(message.entries, 'source', message.reply);",
        "this.#deps.clock.after(200, () => { this.#queueMerge(message.entries, 'source', () => {});",
        'this.#queue.urge(); });',
        'return message.reply(undefined);'
      )
    ]
  },
  {
    name: 'ceilingForgotten',
    breaks: 'the ceiling of the clock is not on disk, so that versions go back after a restart',
    scenarios: ['clockBack'],
    edits: [edit('actors/router/router', '[writeCeiling(ceiling)]', '[]')]
  },
  {
    name: 'acknowledgedBeforeFlush',
    breaks: 'a write is acknowledged before it is on disk',
    scenarios: ['powerCut'],
    edits: [
      edit(
        'actors/replica/write-queue',
        'const answers = writes.map((write) => write.addTo(batch));',
        'const answers = writes.map((write) => write.addTo(batch));',
        'for (const answer of answers.splice(0)) answer();'
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
    name: 'oldCopyTrusted',
    breaks: 'a store that is an old copy of itself serves again without asking anybody',
    scenarios: ['restoredCopy'],
    edits: [edit('node/rollback-guard', 'this.#isTrusted = isNew;', 'this.#isTrusted = true;')]
  },
  {
    name: 'votesForgotten',
    breaks: 'promises and acceptances are not on disk, so that a restarted acceptor votes again',
    scenarios: ['forgetfulAcceptor'],
    edits: [edit('actors/membership/durable-ring', 'this.#writes.push(writeAcceptor(state));', '')]
  },
  {
    name: 'acceptedBeforeDisk',
    breaks: 'an acceptance is spoken before it is on disk',
    scenarios: ['hastyAcceptor'],
    edits: [
      edit(
        'actors/membership/voting',
        'this.#deps.durableRing.after(() => respond({ accepted: { granted: vote.granted, promised } }));',
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
        'actors/membership/voting',
        'this.#deps.durableRing.after(() => respond({ promised: forms.promisedToWire(vote) }));',
        'respond({ promised: forms.promisedToWire(vote) });'
      )
    ]
  },
  {
    name: 'spokenBeforeDisk',
    breaks: 'what membership has learned or promised is spoken before it is on disk',
    scenarios: ['hastyAcceptor', 'hastyPromise'],
    edits: [
      edit('actors/membership/durable-ring', 'await this.#deps.persist(writes);', 'void this.#deps.persist(writes);')
    ]
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
  }
]
