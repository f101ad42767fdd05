// The order of test files, and which of them run beside each other.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { TestFile, TestKind } from '../../scripts/test-file.js'
import { inOrder, kindOf, TestQueue, type Turn } from '../../scripts/test-queue.js'

const queues = suite('test queue')

function fileOf(name: string, kind: TestKind, seconds = 120): TestFile {
  return { path: `dist/${name}.js`, name, limitMs: seconds * 1000, kind }
}

/** Takes as many turns as there is room for. */
function takeAll(queue: TestQueue): Turn[] {
  const turns: Turn[] = []
  for (let turn = queue.take(); turn !== undefined; turn = queue.take()) turns.push(turn)
  return turns
}

function shown(turns: readonly Turn[]): string[] {
  return turns.map(({ file, isLow }) => `${file.name}${isLow ? ' low' : ''}`)
}

queues('the kind of a file is declared by its folder or a comment', () => {
  assert.is(kindOf('test/e2e/a.test.ts', ''), 'waiting')
  assert.is(kindOf('test/e2e/a.test.ts', '// About.\n// mostly computes\n'), 'busy')
  assert.is(kindOf('test/unit/a.test.ts', '// About.\n// mostly waits\n'), 'waiting')
  assert.is(kindOf('test/unit/a.test.ts', '// About.\n// virtual time\n'), 'patient')
  assert.is(kindOf('test/unit/a.test.ts', '// virtual time only in part\n// It mostly waits\n'), 'busy')
})

queues('tests of daemons and files that wait come first, and the longest before others', () => {
  const [b, d] = [fileOf('b', 'waiting'), fileOf('test/e2e/d', 'busy', 240)]
  const files = [fileOf('a', 'busy'), b, fileOf('c', 'patient', 300), d]
  assert.equal(
    inOrder(files).map(({ name }) => name),
    ['test/e2e/d', 'b', 'c', 'a']
  )
})

queues('three files that wait run at once, or two that are busy, or one that is busy and two that wait', () => {
  const waiting = new TestQueue(['a', 'b', 'c', 'd'].map((name) => fileOf(name, 'waiting')))
  const turns = takeAll(waiting)
  assert.equal(shown(turns), ['a', 'b', 'c'])
  waiting.ended(turns[1]!)
  assert.equal(shown(takeAll(waiting)), ['d'])
  assert.equal(shown(takeAll(new TestQueue(['a', 'b', 'c'].map((name) => fileOf(name, 'busy'))))), ['a', 'b'])
  const [a, b, c, d] = [fileOf('a', 'waiting'), fileOf('b', 'busy'), fileOf('c', 'busy'), fileOf('d', 'waiting')]
  assert.equal(shown(takeAll(new TestQueue([a, b, c]))), ['a', 'b'])
  assert.equal(shown(takeAll(new TestQueue([b, a, d, a]))), ['a', 'd', 'a'])
  assert.equal(shown(takeAll(new TestQueue([b, a, d]))), ['a', 'd', 'b'])
})

queues('one patient file runs at a low priority beside files that wait, without room of its own', () => {
  const waits = ['a', 'b', 'c', 'd'].map((name) => fileOf(name, 'waiting'))
  const queue = new TestQueue([fileOf('x', 'patient'), fileOf('y', 'patient'), ...waits])
  const turns = takeAll(queue)
  assert.equal(shown(turns), ['a', 'b', 'c', 'x low'])
  queue.ended(turns[3]!)
  assert.equal(shown(takeAll(queue)), ['y low'])
})

queues('beside a busy file, a patient file that runs at a low priority has a core of its own', () => {
  const queue = new TestQueue([
    fileOf('a', 'waiting'),
    fileOf('x', 'patient'),
    fileOf('b', 'busy'),
    fileOf('c', 'busy'),
    fileOf('d', 'busy')
  ])
  const turns = takeAll(queue)
  assert.equal(shown(turns), ['a', 'b', 'x low'])
  queue.ended(turns[0]!)
  assert.equal(shown(takeAll(queue)), [])
  queue.ended(turns[1]!)
  const [next] = takeAll(queue)
  assert.is(next?.file.name, 'c')
  queue.ended(turns[2]!)
  assert.equal(shown(takeAll(queue)), ['d'])
})

queues('patient files that are left alone run like others', () => {
  const queue = new TestQueue(['x', 'y', 'z'].map((name) => fileOf(name, 'patient')))
  assert.equal(shown(takeAll(queue)), ['x', 'y'])
})

queues('every file gets its turn, in any mixture', () => {
  const kinds: readonly TestKind[] = ['busy', 'waiting', 'patient']
  for (let mixture = 0; mixture < 3 ** 6; mixture++) {
    const files = Array.from({ length: 6 }, (_, at) => fileOf(`f${at}`, kinds[Math.floor(mixture / 3 ** at) % 3]!))
    const queue = new TestQueue(files)
    const running = takeAll(queue)
    let ended = 0
    for (let turn = running.shift(); turn !== undefined; turn = running.shift(), ended++) {
      queue.ended(turn)
      running.push(...takeAll(queue))
    }
    assert.is(ended, files.length, `mixture ${mixture}`)
  }
})

queues.run()
