// Broken histories of disks: versions, readiness, writes that quorums miss, entries that are dropped too early,
// tombstones. Each stands beside a sound one.
import { erased, fault, get, image, knows, lost, put, ready, remove, ring, stored, works } from '../history-builder.js'

const ABC = ring('abc')
const VERSIONS = 'versions'
const READY = 'ready facts'
const VISIBLE = 'visible writes'
const DELETIONS = 'deletions'
const DELETED = 'resurrection'

const NAMED = [
  fault(VERSIONS, 'a version names two values', [ABC, put('v1').at(10).until(20).as(1, 'ab')], {
    sound: [put('v2').at(30).as(2, 'c')],
    broken: [put('v2').at(30).as(1, 'c')]
  }),
  fault(VERSIONS, 'a version names two keys', [ABC, put('v1').at(10).until(20).as(1, 'ab')], {
    sound: [put('x', 'l').at(30).until(40).as(2, 'abc')],
    broken: [put('x', 'l').at(30).until(40).as(1, 'abc')]
  }),
  fault(VERSIONS, 'a version names a value and a tombstone', [ABC, put('v1').at(10).until(20).as(1, 'ab')], {
    sound: [remove().at(30).as(2, 'c')],
    broken: [remove().at(30).as(1, 'c')]
  }),
  fault(VERSIONS, 'a disk comes back with another value', [ABC, put('v1').at(10).until(20).as(1, 'abc')], {
    sound: [image('c', 30, 'v1', 1)],
    broken: [image('c', 30, 'v?', 1)]
  }),
  fault(VERSIONS, 'a version is used again long after', [ABC, put('v1').at(10).until(20).as(1, 'abc')], {
    sound: [put('v2').at(30).until(40).as(2, 'abc'), put('v3').at(50).until(60).as(3, 'abc')],
    broken: [put('v2').at(30).until(40).as(2, 'abc'), put('v3').at(50).until(60).as(1, 'a')]
  }),
  fault(VERSIONS, 'an older version is stored over a newer one', [ABC, put('v1').at(10).as(1, 'a')], {
    sound: [put('v2').at(12).until(20).as(2, 'abc'), stored('v1', 1, 'd', 30)],
    broken: [put('v2').at(12).until(20).as(2, 'abc'), stored('v1', 1, 'c', 30)]
  }),
  fault(VERSIONS, 'an older value is stored over a tombstone', [ABC, put('v1').at(10).until(12).as(1, 'ab')], {
    sound: [remove().at(14).until(20).as(2, 'ab'), stored('v1', 1, 'c', 30), stored(undefined, 2, 'c', 31)],
    broken: [remove().at(14).until(20).as(2, 'abc'), stored('v1', 1, 'c', 30)]
  }),
  fault(VERSIONS, 'a value is stored under a key that it was not put to', [ABC], {
    sound: [put('v1').at(10).until(20).as(1, 'abc')],
    broken: [put('v1').at(10).as(1, 'abc'), put('x', 'l').at(12), stored('x', 2, 'a', 14)]
  })
]

/** In view 2 `d` takes the place of `a`. */
const MOVING = works('abcd', 2, 30, [1, 'abc'], [2, 'bcd'])
/** The slot has settled. */
const MOVED = works('abcd', 2, 60, [2, 'bcd'])
const WRITTEN = put('v1').at(10).until(20).as(1, 'ab')

/** The same, but node `a` does not know view 2 yet. */
const MOVING_BEHIND = works('bcd', 2, 30, [1, 'abc'], [2, 'bcd'])
/** A deleted key moves twice, to d and then to f; node e does not know of it. */
const LATE = [
  [works('abcef', 1, 0, [1, 'abc']), remove().at(1).as(1, 'abc').as(1, 'd', 35).as(1, 'f', 55)],
  [works('abcdf', 2, 30, [1, 'abc'], [2, 'bcd']), ready('bcd', 2, 40), works('abcdf', 2, 45, [2, 'bcd'])],
  [works('abcdf', 3, 50, [2, 'bcd'], [3, 'bcf']), ready('bcf', 3, 60), works('abcdf', 3, 65, [3, 'bcf'])]
]

