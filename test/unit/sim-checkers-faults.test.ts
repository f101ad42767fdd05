// The checkers of simulated runs, on histories written by hand. Each broken history is found by its checker, and the
// sound history beside it passes all checkers.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { allCheckers } from '../sim/checkers/checkers.js'
import { DISK_FAULTS } from '../sim/checkers/faults/disks.js'
import { EXPIRY_FAULTS } from '../sim/checkers/faults/expiry.js'
import { READ_FAULTS } from '../sim/checkers/faults/reads.js'
import { RING_FAULTS } from '../sim/checkers/faults/ring.js'
import { observationsOf, type Part } from '../sim/checkers/history-builder.js'
import type { Violation } from '../sim/run/observation.js'

const test = suite('sim checkers/faults')
const FAULTS = [...READ_FAULTS, ...DISK_FAULTS, ...RING_FAULTS, ...EXPIRY_FAULTS]

/** How many broken histories each checker has. Raise the number with each one that is added. */
const COUNTS = {
  'acknowledged writes': 37,
  'monotone reads': 10,
  expiry: 8,
  resurrection: 16,
  versions: 8,
  'ready facts': 12,
  'visible writes': 16,
  deletions: 11,
  views: 11,
  bounds: 8,
  completion: 9
}

function violationsOf(parts: readonly Part[]): Violation[] {
  const checkers = allCheckers()
  const observations = observationsOf(parts)
  for (const observation of observations) for (const checker of checkers) checker.observe(observation)
  for (const checker of checkers) checker.finish(observations.at(-1)?.at ?? 0)
  return checkers.flatMap((checker) => checker.violations)
}

function isLost({ rule }: Violation): boolean {
  return rule === 'acknowledged writes'
}

function isReturned({ rule }: Violation): boolean {
  return rule === 'resurrection'
}

for (const { rule, name, sound, broken } of FAULTS) {
  test(`${rule}: ${name}`, () => {
    assert.equal(violationsOf(sound), [], 'the sound history')
    const found = violationsOf(broken)
    const told = found.map((violation) => `${violation.rule}: ${violation.text}`).join('\n')
    assert.ok(
      found.some((violation) => violation.rule === rule),
      `found:\n${told}`
    )
    assert.ok(!(found.some(isLost) && found.some(isReturned)), `one read is reported by one checker only:\n${told}`)
  })
}

test('every checker has its broken histories, and none is missing', () => {
  const counts: Record<string, number> = {}
  for (const { rule } of FAULTS) counts[rule] = (counts[rule] ?? 0) + 1
  assert.equal(counts, COUNTS)
  assert.is(new Set(FAULTS.map(({ rule, name }) => `${rule}: ${name}`)).size, FAULTS.length)
})

test.run()
