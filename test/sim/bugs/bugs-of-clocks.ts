// Bugs of clocks: who judges them, what is remembered of the agreed moment, and how far versions may lie ahead.
import { type Bug, edit } from './bug.js'

/** A peer whose clock is wrong serves its clients, as if it was right. */
const SERVES_WITH_WRONG_CLOCK = edit(
  'entry/ring-time',
  "return Math.abs(aheadMs) <= TOLERANCE_MS ? RIGHT : { state: 'wrong', aheadMs };",
  'return RIGHT;'
)

export const CLOCKS: readonly Bug[] = [
  {
    name: 'wrongClockServes',
    breaks: 'a peer whose clock is wrong ends values by it',
    scenarios: ['expiryByWrongClock'],
    edits: [SERVES_WITH_WRONG_CLOCK]
  },
  {
    name: 'ownClockAllows',
    breaks: 'an owner takes what lies ahead by its own wall clock, and its own peer writes by a wrong clock',
    scenarios: ['clockAheadAlone'],
    edits: [
      SERVES_WITH_WRONG_CLOCK,
      edit('node/store-identity', 'agreedMs: () => ringTime.agreedMs()', 'agreedMs: () => clock.now()')
    ]
  },
  {
    name: 'agreedMomentForgotten',
    breaks: 'a peer forgets at a restart how far the ring had come',
    scenarios: ['clocksAheadTogether'],
    edits: [
      edit('actors/replica/agreed-moment', 'return Math.max(...MOMENT_RECORDS', 'return Math.min(0, ...MOMENT_RECORDS')
    ]
  },
  {
    name: 'agreedMomentNotTakenOver',
    breaks: 'a joiner does not learn how far the ring has come',
    scenarios: ['clockAheadInRingOfOne'],
    edits: [
      edit('entry/ring-time', 'if (moment !== undefined)\n            this.#agreedMs', 'if (false) this.#agreedMs')
    ]
  },
  {
    name: 'restartsRunAhead',
    breaks: 'each restart moves a clock that runs ahead on by two seconds',
    scenarios: ['clockAheadInRingOfOne'],
    edits: [edit('entry/hybrid-clock', 'if (isLogical)', 'if (false)')]
  },
  {
    name: 'futureIsRead',
    breaks: 'a read believes an entry that lies too far ahead',
    scenarios: ['futureOnOneDisk'],
    edits: [
      edit(
        'actors/router/peer-answers',
        'if (envelope !== undefined && clock.isAhead(versionMsOf(envelope)))',
        'if (clock === undefined)'
      )
    ]
  },
  {
    name: 'ceilingIgnoresDisk',
    breaks: 'the clock ceiling leads by two seconds, however slow the disk is',
    scenarios: ['slowSyncs'],
    edits: [edit('entry/hybrid-clock', 'LEAD_SYNCS * Math.ceil(syncMs)', '0')]
  }
]
