// Bugs of trust: a peer is believed to be a member, or one member is believed alone.
import { type Bug, edit } from './bug.js'

export const STRANGERS: readonly Bug[] = [
  {
    name: 'claimsBelieved',
    breaks: 'a store id in a hello counts, whichever peer claims it',
    scenarios: ['claimedId'],
    edits: [edit('views/standing', 'if (peerId !== claim.peerId)', 'if (false)')]
  },
  {
    name: 'everybodyServed',
    breaks: 'every peer is served like a member',
    scenarios: ['claimedId'],
    edits: [edit('actors/admission', 'if (who.includes(asker))', 'if (true)')]
  },
  {
    name: 'oneWitnessBelieved',
    breaks: 'a store gives up its membership for a batch that it has never signed',
    scenarios: ['inventedBatch'],
    edits: [edit('node/rollback-guard', 'if (await this.#hasSigned(highestBatchHeard, heardSignature))', 'if (true)')]
  }
]
