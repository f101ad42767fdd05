// Bugs of data that must be on disk before a peer sends it, and of the choice of a view.
import { type Bug, edit } from './bug.js'

export const DISKS_AND_VOTES: readonly Bug[] = [
  {
    name: 'viewsForgotten',
    breaks: 'a learned view is not on disk, so the fence admits old operations after a restart',
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
    breaks: 'entries of a transfer count as stored before they are on disk',
    scenarios: ['readyThenCrash'],
    edits: [
      edit(
        'actors/replica/replica',
        "return this.#merges.take(message.entries, 'source', message.reply, message.pull);",
        "this.#deps.clock.after(1000, () => { this.#merges.take(message.entries, 'source', () => {}, message.pull);",
        'this.#queue.urge(); });',
        'return message.reply([]);'
      )
    ]
  },
  {
    name: 'ceilingForgotten',
    breaks: 'neither the ceiling of the clock nor the agreed moment is on disk, so versions go back after a restart',
    scenarios: ['clockBack'],
    edits: [
      edit('actors/router/version-minter', '[writeCeiling(ceiling)]', '[]'),
      edit('actors/replica/agreed-moment', 'if (moment <= this.#storedMs)', 'if (true)')
    ]
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
    breaks: 'a store that lost acknowledged writes continues as the same member',
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
    breaks: 'a store that is an old copy of itself serves without asking the other members',
    scenarios: ['restoredCopy'],
    edits: [edit('node/rollback-guard', 'this.#isTrusted = isNew;', 'this.#isTrusted = true;')]
  },
  {
    name: 'votesForgotten',
    breaks: 'promises and acceptances are not on disk, so a restarted acceptor votes again',
    scenarios: ['forgetfulAcceptor'],
    edits: [edit('actors/membership/durable-ring', 'this.#writes.push(writeAcceptor(state));', '')]
  },
  {
    name: 'acceptedBeforeDisk',
    breaks: 'an acceptance is sent before it is on disk',
    scenarios: ['hastyAcceptor'],
    edits: [
      edit('actors/membership/voting', 'durableRing.after(() => respond({ accepted }));', 'respond({ accepted });')
    ]
  },
  {
    name: 'promisedBeforeDisk',
    breaks: 'a promise is sent before it is on disk',
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
    breaks: 'membership sends facts and votes before they are on disk',
    scenarios: ['hastyAcceptor', 'hastyPromise'],
    edits: [
      edit('actors/membership/durable-ring', 'await this.#deps.persist(writes);', 'void this.#deps.persist(writes);')
    ]
  },
  {
    name: 'acceptedIgnored',
    breaks: 'a proposer proposes its own view although a promise reports an accepted one',
    scenarios: ['secondProposer'],
    edits: [
      edit('views/paxos', 'change = reported.change;', ''),
      edit('views/paxos', 'proof = reported.proof ?? NO_PROOF;', '')
    ]
  },
  {
    name: 'minorityChooses',
    breaks: 'half of the members can choose a view',
    scenarios: ['secondProposer'],
    edits: [
      edit(
        'views/paxos',
        '!isEnough(proposal, votes)',
        'votes.size < Math.max(1, Math.floor(proposal.acceptors.length / 2))'
      )
    ]
  }
]
