// Bugs by which one member that lies is believed.
import { type Bug, edit } from './bug.js'

export const LIES: readonly Bug[] = [
  {
    name: 'votesUnverified',
    breaks: 'a view is believed though the signatures of its votes are wrong',
    scenarios: ['forgedVotes'],
    edits: [
      edit(
        'actors/membership/chain-trust',
        "if (!(await this.#deps.verifier.holds('votes', claimsOfVotes(newest, change), from)))",
        'if (claimsOfVotes(newest, change).length === 0)'
      )
    ]
  },
  {
    name: 'oneTellerBelieved',
    breaks: 'a view without votes is believed when one member tells it',
    scenarios: ['toldAlone'],
    edits: [edit('actors/membership/chain-trust', 'const majority = quorum(view.members.size)', 'const majority = 1')]
  },
  {
    name: 'evictionsUncovered',
    breaks: 'an acceptor accepts a removal that the majority was not asked about',
    scenarios: ['unprovenRemoval'],
    edits: [edit('views/votes', 'if (evicted.length === 0)', 'if (evicted.length >= 0)')]
  },
  {
    name: 'proofUnverified',
    breaks: 'an acceptor accepts a change though the signatures of its proof are wrong',
    scenarios: ['forgedProof', 'unaskedJoin'],
    edits: [
      edit(
        'actors/membership/voting',
        "if (!(await verifier.holds('proof', claims, from.peerId)))",
        'if (claims.length < 0)'
      )
    ]
  },
  {
    name: 'removalsNotObjected',
    breaks: 'an acceptor promises the removal of a member that it hears',
    scenarios: ['objectedRemoval'],
    edits: [edit('actors/membership/voting', 'if (heard === undefined)', 'if (heard !== durableRing.storeId)')]
  },
  {
    name: 'recordsUnverified',
    breaks: 'a record is believed though its member did not sign it',
    scenarios: ['forgedRecord'],
    edits: [
      edit(
        'actors/membership/learning',
        "if (!(await this.#deps.verifier.holds('record', [claim], from)))",
        'if (claim === undefined)'
      )
    ]
  },
  {
    name: 'anySeedBelieved',
    breaks: 'a peer that knows no ring believes any peer that dials it',
    scenarios: ['waitingJoiner'],
    edits: [edit('actors/membership/chain-trust', '|| !this.#deps.isSeed(from)', '')]
  }
]
