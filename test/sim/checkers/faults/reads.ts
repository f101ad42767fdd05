// Broken histories of what clients see: lost and stale writes, reads that step back, deleted keys that return. Each
// stands beside a sound one.
import { fault, get, put, remove, ring, stored } from '../history-builder.js'

const ABC = ring('abc')
const WRITES = 'acknowledged writes'
const READS = 'monotone reads'
const DELETED = 'resurrection'
const FIRST = put('v1').at(10).until(20).as(1, 'abc')

const LOST = [
  fault(WRITES, 'a read after the acknowledgement finds nothing', [ABC, put('v1').at(10).until(20).as(1, 'ab')], {
    sound: [get().at(30).until(40).sees('v1')],
    broken: [get().at(30).until(40).sees(undefined)]
  }),
  fault(WRITES, 'a read through another node finds nothing', [ABC, FIRST], {
    sound: [get().through('c').at(30).until(40).sees('v1')],
    broken: [get().through('c').at(30).until(40).sees(undefined)]
  }),
  fault(WRITES, 'a read returns what was overwritten', [ABC, FIRST, put('v2').at(30).until(40).as(2, 'ab')], {
    sound: [get().through('c').at(50).until(60).sees('v2')],
    broken: [get().through('c').at(50).until(60).sees('v1')]
  }),
  fault(WRITES, 'a read that began after the overwriting write had ended returns the old value', [ABC, FIRST], {
    sound: [put('v2').at(30).until(60).as(2, 'abc', 45), get().at(35).until(70).sees('v1')],
    broken: [put('v2').at(30).until(60).as(2, 'abc', 45), get().at(61).until(70).sees('v1')]
  }),
  fault(
    WRITES,
    'of two racing writes the one with the older version is read',
    [ABC, put('v1').at(10).until(30).as(5, 'abc', 25), put('v2').through('b').at(12).until(28).as(3, 'abc')],
    { sound: [get().at(40).until(50).sees('v1')], broken: [get().at(40).until(50).sees('v2')] }
  ),
  fault(WRITES, 'a slow clock makes an acknowledged write invisible', [ABC, put('v1').at(10).until(20).as(9, 'ab')], {
    sound: [put('v2').through('c').at(30).until(40).as(10, 'bc'), get().at(50).until(60).sees('v2')],
    broken: [put('v2').through('c').at(30).until(40).as(5, 'c'), get().at(50).until(60).sees('v1')]
  }),
  fault(
    WRITES,
    'a failed write that took effect is read after it was overwritten',
    [ABC, FIRST, put('v2').at(30).failing(40).as(2, 'c', 100), put('v3').at(110).until(120).as(3, 'abc')],
    { sound: [get().at(130).until(140).sees('v3')], broken: [get().at(130).until(140).sees('v2')] }
  ),
  fault(WRITES, 'a write without an answer is read after it was overwritten', [ABC, put('v1').at(10).as(1, 'a')], {
    sound: [put('v2').at(30).until(40).as(2, 'abc'), get().at(35).until(60).sees('v1')],
    broken: [put('v2').at(30).until(40).as(2, 'abc'), get().at(45).until(60).sees('v1')]
  }),
  fault(
    WRITES,
    'a write that was minted again loses to a write that is newer than its first version only',
    [ABC, put('v1').at(10).until(30).as(1, 'a').as(4, 'abc', 25), put('v2').through('b').at(12).until(18).as(3, 'bc')],
    { sound: [get().at(40).until(50).sees('v1')], broken: [get().at(40).until(50).sees('v2')] }
  ),
  fault(WRITES, 'a delete says that nothing was there', [ABC, FIRST], {
    sound: [remove().at(30).until(40).as(2, 'abc')],
    broken: [remove().at(30).until(40).finds(false)]
  }),
  fault(
    WRITES,
    'of a racing put and delete the one with the older version is seen',
    [ABC, put('v1').at(10).until(30).as(5, 'abc', 25), put('v0').at(1).until(5).as(1, 'abc')],
    {
      sound: [remove().through('b').at(12).until(28).as(3, 'abc'), get().at(40).until(50).sees('v1')],
      broken: [remove().through('b').at(12).until(28).as(3, 'abc'), get().at(40).until(50).sees(undefined)]
    }
  ),
  fault(
    WRITES,
    'a value that was put after a delete is missing',
    [ABC, FIRST, remove().at(30).until(40).as(2, 'abc'), put('v2').at(50).until(60).as(3, 'abc')],
    { sound: [get().at(70).until(80).sees('v2')], broken: [get().at(70).until(80).sees(undefined)] }
  ),
  fault(
    WRITES,
    'a read at consistency all is stale; at consistency one it may be',
    [ABC, FIRST, put('v2').at(30).until(40).as(2, 'ab')],
    {
      sound: [get().with('one').at(50).until(60).sees('v1')],
      broken: [get().with('all').at(50).until(60).sees('v1')]
    }
  ),
  fault(WRITES, 'a write at consistency all is missing; at consistency one it may be', [ABC], {
    sound: [put('v1').with('one').at(10).until(20).as(1, 'a'), get().at(30).until(40).sees(undefined)],
    broken: [put('v1').with('all').at(10).until(20).as(1, 'abc'), get().at(30).until(40).sees(undefined)]
  }),
  fault(WRITES, 'a write is acknowledged, and no disk holds it', [ABC, put('x', 'l').at(1).until(5).as(1, 'abc')], {
    sound: [put('v1').at(10).until(20).as(2, 'ab')],
    broken: [put('v1').at(10).until(20)]
  }),
  fault(WRITES, 'a write is acknowledged by owners that hold an older one, and no disk holds it', [ABC, FIRST], {
    sound: [put('v2').at(30).until(40).as(2, 'ab')],
    broken: [put('v2').at(30).until(40)]
  }),
  fault(WRITES, 'a delete is acknowledged, and only an older tombstone is on disk', [ABC, FIRST], {
    sound: [remove().at(22).until(24).as(2, 'abc'), remove().at(30).until(40).as(3, 'abc')],
    broken: [remove().at(22).until(24).as(2, 'abc'), remove().at(30).until(40)]
  }),
  fault(WRITES, 'a read finds nothing, and the delete under way has reached no disk', [ABC, FIRST], {
    sound: [remove().at(30).as(2, 'bc'), get().at(40).until(50).sees(undefined)],
    broken: [remove().at(30), get().at(40).until(50).sees(undefined)]
  })
]

