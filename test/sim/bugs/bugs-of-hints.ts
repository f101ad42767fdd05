// Bugs of hints: what they count for, whom they reach and as what, and when they are forgotten.
import { type Bug, edit } from './bug.js'

export const HINTS: readonly Bug[] = [
  {
    name: 'hintCountsToQuorum',
    breaks: 'an owner for which a write is kept counts as one that has it',
    scenarios: ['hintAlone'],
    edits: [
      edit(
        'actors/router/router',
        "if (!this.#isLinked(target.member)) {\n            target.standing = 'refused';",
        "if (!this.#isLinked(target.member)) { target.standing = step === 'writing' ? 'answered' : 'refused';",
        "if (step === 'writing')",
        "this.#deps.hints.tell({ type: 'keep', member: target.member, key, envelope: operation.envelope });"
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
        'import { allHints,',
        "import { decodeEnvelope, encodeEnvelope } from '../entry/envelope.js'; import { allHints,"
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
    breaks: 'a hint goes to the peer of its member, whatever store answers there',
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
    breaks: 'hints leave the disk when they are sent, not when they are answered',
    scenarios: ['hintUnanswered'],
    edits: [
      edit(
        'actors/hints/hint-replay',
        'const hints = await readBatch(deps, plan);',
        'const hints = await readBatch(deps, plan);',
        'if (hints.length > 0) await deps.remove(hints.map(({ stored }) => stored));'
      )
    ]
  }
]
