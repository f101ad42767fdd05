// Bugs of hints: whether they count for a quorum, where and in what form they are replayed, and when they are deleted.
import { type Bug, edit } from './bug.js'

export const HINTS: readonly Bug[] = [
  {
    name: 'hintCountsToQuorum',
    breaks: 'an owner for which a hint is kept counts as one that has stored the write',
    scenarios: ['hintAlone'],
    edits: [
      edit(
        'actors/router/owner-asker',
        "if (!this.#deps.owners.send(operation, phase, target))\n            target.standing = 'refused';",
        'if (!this.#deps.owners.send(operation, phase, target))',
        "target.standing = operation.step === 'writing' ? 'answered' : 'refused';"
      )
    ]
  },
  {
    name: 'hintMintsVersion',
    breaks: 'a hint is replayed under a new version',
    scenarios: ['hintReturns'],
    edits: [
      edit(
        'actors/hints/hints',
        'import { allHints }',
        "import { decodeEnvelope, encodeEnvelope } from '../../entry/envelope.js'; import { allHints }"
      ),
      edit(
        'actors/hints/hints',
        'const body = { write: { view, key, envelope } };',
        'const entry = decodeEnvelope(key, envelope); const version = Buffer.from(entry.version);',
        'version.writeUIntBE(this.#deps.clock.now(), 0, 6);',
        'const body = { write: { view, key, envelope: encodeEnvelope(key, { ...entry, version }) } };'
      )
    ]
  },
  {
    name: 'hintReplayedToWrongLife',
    breaks: 'a hint is sent to the peer of its member, even if the peer is now another member',
    scenarios: ['hintWrongLife'],
    edits: [
      edit(
        'actors/hints/hints',
        'isMemberLinked(this.#deps.network, peerIds, member)',
        "this.#deps.network.link(peerIds.get(member) ?? '') !== undefined"
      )
    ]
  },
  {
    name: 'hintDeletedBeforeAnswer',
    breaks: 'hints are deleted when they are sent, not when they are answered',
    scenarios: ['hintUnanswered'],
    edits: [
      edit(
        'actors/hints/hint-replay',
        'const hints = await readBatch(deps, plan);',
        'const hints = await readBatch(deps, plan);',
        'if (hints.length > 0) await deps.remove(hints.map(({ stored }) => stored));'
      )
    ]
  },
  {
    name: 'hintAgesByOwnClock',
    breaks: 'a hint ages by the wall clock of the peer that keeps it',
    scenarios: ['hintClockJumps'],
    edits: [edit('actors/hints/hints', 'this.#deps.ringTime.now()', 'this.#deps.clock.now()')]
  }
]
