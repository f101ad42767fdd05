// Broken histories of values that expire: they are read after their end, vanish before it, or an older value returns
// after them. Each stands beside a sound one.
import { fault, get, put, remove, ring, stored } from '../history-builder.js'

const ABC = ring('abc')
const EXPIRY = 'expiry'
const WRITES = 'acknowledged writes'
const READS = 'monotone reads'

/** A value that expires at 100. */
const BRIEF = put('v1').at(10).expiring(100).until(20).as(1, 'abc')

const OVERDUE = [
  fault(EXPIRY, 'a read that began after the expiry returns the value', [ABC, BRIEF], {
    sound: [get().at(99).until(120).sees('v1')],
    broken: [get().at(100).until(120).sees('v1')]
  }),
  fault(EXPIRY, 'a read of one owner returns what has expired', [ABC, BRIEF], {
    sound: [get().with('one').at(150).until(160).sees(undefined)],
    broken: [get().with('one').at(150).until(160).sees('v1')]
  }),
  fault(EXPIRY, 'a read returns the value after a slow clock, too, has reached the expiry', [ABC, BRIEF], {
    sound: [get().at(150).until(160).clocked(90, 100).sees('v1')],
    broken: [get().at(150).until(160).clocked(100, 110).sees('v1')]
  }),
  fault(EXPIRY, 'a read has found nothing, and the value is read again', [ABC, BRIEF], {
    sound: [
      get().at(50).until(60).clocked(100, 110).sees(undefined),
      get().through('b').at(70).until(80).sees('v1'),
      get().at(110).until(120).sees(undefined)
    ],
    broken: [get().at(110).until(120).sees(undefined), get().through('b').at(130).until(140).sees('v1')]
  }),
  fault(EXPIRY, 'an expiry is lost on the way to another disk', [ABC, BRIEF], {
    sound: [stored('v1', 1, 'd', 40, { expiresAt: 100 })],
    broken: [stored('v1', 1, 'd', 40)]
  }),
  fault(EXPIRY, 'an expiry is put off', [ABC, BRIEF], {
    sound: [stored('v1', 1, 'd', 40, { expiresAt: 100 })],
    broken: [stored('v1', 1, 'd', 40, { expiresAt: 200 })]
  }),
  fault(EXPIRY, 'a disk stores an expiry that no client gave', [ABC, put('v1').at(10).until(20).as(1, 'abc')], {
    sound: [stored('v1', 1, 'd', 40)],
    broken: [stored('v1', 1, 'd', 40, { expiresAt: 100 })]
  }),
  fault(EXPIRY, 'without disks: a read returns an expired value', [put('v1').at(10).expiring(100).until(20)], {
    sound: [get().at(50).until(60).sees('v1'), get().at(110).until(120).sees(undefined)],
    broken: [get().at(110).until(120).sees('v1')]
  })
]

const EARLY = [
  fault(WRITES, 'a value vanishes before its expiry', [ABC, BRIEF], {
    sound: [get().at(90).until(100).sees(undefined)],
    broken: [get().at(80).until(99).sees(undefined)]
  }),
  fault(WRITES, 'a value vanishes before its expiry by a clock that is ahead', [ABC, BRIEF], {
    sound: [get().at(30).until(40).clocked(90, 100).sees(undefined)],
    broken: [get().at(30).until(40).clocked(80, 90).sees(undefined)]
  }),
  fault(WRITES, 'a value vanishes before its expiry by a clock that is behind', [ABC, BRIEF], {
    sound: [get().at(120).until(130).clocked(95, 105).sees(undefined)],
    broken: [get().at(120).until(130).clocked(85, 95).sees(undefined)]
  }),
  fault(WRITES, 'a delete finds nothing before the expiry', [ABC, BRIEF], {
    sound: [remove().at(110).until(120).finds(false)],
    broken: [remove().at(50).until(60).finds(false)]
  }),
  fault(WRITES, 'without disks: a value vanishes early', [put('v1').at(10).expiring(100).until(20)], {
    sound: [get().at(90).until(110).sees(undefined)],
    broken: [get().at(80).until(90).sees(undefined)]
  })
]

/** A second put, of a value that does not expire. */
const STAYS = put('v2').at(50).until(60).as(2, 'abc')

const TAKEN_ALONG = [
  fault(WRITES, 'a value that was put after the expiry of the value before is missing', [ABC, BRIEF], {
    sound: [put('v2').at(110).until(130).as(2, 'abc', 125), get().at(120).until(140).sees(undefined)],
    broken: [put('v2').at(110).until(130).as(2, 'abc', 125), get().at(131).until(140).sees(undefined)]
  }),
  fault(WRITES, 'a value without expiry takes over the expiry of the value before', [ABC, BRIEF, STAYS], {
    sound: [get().at(150).until(160).sees('v2')],
    broken: [get().at(150).until(160).sees(undefined)]
  }),
  fault(
    WRITES,
    'without disks: a value without expiry takes over the expiry of the value before',
    [put('v1').at(10).expiring(100).until(20), put('v2').at(50).until(60)],
    { sound: [get().at(150).until(160).sees('v2')], broken: [get().at(150).until(160).sees(undefined)] }
  ),
  fault(
    WRITES,
    'a read finds nothing, and no disk held the value that would have expired',
    [ABC, put('v1').at(1).until(5).as(1, 'abc')],
    {
      sound: [put('v2').at(10).expiring(20).as(2, 'bc'), get().at(30).until(40).sees(undefined)],
      broken: [put('v2').at(10).expiring(20), get().at(30).until(40).sees(undefined)]
    }
  ),
  fault(WRITES, 'a read finds nothing, and the expired value is older than the acknowledged one', [ABC], {
    sound: [
      put('v1').at(1).until(40).as(5, 'abc', 30),
      put('v2').at(10).expiring(20).until(15).as(2, 'abc'),
      get().at(25).until(28).sees(undefined)
    ],
    broken: [
      put('v1').at(1).until(40).as(5, 'abc', 30),
      put('v2').at(10).expiring(20).until(15).as(2, 'abc'),
      get().at(50).until(60).sees(undefined)
    ]
  })
]

/** A value that does not expire, and a newer one that expires and has reached one disk. */
const HALF = [ABC, put('v0').at(1).until(5).as(1, 'abc'), put('v1').at(10).expiring(100).as(2, 'a')]
const REPAIRED = stored('v1', 2, 'b', 115, { expiresAt: 100 })

const OLDER = [
  fault(
    READS,
    'a read finds a value that had expired, which one disk held, and the next read finds the value before it',
    HALF,
    {
      sound: [get().through('b').at(105).until(110).sees('v0'), get().at(112).until(120).sees(undefined), REPAIRED],
      broken: [get().at(112).until(120).sees(undefined), REPAIRED, get().through('b').at(130).until(140).sees('v0')]
    }
  ),
  fault(READS, 'a delete finds a value that had expired, and the next read finds the value before it', HALF, {
    sound: [remove().at(112).failing(120), get().through('b').at(130).until(140).sees('v0')],
    broken: [remove().at(112).until(120).finds(false), REPAIRED, get().through('b').at(130).until(140).sees('v0')]
  })
]

export const EXPIRY_FAULTS = [...OVERDUE, ...EARLY, ...TAKEN_ALONG, ...OLDER]
