// Directed scenarios with one config: each ends well by the rules, and breaks with each of its deviations.
// Owners are n0, n1, n2 unless said, keys X and Y. Group G appends A to both keys.
import type { Deviation, Deviations } from './deviations.js'
import type { Operation } from './operation-state.js'
import { isNoWrite, isWrite, of, Stage, X, Y, Z } from './stage.js'

export interface Scenario {
  readonly name: string
  readonly finds: readonly Deviation[]
  readonly run: (deviations: Deviations) => void
}

const XY = X | Y
const ALL = [0, 1, 2]

/** G is promised at two owners, and its write has reached one of them alone. The router gives up. */
function halfWritten(stage: Stage, promisedBy: readonly number[], writtenAt: number, ms = 40): Operation {
  const group = stage.start(0, 'appendAll', XY, ms)
  stage.go(promisedBy, isNoWrite)
  stage.arrive(writtenAt, isWrite)
  stage.drop()
  stage.giveUp(group)
  return group
}

/** Y was written, then X is read where G never was, then where it was: X must not change between the two. */
function readBothSides(stage: Stage): void {
  stage.whole(2, 'get', X, [1, 2])
  stage.whole(2, 'get', X, [0, 1])
  stage.end([1, 2])
}

/**
 * G is on n0. A SET of X above it, on n1, is unfinished: a reader adopts Y of G, and X of the SET. Then Y is
 * overwritten, and G's router asks n1 and n2.
 */
function adoptedOnOneKey(deviations: Deviations, restarts: boolean): void {
  const stage = new Stage(deviations)
  const set = stage.start(1, 'set', X, 60)
  stage.arrive(1)
  stage.drop()
  const group = stage.start(0, 'appendAll', XY, 40)
  stage.go([0, 2], isNoWrite)
  stage.arrive(0, isWrite)
  stage.drop()
  stage.whole(2, 'get', Y, [0, 1])
  stage.giveUp(set)
  stage.whole(1, 'set', Y, [0, 1], 90)
  if (restarts) stage.restart(1)
  group.next = 'prepare'
  stage.again(group, [1, 2], 12)
  stage.end([1, 2])
}

