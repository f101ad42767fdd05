// Deviations from the rules of README.md. Each is either a planted bug, which the model must find, or a part that a
// natural design has. A run names those that are active.

export const DEVIATIONS = {
  // Groups: owners
  blindPassesOpen: 'a blind write is taken above an open group',
  blindPassesPromise: 'a blind write is taken above the promise of a group',
  prepareMissesOpen: 'a round on some keys of an open group is promised',
  prepareMissesPromise: 'a round on some keys of a promised group is promised, and the set of the promise is forgotten',
  pushPassesLock: 'repair and hints are taken above an open group and above the promise of a group',
  acceptPassesLock: 'the write of a round is taken although it does not cover a group that stands on its key',
  partialApply: 'an owner applies the entries of a group that it can, and skips those that have a newer entry',
  openNotDurable: 'a restart closes every group',
  lockNotDurable: 'a restart forgets the set of every promise',
  // Groups: routers
  writesOwnKeysOnly: 'a round that was extended to a group prepares all its keys, and writes its own only',
  writeBackOneKey: 'a read writes back the entry of its key without the rest of the group',
  closeEarly: 'a group is closed when one owner of each config has applied it',
  readKeysNotLocked: 'the keys that a group only reads are not promised and not written',
  unchosenOtherKeys: 'a round checks that one key, not every key, is on a quorum before it builds on it',
  doneAcrossKeys: 'DONE adds up owners that hold different versions of an attempt',
  deadByOneKey: 'DEAD looks at the first key of the group only',
  snapshotInOnePhase: 'a read of several keys needs one phase',
  blindGroup: 'a group without reads is written without a round',
  heldCountsAll: 'a write-back of a group counts owners that hold another key of the group only',
  // Groups: moves and repair
  pushOneKey: 'repair and hints carry one entry of an open group alone',
  pullOneKey: 'a pull carries one entry of an open group alone',
  pullSkipsRefused: 'a group that the puller refused is not waited for',
  pullPartial: 'a puller applies the entries of a group that it can',
  pullForgetsPromise: 'the promises of the sources are not looked at',
  // Purge
  purgeOpen: 'a purge does not wait for open groups and for promises of groups, and deletes them',
  // Single keys, as in the rules for one key
  promiseNotDurable: 'a restart forgets every promise',
  blindUnderPromise: 'a blind write is taken below a promise',
  pushIgnoresPromise: 'repair and hints are taken below a promise',
  readNoWriteBack: 'a read returns the newest entry that it saw',
  writeBackNewerOk: 'a write-back counts owners that hold something newer',
  failedConditionNoWrite: 'a failed condition is answered without a write',
  baseAny: 'a round builds on an entry that is not on a quorum',
  originLost: 'an adopted entry loses its origin',
  noOwnAttempt: 'a retry does not look for earlier attempts',
  hadForgotten: 'what an owner no longer knows it calls never had',
  hadBeforeReady: 'what an owner had before it was Ready counts',
  readsNotShown: 'a read does not set shown',
  quorumMinusOne: 'one owner less than a quorum is enough',
  noFence: 'owners answer requests of older configs'
} as const

export type Deviation = keyof typeof DEVIATIONS
export type Deviations = ReadonlySet<Deviation>

export const NO_DEVIATION: Deviations = new Set()

/** Deviations that did no harm in any run: the rules are stricter there than they need to be. */
export const HARMLESS: ReadonlySet<Deviation> = new Set<Deviation>(['acceptPassesLock', 'heldCountsAll', 'pullPartial'])

/** Designs that look right, each as a set of deviations. */
export const DESIGNS: Readonly<Record<string, readonly Deviation[]>> = {
  /** One entry group under one ballot, applied all or none, adopted as a whole, and nothing else. */
  natural: ['blindPassesOpen', 'blindPassesPromise', 'prepareMissesOpen', 'prepareMissesPromise', 'pushPassesLock'],
  /** The natural design, and a newer entry of one key counts as coming after the group. */
  naturalPartial: [
    'blindPassesOpen',
    'blindPassesPromise',
    'prepareMissesOpen',
    'prepareMissesPromise',
    'pushPassesLock',
    'partialApply'
  ],
  /** Groups that are on an owner are respected, promised ones are not. */
  openOnly: ['blindPassesPromise', 'prepareMissesPromise']
}

/** `a+b` as a set; the name of a design stands for its deviations; `correct` and the empty text for none. */
export function deviationsOf(text: string): Deviations {
  const result = new Set<Deviation>()
  for (const name of text.split('+')) {
    if (name === '' || name === 'correct') continue
    const design = DESIGNS[name]
    if (design !== undefined) for (const one of design) result.add(one)
    else if (name in DEVIATIONS) result.add(name as Deviation)
    else throw new Error(`no deviation or design is called ${name}`)
  }
  return result
}