const PROMISED = [
  fault(READY, 'a newcomer is ready without what was acknowledged before', [ABC, WRITTEN, MOVING], {
    sound: [stored('v1', 1, 'd', 35), ready('d', 2, 40)],
    broken: [ready('d', 2, 40)]
  }),
  fault(READY, 'an owner that stays is ready without a pull', [ABC, WRITTEN, MOVING], {
    sound: [stored('v1', 1, 'c', 35), ready('c', 2, 40)],
    broken: [ready('c', 2, 40)]
  }),
  fault(
    READY,
    'a newcomer is ready with an older version',
    [ABC, put('v0').at(2).until(8).as(0, 'abc'), WRITTEN, MOVING],
    {
      sound: [stored('v1', 1, 'd', 35), ready('d', 2, 40)],
      broken: [stored('v0', 0, 'd', 35), ready('d', 2, 40)]
    }
  ),
  fault(
    READY,
    'a newcomer lacks a write that is acknowledged late, under the config before',
    [ABC, works('bcd', 2, 30, [1, 'abc'], [2, 'bcd'])],
    {
      sound: [put('v1').at(10).until(45).as(1, 'ab'), stored('v1', 1, 'd', 35), ready('d', 2, 40)],
      broken: [put('v1').at(10).until(45).as(1, 'ab'), ready('d', 2, 40)]
    }
  ),
  fault(READY, 'a newcomer lacks a write of the config before; a write of the new config it may lack', [ABC], {
    sound: [MOVING, put('v1').at(32).until(38).as(1, 'abc'), ready('d', 2, 40)],
    broken: [put('v1').at(10).until(20).as(1, 'abc'), MOVING, ready('d', 2, 40)]
  }),
  fault(
    READY,
    'a newcomer lacks a value that was read before, though it was never acknowledged',
    [ABC, put('v1').at(10).as(1, 'ab')],
    {
      sound: [get().at(15).with('one').until(20).sees('v1'), MOVING, ready('d', 2, 40)],
      broken: [get().at(15).until(20).sees('v1'), MOVING, ready('d', 2, 40)]
    }
  ),
  fault(READY, 'a newcomer lacks the tombstone', [ABC, WRITTEN, remove().at(22).until(28).as(2, 'ab'), MOVING], {
    sound: [stored('v1', 1, 'd', 34), stored(undefined, 2, 'd', 35, { minter: 'a' }), ready('d', 2, 40)],
    broken: [stored('v1', 1, 'd', 34), ready('d', 2, 40)]
  }),
  fault(
    READY,
    'a member is ready for a newer config, and lacks a write of the config between',
    [ABC, WRITTEN, MOVING],
    {
      sound: [
        [
          stored('v1', 1, 'cd', 35),
          ready('bcd', 2, 40),
          put('v2').through('b').at(42).until(48).as(2, 'ab').as(2, 'd', 47)
        ],
        [works('abcde', 3, 50, [2, 'bcd'], [3, 'bde']), stored('v2', 2, 'e', 52, { minter: 'b' }), ready('e', 3, 55)]
      ],
      broken: [
        [
          stored('v1', 1, 'cd', 35),
          ready('bcd', 2, 40),
          put('v2').through('b').at(42).until(48).as(2, 'ab').as(2, 'd', 47)
        ],
        [works('abcde', 3, 50, [2, 'bcd'], [3, 'bde']), stored('v1', 1, 'e', 52), ready('e', 3, 55)]
      ]
    }
  ),
  fault(READY, 'a newcomer lacks a write whose router knew only the config before', [ABC], {
    sound: [MOVING_BEHIND, knows('a', 2, 31), put('v1').at(32).until(38).as(1, 'bc'), ready('d', 2, 40)],
    broken: [MOVING_BEHIND, knows('d', 2, 31), put('v1').at(32).until(38).as(1, 'bc'), ready('d', 2, 40)]
  }),
  fault(
    READY,
    'a newcomer lacks a write of an unknown router, answered before any member knew the new view',
    [works('bcd', 1, 0, [1, 'abc'])],
    {
      sound: [knows('d', 2, 5), put('v1').at(10).until(20).as(1, 'bc'), ready('d', 2, 40)],
      broken: [knows('d', 2, 25), put('v1').at(10).until(20).as(1, 'bc'), ready('d', 2, 40)]
    }
  ),
  fault(READY, 'an owner that dropped a tombstone lacks a late write; a former owner that dropped it may', [LATE], {
    sound: [erased('d', 70), put('v1').through('e').at(22).until(80).as(3, 'abc', 25).as(3, 'f', 75)],
    broken: [erased('f', 70), put('v1').through('e').at(22).until(80).as(3, 'abc', 25)]
  }),
  fault(
    READY,
    'a newcomer lacks a write while another member is lost; a lost member may lack it',
    [ABC, WRITTEN, MOVING],
    {
      sound: [lost('d', 35), ready('d', 2, 40)],
      broken: [lost('a', 35), ready('d', 2, 40)]
    }
  )
]