export const SCENARIOS: readonly Scenario[] = [
  {
    // n2 promised G and never got it. A SET of Y above G is taken by n1 and n2: it is done, and G is at n0 only. A
    // reader of X at n0 and n1 cannot know whether G was on n0 and n2 before.
    name: 'setAbovePromisedGroup',
    finds: ['blindPassesPromise', 'quorumMinusOne'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      stage.whole(1, 'set', Y, [1, 2], 60)
      readBothSides(stage)
    }
  },
  {
    // As before, but it is n0, which holds G, that takes the SET.
    name: 'setAboveOpenGroup',
    finds: ['blindPassesOpen'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 1], 0)
      stage.whole(1, 'set', Y, [0, 2], 60)
      stage.whole(2, 'get', X, [1, 2])
      stage.whole(2, 'get', X, [0, 1])
      stage.end([1, 2])
    }
  },
  {
    // As the first one, with an APPEND: its round is promised by n2, which had promised G.
    name: 'roundAbovePromisedGroup',
    finds: ['prepareMissesPromise', 'writesOwnKeysOnly'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      stage.whole(1, 'append', Y, [1, 2], 60)
      readBothSides(stage)
    }
  },
  {
    // A first round on Y is promised by n2 and dies. It must not hide the promise of G from the second one.
    name: 'promiseHidesGroup',
    finds: ['prepareMissesPromise'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      const first = stage.start(1, 'append', Y, 50)
      stage.go([2], isNoWrite)
      stage.drop()
      stage.giveUp(first)
      stage.whole(2, 'append', Y, [1, 2], 60)
      readBothSides(stage)
    }
  },
  {
    // A round on Y sees G at n0, and adopts its entry of Y alone.
    name: 'roundAdoptsOneKey',
    finds: ['prepareMissesOpen'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 1], 0)
      stage.whole(1, 'append', Y, [0, 2], 60)
      stage.end([1, 2])
    }
  },
  {
    // A reader of X writes back X alone, and returns it.
    name: 'readerWritesBackOneKey',
    finds: ['writeBackOneKey'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      stage.whole(1, 'get', X, [0, 1])
      stage.whole(1, 'get', Y, [1, 2])
      stage.end([1, 2])
    }
  },
  {
    // Repair brings X of G to n1 without Y.
    name: 'pushOfOneKey',
    finds: ['pushOneKey'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      stage.push(0, 1, 0)
      stage.whole(1, 'get', X, [0, 1])
      stage.whole(1, 'get', Y, [1, 2])
      stage.end([1, 2])
    }
  },
  {
    // A SET of Y above G is at n1; n2, which promised G, refuses it. Repair brings it there.
    name: 'pushAbovePromisedGroup',
    finds: ['pushPassesLock'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      stage.start(1, 'set', Y, 60)
      stage.arrive(1)
      stage.drop()
      stage.push(1, 2, 1)
      stage.whole(2, 'get', Y, [1, 2])
      readBothSides(stage)
    }
  },
  {
    // n2 restarts between its promise and the SET.
    name: 'restartForgetsPromisedSet',
    finds: ['lockNotDurable'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      stage.restart(2)
      stage.whole(1, 'set', Y, [1, 2], 60)
      readBothSides(stage)
    }
  },
  {
    name: 'restartForgetsOpenGroup',
    finds: ['openNotDurable'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 1], 0)
      stage.restart(0)
      stage.whole(1, 'set', Y, [0, 2], 60)
      stage.whole(2, 'get', X, [1, 2])
      stage.whole(2, 'get', X, [0, 1])
      stage.end([1, 2])
    }
  },
  {
    // n0 has G, and closes it at once. It then takes a SET of Y, which is done with n2.
    name: 'closedBeforeQuorum',
    finds: ['closeEarly'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const group = stage.start(0, 'appendAll', XY, 40)
      stage.go([0, 1], isNoWrite)
      stage.arrive(0, isWrite)
      stage.go([0], (packet) => !isWrite(packet))
      stage.drop()
      stage.giveUp(group)
      stage.whole(1, 'set', Y, [0, 2], 60)
      stage.whole(2, 'get', X, [1, 2])
      stage.whole(2, 'get', X, [0, 1])
      stage.end([1, 2])
    }
  },
  {
    // A group without reads, written as if it were one blind SET: nobody has promised it.
    name: 'groupWithoutRound',
    finds: ['blindGroup'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const group = stage.start(0, 'setAll', XY, 40)
      if (group.phase === 'prepare') stage.go([0, 2], isNoWrite)
      stage.arrive(0, isWrite)
      stage.drop()
      stage.giveUp(group)
      stage.whole(1, 'set', Y, [1, 2], 60)
      readBothSides(stage)
    }
  },
  {
    // Y is 1 at n1 only when the snapshot hears n1. X is then set, Y is read as absent, and Y comes to n2.
    name: 'snapshotThatNeverStood',
    finds: ['snapshotInOnePhase'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const early = stage.start(0, 'set', Y, 30)
      stage.arrive(1)
      const late = stage.take(({ to }) => to.kind === 'node' && to.id === 2)
      stage.drop()
      const snapshot = stage.start(1, 'getAll', XY)
      stage.go([1])
      const rest = stage.take()
      stage.whole(2, 'set', X, [0, 1], 60)
      stage.whole(2, 'get', Y, [0, 2])
      stage.put(late)
      stage.arrive(2)
      stage.put(rest)
      stage.go([2], of(snapshot))
      stage.again(snapshot, [1, 2], 12)
      stage.giveUp(early)
      stage.end([1, 2])
    }
  },
  {
    // Attempt B on Y is at n1 only. A group builds on it; B then asks n0 and n2, where nobody had it.
    name: 'otherKeyNotChosen',
    finds: ['unchosenOtherKeys', 'baseAny'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const append = stage.start(0, 'append', Y, 30)
      stage.go(ALL, isNoWrite)
      stage.arrive(1, isWrite)
      stage.drop()
      stage.start(1, 'appendAll', XY, 40)
      stage.arrive(0, isNoWrite)
      stage.drop(({ to }) => to.kind === 'router')
      stage.go([1, 2])
      stage.drop()
      append.next = 'prepare'
      stage.again(append, [0, 2], 8)
      stage.end()
    }
  },
  {
    // G copies X to Y. It is promised, then X is set and Y is read as absent, then G is written.
    name: 'keyThatIsOnlyRead',
    finds: ['readKeysNotLocked'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      stage.start(0, 'copy', XY, 40)
      stage.go([0, 1], isNoWrite)
      const writes = stage.take(isWrite)
      stage.whole(1, 'set', X, [1, 2], 60)
      stage.whole(2, 'get', Y, [1, 2])
      stage.put(writes)
      stage.go([0, 1])
      stage.end([0, 1])
    }
  },
  {
    // n1 had G by its second key only, and must say so.
    name: 'adoptedOnOneKey',
    finds: ['deadByOneKey', 'originLost', 'noOwnAttempt'],
    run: (deviations) => adoptedOnOneKey(deviations, false)
  },
  {
    name: 'restartForgetsHad',
    finds: ['hadForgotten'],
    run: (deviations) => adoptedOnOneKey(deviations, true)
  },
  {
    // G is on n0 and n2, where it was read. X and Y are overwritten, then G's router asks n0 and n1.
    name: 'shownToReader',
    finds: ['readsNotShown'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const group = stage.start(0, 'appendAll', XY, 40)
      stage.go([0, 2], isNoWrite)
      stage.arrive(0, isWrite)
      stage.arrive(2, isWrite)
      stage.drop()
      stage.whole(1, 'get', Y, [0, 2])
      stage.whole(2, 'set', X, [0, 1], 60)
      stage.whole(2, 'set', Y, [0, 1], 70)
      group.next = 'prepare'
      stage.again(group, [0, 1], 12)
      stage.end([0, 1])
    }
  },
  {
    // Three versions of one attempt, on two owners, none of them on a quorum.
    name: 'doneByOrigin',
    finds: ['doneAcrossKeys'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const group = stage.start(0, 'appendAll', XY, 35)
      stage.go([1, 2], isNoWrite)
      stage.arrive(1, isWrite)
      stage.drop()
      const other = stage.start(1, 'appendAll', XY, 36)
      stage.go([0, 2], isNoWrite)
      stage.arrive(0, isWrite)
      stage.drop()
      stage.giveUp(other)
      const settle = stage.settle(2, XY, 37)
      stage.go([1, 2], isNoWrite)
      stage.arrive(2, isWrite)
      stage.drop()
      stage.giveUp(settle)
      group.next = 'prepare'
      stage.again(group, [1, 2], 8)
      stage.end([0, 1])
    }
  },
  {
    // A reader saw G at n0. Its write-back meets another group at n1, which never had G.
    name: 'writeBackMeetsNewer',
    finds: ['writeBackNewerOk', 'partialApply'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      const read = stage.start(1, 'get', X)
      stage.go([0, 1], isNoWrite)
      const writeBack = stage.take(of(read))
      stage.whole(2, 'appendAll', XY, [1, 2], 60)
      stage.put(writeBack)
      stage.go([0, 1], of(read))
      stage.again(read, [0, 1], 12)
      stage.end([1, 2])
    }
  },
  {
    // SET NX of both keys finds X of G, on n0 only, and answers that there is something.
    name: 'conditionFailsOnUnchosen',
    finds: ['failedConditionNoWrite'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 1], 0)
      stage.whole(1, 'setAllIfAbsent', XY, [0, 1], 60)
      stage.whole(2, 'get', Y, [1, 2])
      stage.end([1, 2])
    }
  },
  {
    // A reader returns X of G, which is on n0 only.
    name: 'readOfUnchosen',
    finds: ['readNoWriteBack'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      halfWritten(stage, [0, 2], 0)
      stage.whole(1, 'get', X, [0, 1])
      stage.whole(1, 'get', X, [1, 2])
      stage.end([1, 2])
    }
  },
  {
    // The rules for one key hold for groups: a promise survives a restart.
    name: 'promiseLost',
    finds: ['promiseNotDurable'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      stage.start(0, 'appendAll', XY, 40)
      stage.go([0, 1], isNoWrite)
      const writes = stage.take((packet) => isWrite(packet) && packet.to.id === 1)
      stage.drop()
      stage.restart(0)
      const set = stage.whole(1, 'set', X, [0, 2], 30)
      stage.giveUp(set)
      stage.put(writes)
      stage.arrive(1)
      stage.end([0, 1])
    }
  },
  {
    // A blind SET below the promise of a round on one key.
    name: 'setBelowPromise',
    finds: ['blindUnderPromise'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      stage.start(0, 'append', X, 40)
      stage.go([0, 1], isNoWrite)
      const writes = stage.take((packet) => isWrite(packet) && packet.to.id === 1)
      stage.drop()
      const set = stage.whole(1, 'set', X, [0, 2], 30)
      stage.giveUp(set)
      stage.put(writes)
      stage.arrive(1)
      stage.end([0, 1])
    }
  },
  {
    // A SET below the promise of a round on one key is on n2, and repair brings it to n0.
    name: 'pushBelowPromise',
    finds: ['pushIgnoresPromise'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      stage.start(1, 'set', X, 30)
      stage.arrive(2)
      stage.drop()
      stage.start(0, 'append', X, 40)
      stage.go([0, 1], isNoWrite)
      const writes = stage.take()
      stage.push(2, 0, 0)
      stage.whole(2, 'get', X, [0, 2])
      stage.put(writes)
      stage.go([0, 1])
      stage.end([0, 1])
    }
  },
  {
    // Groups X, Y and Y, Z overlap: whoever meets both settles X, Y, Z together.
    name: 'chainOfGroups',
    finds: ['blindPassesPromise', 'writesOwnKeysOnly'],
    run: (deviations) => {
      const stage = new Stage(deviations, ALL, 3)
      halfWritten(stage, [0, 2], 0)
      const second = stage.start(1, 'appendAll', Y | Z, 50)
      stage.go([1, 2], isNoWrite)
      stage.again(second, [1, 2], 1)
      stage.drop()
      stage.giveUp(second)
      stage.whole(2, 'set', Z, [1, 2], 60)
      stage.whole(2, 'set', Y, [1, 2], 70)
      readBothSides(stage)
    }
  }
]