const INVENTED = [
  fault(WRITES, 'a read returns a value that was never put', [ABC, FIRST], {
    sound: [get().at(30).until(40).sees('v1')],
    broken: [get().at(30).until(40).sees('made up')]
  }),
  fault(
    WRITES,
    'a read returns a value that was put to another key',
    [ABC, FIRST, put('x', 'l').at(22).until(28).as(2, 'abc')],
    {
      sound: [get('l').at(30).until(40).sees('x')],
      broken: [get().at(30).until(40).sees('x')]
    }
  ),
  fault(WRITES, 'a read returns a value that was put after the read had ended', [ABC], {
    sound: [get().at(5).until(15).sees('v1'), put('v1').at(10).until(20).as(1, 'abc')],
    broken: [get().at(5).until(9).sees('v1'), put('v1').at(10).until(20).as(1, 'abc')]
  }),
  fault(WRITES, 'a read of one owner returns a value that was never put', [ABC, FIRST], {
    sound: [get().with('one').at(30).until(40).sees(undefined)],
    broken: [get().with('one').at(30).until(40).sees('made up')]
  })
]

/** Faults that show in what clients see, without disks. */
const BLIND = [
  fault(
    WRITES,
    'without disks: a read returns the former value',
    [put('v1').at(10).until(20), put('v2').at(30).until(40)],
    {
      sound: [get().at(50).until(60).sees('v2')],
      broken: [get().at(50).until(60).sees('v1')]
    }
  ),
  fault(WRITES, 'without disks: a read finds nothing, and no client has deleted', [put('v1').at(10).until(20)], {
    sound: [remove().at(25), get().at(30).until(40).sees(undefined)],
    broken: [get().at(30).until(40).sees(undefined)]
  }),
  fault(
    WRITES,
    'without disks: a read finds nothing, and the delete is older than the put',
    [remove().at(1).until(5)],
    {
      sound: [put('v1').at(3).until(20), get().at(30).until(40).sees(undefined)],
      broken: [put('v1').at(6).until(20), get().at(30).until(40).sees(undefined)]
    }
  ),
  fault(
    WRITES,
    'without disks: a read returns an overwritten value, whose put cannot take effect late',
    [put('v2').at(30).until(40)],
    {
      sound: [put('v1').at(10).failing(20), get().at(50).until(60).sees('v1')],
      broken: [put('v1').at(10).until(20), get().at(50).until(60).sees('v1')]
    }
  ),
  fault(
    WRITES,
    'without disks: a read finds nothing, and the only delete had found nothing',
    [remove().at(1).until(50).finds(false)],
    {
      sound: [get().at(30).until(40).sees(undefined), put('v1').at(35).until(45)],
      broken: [put('v1').at(10).until(20), get().at(60).until(70).sees(undefined)]
    }
  ),
  fault(READS, 'without disks: a read steps back', [put('v1').at(10).until(20), put('v2').at(30)], {
    sound: [get().at(40).until(50).sees('v1'), get().at(60).until(70).sees('v2')],
    broken: [get().at(40).until(50).sees('v2'), get().at(60).until(70).sees('v1')]
  }),
  fault(
    DELETED,
    'without disks: a read returns a deleted value',
    [put('v1').at(10).until(20), remove().at(30).until(40)],
    {
      sound: [get().at(50).until(60).sees(undefined)],
      broken: [get().at(50).until(60).sees('v1')]
    }
  )
]

