// Broken histories of what members know, of what nodes hold, and of operations that do not end. Each stands beside a
// sound one.
import { fault, get, healed, killed, knows, load, lost, put, ring, started, works } from '../history-builder.js'

const VIEWS = 'views'
const BOUNDS = 'bounds'
const ENDS = 'completion'
const ABC = ring('abc')

const KNOWN = [
  fault(VIEWS, 'two members know different views of one number', [knows('a', 1, 1), knows('a', 2, 10)], {
    sound: [knows('b', 2, 20)],
    broken: [knows('b', 2, 20, 'another')]
  }),
  fault(
    VIEWS,
    'a member knows another view of the same number after a restart',
    [knows('a', 1, 1), knows('a', 2, 10)],
    {
      sound: [knows('a', 2, 20)],
      broken: [knows('a', 2, 20, 'another')]
    }
  ),
  fault(VIEWS, 'a member forgets its newest view', [knows('a', 1, 1), knows('a', 2, 10)], {
    sound: [knows('a', 3, 20)],
    broken: [knows('a', 1, 20)]
  }),
  fault(
    VIEWS,
    'only the loss of its own disk excuses a member that forgets',
    [knows('a', 1, 1), knows('a', 2, 10), knows('b', 2, 11)],
    {
      sound: [lost('a', 15), knows('a', 1, 20)],
      broken: [lost('a', 15), knows('b', 1, 20)]
    }
  ),
  fault(VIEWS, 'a node uses an older view than it knows', [ABC, knows('a', 2, 10)], {
    sound: [works('a', 2, 20, [1, 'abc'])],
    broken: [works('a', 1, 20, [1, 'abc'])]
  }),
  fault(VIEWS, 'a removed member comes back', [knows('a', 1, 1, 'one', 'abc'), knows('a', 2, 10, 'two', 'ab')], {
    sound: [knows('a', 3, 20, 'three', 'abd')],
    broken: [knows('a', 3, 20, 'three', 'abc')]
  }),
  fault(VIEWS, 'a removed member comes back, and the view between is reported last', [knows('a', 1, 1, 'one', 'abc')], {
    sound: [knows('a', 3, 20, 'three', 'abc'), knows('b', 2, 30, 'two', 'abc')],
    broken: [knows('a', 3, 20, 'three', 'abc'), knows('b', 2, 30, 'two', 'ab')]
  }),
  fault(
    VIEWS,
    'a view that is reported without its members proves nothing about them',
    [knows('a', 1, 1, 'one', 'abc')],
    {
      sound: [knows('a', 2, 10, 'two'), knows('a', 3, 20, 'three', 'abc')],
      broken: [knows('a', 2, 10, 'two', 'ab'), knows('a', 3, 20, 'three', 'abc')]
    }
  ),
  fault(
    VIEWS,
    'the base of a window falls',
    [ABC, works('a', 2, 10, [1, 'abc'], [2, 'bcd']), works('a', 2, 20, [2, 'bcd'])],
    {
      sound: [works('a', 3, 30, [2, 'bcd'], [3, 'cde'])],
      broken: [works('a', 3, 30, [1, 'abc'], [2, 'bcd'], [3, 'cde'])]
    }
  ),
  fault(VIEWS, 'the newest config is forgotten', [ABC, works('a', 2, 10, [1, 'abc'], [2, 'bcd'])], {
    sound: [works('a', 2, 20, [2, 'bcd'])],
    broken: [works('a', 2, 20, [1, 'abc'])]
  }),
  fault(VIEWS, 'two members know different owners of one config', [ABC, works('a', 2, 10, [1, 'abc'], [2, 'bcd'])], {
    sound: [works('b', 2, 20, [1, 'abc'], [2, 'bcd'])],
    broken: [works('b', 2, 20, [1, 'abc'], [2, 'bce'])]
  })
]

/** Samples of a life of node `a`, one a second. */
function life(timers: (second: number) => number) {
  return Array.from({ length: 40 }, (_, second) => load('a', second * 1000, { timers: timers(second) }))
}

const BUSIER = Array.from({ length: 40 }, (_, second) => load('b', second * 1000, { mailbox: second < 20 ? 10 : 150 }))