const VISIBLE_FAULTS = [
  fault(VISIBLE, 'a write is acknowledged that one of three owners holds', [ABC], {
    sound: [put('v1').at(10).until(20).as(1, 'bc')],
    broken: [put('v1').at(10).until(20).as(1, 'c')]
  }),
  fault(VISIBLE, 'a write into two configs has its quorum in the old one only', [ABC, MOVING], {
    sound: [put('v1').at(32).until(38).as(1, 'ab').as(1, 'd', 36), MOVED],
    broken: [put('v1').at(32).until(38).as(1, 'ab'), MOVED]
  }),
  fault(VISIBLE, 'a window narrows to owners that have not pulled', [ABC, WRITTEN, MOVING], {
    sound: [stored('v1', 1, 'cd', 40), MOVED],
    broken: [MOVED]
  }),
  fault(VISIBLE, 'one node alone narrows its window too early', [ABC, WRITTEN, MOVING], {
    sound: [stored('v1', 1, 'cd', 40), works('d', 2, 50, [2, 'bcd'])],
    broken: [works('d', 2, 50, [2, 'bcd']), stored('v1', 1, 'cd', 55)]
  }),
  fault(VISIBLE, 'a joiner knows only the newest config', [ABC, WRITTEN], {
    sound: [works('abcde', 2, 30, [1, 'abc'], [2, 'cde'])],
    broken: [works('abc', 2, 30, [1, 'abc'], [2, 'cde']), works('de', 2, 31, [2, 'cde'])]
  }),
  fault(VISIBLE, 'two of three disks come back without the write', [ABC, put('v1').at(10).until(20).as(1, 'abc')], {
    sound: [image('a', 30), image('b', 31, 'v1', 1)],
    broken: [image('a', 30), image('b', 31)]
  }),
  fault(VISIBLE, 'a disk that held the second copy comes back without it', [ABC, WRITTEN], {
    sound: [image('a', 30, 'v1', 1)],
    broken: [image('a', 30)]
  }),
  fault(VISIBLE, 'one disk is lost, and another one comes back without the write', [ABC, WRITTEN], {
    sound: [lost('b', 30), get().at(40).until(50).sees('v1')],
    broken: [lost('b', 30), image('a', 35)]
  }),
  fault(VISIBLE, 'the last disk that holds the write is lost', [ABC, WRITTEN], {
    sound: [stored('v1', 1, 'c', 25), lost('a', 30), lost('b', 31)],
    broken: [lost('a', 30), lost('b', 31)]
  }),
  fault(VISIBLE, 'owners that do not know the newest view answer without the write', [ABC, WRITTEN], {
    sound: [
      works('bcde', 3, 30, [1, 'abc'], [3, 'cde']),
      stored('v1', 1, 'de', 32),
      erased('a', 40),
      works('a', 3, 39, [3, 'cde'])
    ],
    broken: [works('bcde', 3, 30, [1, 'abc'], [3, 'cde']), stored('v1', 1, 'd', 32), works('e', 3, 40, [3, 'cde'])]
  }),
  fault(VISIBLE, 'a read returned a value that only one disk holds', [ABC, put('v1').at(10).as(1, 'a')], {
    sound: [get().at(20).until(30).sees('v1'), stored('v1', 1, 'b', 25)],
    broken: [get().at(20).until(30).sees('v1')]
  }),
  fault(VISIBLE, 'a disk comes back with an older version', [ABC, put('v0').at(1).until(5).as(0, 'abc'), WRITTEN], {
    sound: [image('a', 30, 'v1', 1)],
    broken: [image('a', 30, 'v0', 0)]
  }),
  fault(VISIBLE, 'a delete is acknowledged that one of three owners holds', [ABC, WRITTEN], {
    sound: [remove().at(30).until(40).as(2, 'ac')],
    broken: [remove().at(30).until(40).as(2, 'a')]
  }),
  fault(
    VISIBLE,
    'a member that is not lost routes by a window that can miss the write',
    [ABC, WRITTEN, works('de', 1, 30, [1, 'abc'])],
    {
      sound: [lost('e', 35), works('e', 2, 40, [2, 'cde'])],
      broken: [lost('a', 35), works('e', 2, 40, [2, 'cde'])]
    }
  ),
  fault(VISIBLE, 'the last disk of an acknowledged write is lost; that of another write may be', [ABC], {
    sound: [put('v1').at(10).as(1, 'a'), lost('a', 30)],
    broken: [put('v1').at(10).until(20).as(1, 'a'), lost('a', 30)]
  }),
  fault(
    VISIBLE,
    'a quorum read can miss a tombstone over a value that all hold',
    [ABC, put('v1').at(10).until(20).as(1, 'abc')],
    {
      sound: [remove().at(30).until(40).as(2, 'ab')],
      broken: [remove().at(30).until(40).as(2, 'a')]
    }
  )
]

