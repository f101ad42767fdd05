// Bugs of values that expire: when they read as absent, what their expiry does to other entries, and how it gets lost.
import { type Bug, edit } from './bug.js'

export const EXPIRY: readonly Bug[] = [
  {
    name: 'expiredIsRead',
    breaks: 'an expired value is read until it is deleted',
    scenarios: ['expiredGone'],
    edits: [edit('entry/envelope', '(flags & EXPIRES) !== 0 && readU48(envelope, REST_AT[flags]) <= nowMs', 'false')]
  },
  {
    name: 'expiryNotRepaired',
    breaks: 'a read that finds an expired value does not write it back before it answers that the key is absent',
    scenarios: ['halfExpired'],
    edits: [
      edit(
        'actors/router/operation-runner',
        "if (consistency === 'one' || phase.isAgreed(found))",
        "if (consistency === 'one' || phase.isAgreed(found) || hasExpired(found.envelope, now))"
      )
    ]
  },
  {
    name: 'expiryRacesWrite',
    breaks: 'a read that finds an expired value deletes it with a new version',
    scenarios: ['writtenAtTheEnd'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'operation.result = readResult(operation, now);',
        "{ if (hasExpired(found.envelope, now)) { operation.change = 'delete'; operation.envelope = undefined;",
        "return this.#beginStep(operation, 'writing'); }",
        'operation.result = readResult(operation, now); }'
      )
    ]
  },
  {
    name: 'expiryLostInTransfer',
    breaks: 'entries of a pull are stored without their expiry',
    scenarios: ['expiryMoves'],
    edits: [
      edit(
        'entry/block',
        'import { checkEnvelope, ENVELOPE_OVERHEAD_MAX,',
        'import { checkEnvelope, decodeEnvelope, encodeEnvelope, ENVELOPE_OVERHEAD_MAX,'
      ),
      edit(
        'entry/block',
        '? { slot, key, dataKey, envelope } : undefined',
        '? { slot, key, dataKey, envelope:',
        'encodeEnvelope(key, { ...decodeEnvelope(key, envelope), expiresAtMs: undefined }) } : undefined'
      )
    ]
  },
  {
    name: 'expiryLostOnRetry',
    breaks: 'a write that is repeated with a newer version loses its expiry',
    scenarios: ['mintedAgain'],
    edits: [
      edit(
        'actors/router/operation-runner',
        'const { conflicts, attempts, envelope, step } = operation;',
        "if (operation.kind === 'put') operation.change = { value: operation.change.value };",
        'const { conflicts, attempts, envelope, step } = operation;'
      )
    ]
  }
]