const GROWN = [
  fault(BOUNDS, 'a mailbox is over its bound', [load('a', 1)], {
    sound: [load('a', 2, { mailbox: 900 }), load('a', 3)],
    broken: [load('a', 2, { mailbox: 10_001 }), load('a', 3)]
  }),
  fault(BOUNDS, 'too many bytes wait in streams', [load('a', 1)], {
    sound: [load('a', 2, { queuedBytes: 1_000_000 }), load('a', 3)],
    broken: [load('a', 2, { queuedBytes: 100_000_000 }), load('a', 3)]
  }),
  fault(BOUNDS, 'a node has too many timers', [load('a', 1)], {
    sound: [load('a', 2, { timers: 400 }), load('a', 3)],
    broken: [load('a', 2, { timers: 5000 }), load('a', 3)]
  }),
  fault(BOUNDS, 'a node ends with too many timers for the size of the ring', [load('a', 1), load('b', 1)], {
    sound: [load('a', 2, { timers: 300 }), load('a', 3, { timers: 50 })],
    broken: [load('a', 2, { timers: 300 }), load('a', 3, { timers: 80 })]
  }),
  fault(BOUNDS, 'a mailbox grows within one life; a restart would begin another life', [BUSIER], {
    sound: [killed('b', 19_500), started('b', 19_600)],
    broken: [killed('a', 19_500), started('a', 19_600)]
  }),
  fault(BOUNDS, 'timers grow and are never cancelled', [], {
    sound: life((second) => (second % 10 === 5 ? 400 : 40)),
    broken: life((second) => 40 + 10 * second)
  }),
  fault(BOUNDS, 'bytes grow and are never sent', [], {
    sound: Array.from({ length: 40 }, (_, second) => load('b', second * 1000, { queuedBytes: 1_000_000 })),
    broken: Array.from({ length: 40 }, (_, second) => load('b', second * 1000, { queuedBytes: second * 1_000_000 }))
  }),
  fault(BOUNDS, 'a mailbox fills slowly', [], {
    sound: Array.from({ length: 40 }, (_, second) => load('b', second * 1000, { mailbox: second })),
    broken: Array.from({ length: 40 }, (_, second) => load('b', second * 1000, { mailbox: second * 100 }))
  })
]

const FIRST = put('v1').at(10).until(20).as(1, 'abc')

const ENDED = [
  fault(ENDS, 'an operation is never answered', [ABC, FIRST, healed(90_000)], {
    sound: [get().at(30).until(10_000).sees('v1')],
    broken: [get().at(30)]
  }),
  fault(
    ENDS,
    'an operation is never answered by a node that runs',
    [ABC, FIRST, get().through('b').at(30), healed(90_000)],
    {
      sound: [killed('b', 100)],
      broken: [killed('c', 100)]
    }
  ),
  fault(ENDS, 'an operation is not answered by a node that was killed before', [ABC, FIRST, healed(90_000)], {
    sound: [get().through('b').at(30), killed('b', 40), started('b', 50)],
    broken: [killed('b', 20), started('b', 25), get().through('b').at(30)]
  }),
  fault(ENDS, 'an operation takes too long', [ABC, FIRST], {
    sound: [get().at(30).failing(10_030)],
    broken: [get().at(30).failing(40_030)]
  }),
  fault(ENDS, 'an operation fails though all has healed', [ABC, FIRST, healed(100)], {
    sound: [get().at(1000).failing(11_000), get().at(20_000).until(20_010).sees('v1')],
    broken: [get().at(20_000).failing(20_010)]
  }),
  fault(ENDS, 'an operation is slow though all has healed', [ABC, FIRST, healed(100)], {
    sound: [get().at(20_000).until(20_900).sees('v1')],
    broken: [get().at(20_000).until(25_000).sees('v1')]
  }),
  fault(ENDS, 'an operation hangs though all has healed', [ABC, FIRST, healed(100)], {
    sound: [get().at(20_000).until(20_100).sees('v1'), healed(24_000)],
    broken: [get().at(20_000), healed(24_000)]
  }),
  fault(ENDS, 'a kill ends the promise, and healing renews it', [ABC, FIRST, healed(100)], {
    sound: [killed('c', 19_000), get().at(20_000).failing(30_000)],
    broken: [killed('c', 19_000), started('c', 19_100), healed(19_200), get().at(40_000).failing(40_100)]
  }),
  fault(ENDS, 'an operation fails at consistency quorum; at consistency all it may', [ABC, FIRST, healed(100)], {
    sound: [get().with('all').at(20_000).failing(30_000)],
    broken: [get().with('quorum').at(20_000).failing(21_000)]
  })
]

export const RING_FAULTS = [...KNOWN, ...GROWN, ...ENDED]