const PULLED = [ABC, WRITTEN, MOVING, stored('v1', 1, 'cd', 40), ready('bcd', 2, 45)]

const DROPPED = [
  fault(DELETIONS, 'a former owner drops before the slot has settled in its own view', PULLED, {
    sound: [MOVED, erased('a', 70)],
    broken: [erased('a', 50)]
  }),
  fault(DELETIONS, 'an owner drops an entry that it owns', PULLED, {
    sound: [MOVED, erased('a', 70), erased('a', 75), erased('d', 76, 'l')],
    broken: [MOVED, erased('d', 70)]
  }),
  fault(DELETIONS, 'a former owner drops, and the new owners hold nothing', [ABC, WRITTEN, MOVING], {
    sound: [stored('v1', 1, 'cd', 40), MOVED, erased('a', 70)],
    broken: [MOVED, erased('a', 70)]
  }),
  fault(
    DELETIONS,
    'a former owner drops, and one new owner of three holds the entry',
    [ABC, put('v1').at(10).until(20).as(1, 'ab'), works('abcdef', 2, 30, [1, 'abc'], [2, 'def'])],
    {
      sound: [stored('v1', 1, 'de', 40), works('abcdef', 2, 60, [2, 'def']), erased('ab', 70)],
      broken: [stored('v1', 1, 'd', 40), works('abcdef', 2, 60, [2, 'def']), erased('a', 70)]
    }
  ),
  fault(
    DELETIONS,
    'a former owner drops an entry of which others hold an older version only',
    [ABC, put('v0').at(2).until(8).as(0, 'abc'), WRITTEN, MOVING],
    {
      sound: [stored('v1', 1, 'cd', 40), MOVED, erased('a', 70)],
      broken: [stored('v0', 0, 'd', 40), MOVED, erased('a', 70)]
    }
  ),
  fault(
    DELETIONS,
    'a member that knows a view drops the only copy; a member without a view may',
    [put('v1').at(10).as(1, 'd')],
    {
      sound: [erased('d', 20)],
      broken: [works('d', 2, 15, [2, 'abc']), get().through('d').at(16).until(19).sees('v1'), erased('d', 20)]
    }
  ),
  fault(DELETIONS, 'an owner drops an entry; dropping a key of which it holds nothing is no fault', PULLED, {
    sound: [MOVED, erased('d', 70, 'l'), erased('a', 71), erased('a', 72)],
    broken: [MOVED, erased('d', 70), erased('a', 71), erased('a', 72)]
  }),
  fault(
    DELETIONS,
    'a former owner drops, and two new owners are lost; one that is lost may count as holder',
    [ABC, WRITTEN, works('abcdef', 2, 30, [1, 'abc'], [2, 'def'])],
    {
      sound: [stored('v1', 1, 'de', 40), works('abcdef', 2, 60, [2, 'def']), lost('d', 65), erased('a', 70)],
      broken: [
        stored('v1', 1, 'd', 40),
        works('abcdef', 2, 60, [2, 'def']),
        lost('e', 62),
        lost('d', 65),
        erased('a', 70)
      ]
    }
  ),
  fault(
    DELETIONS,
    'a slow member drops after its successors, which have not passed the entry on',
    [PULLED, works('bcdefg', 2, 60, [2, 'bcd'])],
    {
      sound: [
        [works('bcdefg', 3, 70, [2, 'bcd'], [3, 'efg']), stored('v1', 1, 'efg', 75), ready('efg', 3, 80)],
        [works('bcdefg', 3, 90, [3, 'efg']), erased('bcd', 95), works('a', 2, 99, [2, 'bcd']), erased('a', 100)]
      ],
      broken: [
        [works('bcdefg', 3, 70, [2, 'bcd'], [3, 'efg']), ready('g', 3, 80)],
        [works('bcdefg', 3, 90, [3, 'efg']), erased('bcd', 95), works('a', 2, 99, [2, 'bcd']), erased('a', 100)]
      ]
    }
  )
]

