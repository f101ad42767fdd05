// Import circles: each is found once, by a shortest loop, and a graph without circles has no finding.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ImportGraph, importCircles } from '../../scripts/import-graph.js'

const circles = suite('import circles')

/** 'a: b c' says that file a imports b in its line 1 and c in its line 2. */
function graph(...lines: string[]): ImportGraph {
  return new Map(
    lines.map((line) => {
      const [from = '', targets = ''] = line.split(':')
      const edges = targets.split(' ').filter((to) => to !== '')
      return [from, edges.map((to, index) => ({ to, line: index + 1 }))]
    })
  )
}

function loops(...lines: string[]): string[] {
  return importCircles(graph(...lines)).map((circle) => circle.files.join(' '))
}

circles('are not found where imports lead nowhere back', () => {
  assert.equal(loops(), [])
  assert.equal(loops('a: b c', 'b: d', 'c: d', 'd:'), [])
  assert.equal(loops('a: b', 'b: outside'), [])
})

circles('are found at any length, also of one file', () => {
  assert.equal(loops('a: a'), ['a a'])
  assert.equal(loops('a: b', 'b: a'), ['a b a'])
  assert.equal(loops('a: b', 'b: c', 'c: d', 'd: e', 'e: a'), ['a b c d e a'])
})

circles('are told by a shortest loop, with the line of its first import', () => {
  assert.equal(loops('a: b', 'b: c', 'c: d x', 'd: a', 'x: c'), ['c x c', 'a b c d a'])
  const [circle] = importCircles(graph('a: x b', 'x:', 'b: a'))
  assert.equal(circle, { line: 2, files: ['a', 'b', 'a'] })
})

circles('are found once each, also when they share a file', () => {
  assert.equal(loops('a: b c', 'b: a', 'c: a'), ['a b a', 'a c a'])
  assert.equal(loops('b: a', 'a: b', 'd: c', 'c: d'), ['a b a', 'c d c'])
})

circles('do not depend on files that lead to them or away from them', () => {
  assert.equal(loops('before: a', 'a: b after', 'b: a', 'after: end', 'end:'), ['a b a'])
})

circles.run()