/** A write under way: on one disk, and not answered. */
const SECOND = put('v2').at(30).as(2, 'c')

const BACKWARDS = [
  fault(READS, 'a write under way is read, and then the one before it', [ABC, FIRST, SECOND], {
    sound: [
      get().at(40).until(50).sees('v1'),
      get().through('c').at(60).until(70).sees('v2'),
      stored('v2', 2, 'a', 65)
    ],
    broken: [
      get().through('c').at(40).until(50).sees('v2'),
      stored('v2', 2, 'a', 45),
      get().at(60).until(70).sees('v1')
    ]
  }),
  fault(READS, 'a failed write is read, and then the one before it', [ABC, FIRST], {
    sound: [
      put('v2').at(30).failing(35).as(2, 'bc'),
      get().at(40).until(70).sees('v2'),
      get().at(60).until(80).sees('v1')
    ],
    broken: [
      put('v2').at(30).failing(35).as(2, 'bc'),
      get().at(40).until(50).sees('v2'),
      get().at(60).until(80).sees('v1')
    ]
  }),
  fault(READS, 'a first value is read, and then nothing', [ABC, put('v1').at(10).as(1, 'ab')], {
    sound: [get().with('one').at(30).until(40).sees('v1'), get().at(50).until(60).sees(undefined)],
    broken: [get().at(30).until(40).sees('v1'), get().at(50).until(60).sees(undefined)]
  }),
  fault(READS, 'a second reader begins after the first has ended', [ABC, FIRST, put('v2').at(30).as(2, 'bc')], {
    sound: [get().at(40).until(70).sees('v2'), get().through('b').at(69).until(80).sees('v1')],
    broken: [get().at(40).until(70).sees('v2'), get().through('b').at(71).until(80).sees('v1')]
  }),
  fault(READS, 'a delete under way is seen, and then the value again', [ABC, FIRST, remove().at(30).as(3, 'bc')], {
    sound: [get().at(40).until(50).sees('v1'), get().at(60).until(70).sees(undefined)],
    broken: [get().at(40).until(50).sees(undefined), get().at(60).until(70).sees('v1')]
  }),
  fault(READS, 'a delete finds nothing, and then a read the value again', [ABC, FIRST, remove().at(30).as(3, 'bc')], {
    sound: [remove().at(40).failing(50), get().at(60).until(70).sees('v1')],
    broken: [remove().at(40).until(50).finds(false), get().at(60).until(70).sees('v1')]
  }),
  fault(
    READS,
    'a read returns a value that is older than all versions of the value read before',
    [ABC, put('v2').at(11).as(3, 'bc')],
    {
      sound: [
        put('v1').at(10).as(1, 'a').as(5, 'ab', 20),
        get().at(30).until(40).sees('v1'),
        get().at(50).until(60).sees('v2')
      ],
      broken: [put('v1').at(10).as(5, 'ab'), get().at(30).until(40).sees('v1'), get().at(50).until(60).sees('v2')]
    }
  )
]