const REMOVED = [ABC, put('v1').at(10).until(20).as(1, 'abc')]

const PURGED = [
  fault(
    DELETIONS,
    'a new owner drops an entry before it is ready, and too few ready owners hold it',
    [
      [ABC, put('v1').at(10).until(20).as(1, 'abc'), works('abcdef', 2, 22, [1, 'abc'], [2, 'def'])],
      [stored('v1', 1, 'def', 30), works('abcdef', 2, 60, [2, 'def'])]
    ],
    {
      sound: [ready('de', 2, 65), erased('f', 70)],
      broken: [ready('d', 2, 65), erased('f', 70)]
    }
  ),
  fault(DELETED, 'a tombstone is purged while another owner holds the value', REMOVED, {
    sound: [remove().at(30).until(40).as(2, 'ab'), stored(undefined, 2, 'c', 45), erased('abc', 50)],
    broken: [remove().at(30).until(40).as(2, 'ab'), erased('a', 50)]
  }),
  fault(
    DELETED,
    'a tombstone is purged while an owner of an open config holds an older value',
    [REMOVED, remove().at(22).until(28).as(2, 'bc'), MOVING],
    {
      sound: [stored(undefined, 2, 'd', 40), MOVED, erased('bcd', 70)],
      broken: [stored(undefined, 2, 'd', 40), erased('bcd', 70)]
    }
  ),
  fault(DELETED, 'a tombstone that was only read is purged while another owner holds the value', REMOVED, {
    sound: [remove().at(30).as(2, 'abc'), get().at(40).until(45).sees(undefined), erased('abc', 50)],
    broken: [remove().at(30).as(2, 'ab'), get().at(40).until(45).sees(undefined), erased('ab', 50)]
  }),
  fault(
    DELETED,
    'an old value enters after the purge',
    [REMOVED, ready('abc', 1, 25), remove().at(30).until(40).as(2, 'abc'), erased('abc', 50)],
    {
      sound: [stored('v1', 1, 'd', 60), put('v2').at(70).until(80).as(3, 'abc')],
      broken: [stored('v1', 1, 'c', 60)]
    }
  ),
  fault(
    DELETED,
    'an old value enters at an owner after the purge; at a former owner that does not know it may',
    [
      [ABC, put('v1').at(10).until(20).as(1, 'bc'), works('bcdef', 2, 22, [1, 'abc'], [2, 'def'])],
      [remove().at(30).until(40).as(2, 'bcdef'), works('bcdef', 2, 60, [2, 'def']), ready('def', 2, 65)],
      erased('def', 70)
    ],
    {
      sound: [stored('v1', 1, 'a', 80)],
      broken: [stored('v1', 1, 'd', 80)]
    }
  ),
  fault(
    DELETED,
    'a new owner is ready with an old value that it stored after the purge',
    [
      [ABC, put('v1').at(10).until(20).as(1, 'abc'), works('abcdef', 2, 22, [1, 'abc'], [2, 'def'])],
      [remove().at(30).until(40).as(2, 'abcde'), works('abcdef', 2, 60, [2, 'def']), ready('de', 2, 65)],
      [erased('de', 70), stored('v1', 1, 'f', 80)]
    ],
    {
      sound: [erased('f', 85), ready('f', 2, 90)],
      broken: [ready('f', 2, 90), erased('f', 95)]
    }
  ),
  fault(
    DELETED,
    'a value comes back from a transfer after the purge',
    [REMOVED, remove().at(30).until(40).as(2, 'abc')],
    {
      sound: [erased('c', 50), stored(undefined, 2, 'c', 60), get().at(70).until(80).sees(undefined)],
      broken: [erased('abc', 50), stored('v1', 1, 'ab', 60), get().at(70).until(80).sees('v1')]
    }
  ),
  fault(
    DELETIONS,
    'a former owner drops a tombstone, and the new owners hold the value',
    [REMOVED, works('abcdef', 2, 30, [1, 'abc'], [2, 'def'])],
    {
      sound: [remove().at(32).until(38).as(2, 'abcdef'), works('abcdef', 2, 60, [2, 'def']), erased('a', 70)],
      broken: [
        stored('v1', 1, 'def', 31),
        remove().at(32).until(38).as(2, 'abc'),
        works('abcdef', 2, 60, [2, 'def']),
        erased('a', 70)
      ]
    }
  )
]

export const DISK_FAULTS = [...NAMED, ...PROMISED, ...VISIBLE_FAULTS, ...DROPPED, ...PURGED]