const RETURNED = [
  fault(DELETED, 'a read returns what was deleted', [ABC, FIRST, remove().at(30).until(40).as(2, 'ab')], {
    sound: [get().through('c').at(50).until(60).sees(undefined)],
    broken: [get().through('c').at(50).until(60).sees('v1')]
  }),
  fault(DELETED, 'a read that began after the delete had ended returns the value', [ABC, FIRST], {
    sound: [remove().at(30).until(60).as(2, 'abc', 50), get().at(40).until(70).sees('v1')],
    broken: [remove().at(30).until(60).as(2, 'abc', 50), get().at(62).until(70).sees('v1')]
  }),
  fault(DELETED, 'of a racing put and delete the older put is read', [ABC, put('v0').at(1).until(5).as(1, 'abc')], {
    sound: [
      put('v1').through('b').at(10).until(20).as(3, 'abc'),
      remove().at(11).until(30).as(5, 'abc', 25),
      get().at(40).until(50).sees(undefined)
    ],
    broken: [
      put('v1').through('b').at(10).until(20).as(3, 'abc'),
      remove().at(11).until(30).as(5, 'abc', 25),
      get().at(40).until(50).sees('v1')
    ]
  }),
  fault(
    DELETED,
    'a read at consistency quorum returns a deleted value; at consistency one it may',
    [ABC, FIRST, remove().at(30).until(40).as(2, 'ab')],
    {
      sound: [get().with('one').through('c').at(50).until(60).sees('v1')],
      broken: [get().with('quorum').through('c').at(50).until(60).sees('v1')]
    }
  ),
  fault(
    DELETED,
    'the tombstone of a delete that failed before is not that of the one acknowledged',
    [
      ABC,
      FIRST,
      remove().at(22).failing(28),
      stored(undefined, 2, 'd', 36),
      remove().at(30).until(50).as(6, 'abc', 45)
    ],
    {
      sound: [put('v2').through('b').at(31).until(48).as(7, 'abc', 47), get().at(70).until(80).sees('v2')],
      broken: [put('v2').through('b').at(31).until(40).as(4, 'abc', 35), get().at(70).until(80).sees('v2')]
    }
  ),
  fault(
    DELETED,
    'a put that failed takes effect late, below a tombstone, and is read',
    [ABC, FIRST, put('v2').at(22).failing(28).as(2, 'a')],
    {
      sound: [remove().at(30).until(40).as(3, 'abc'), stored('v2', 2, 'd', 45), get().at(50).until(60).sees(undefined)],
      broken: [remove().at(30).until(40).as(3, 'abc'), stored('v2', 2, 'd', 45), get().at(50).until(60).sees('v2')]
    }
  ),
  fault(DELETED, 'two deletes race, and the value before both is read', [ABC, FIRST, remove().at(30).as(2, 'b')], {
    sound: [
      remove().at(31).until(40).as(3, 'abc', 35),
      put('v2').at(50).until(60).as(4, 'abc'),
      get().at(70).until(80).sees('v2')
    ],
    broken: [remove().at(31).until(40).as(3, 'abc', 35), get().at(70).until(80).sees('v1')]
  }),
  fault(
    DELETED,
    'two deletes race through one node, and the value before the older tombstone is read',
    [ABC, FIRST, remove().at(30).as(9, 'd', 45), put('v2').through('b').at(31).until(40).as(3, 'abc', 36)],
    {
      sound: [remove().at(32).until(50).as(2, 'abc', 35), get().at(70).until(80).sees('v2')],
      broken: [remove().at(32).until(50).as(4, 'abc', 37), get().at(70).until(80).sees('v2')]
    }
  )
]

export const READ_FAULTS = [...LOST, ...INVENTED, ...BLIND, ...BACKWARDS, ...RETURNED]
