// The plan that a campaign draws from its seed, and which faults the ring's state allows.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decide, type HostState, type Situation } from '../chaos/fault-limits.js'
import { FAULT_KINDS, FAULTS, type FaultKind, generateChaosPlan, type Step } from '../chaos/plan-generator.js'

const plans = suite('plans of campaigns')
const MINUTE_MS = 60_000

plans('the same seed draws the same plan, another seed another plan', () => {
  const draw = (seed: number) => generateChaosPlan({ seed, minutes: 2, kinds: FAULT_KINDS })
  assert.equal(draw(5), draw(5))
  assert.not.equal(draw(5), draw(6))
})

plans('each kind comes once before any comes again, and no step comes after the end', () => {
  fc.assert(
    fc.property(fc.nat(), fc.subarray([...FAULT_KINDS], { minLength: 1 }), (seed, kinds) => {
      const { steps, members } = generateChaosPlan({ seed, minutes: 3, kinds })
      assert.equal(new Set(steps.slice(0, kinds.length).map(({ kind }) => kind)), new Set(kinds))
      assert.ok(steps.every(({ kind }) => kinds.includes(kind)))
      assert.ok(steps.reduce((sum, { pauseMs }) => sum + pauseMs, 0) <= 3 * MINUTE_MS + steps.length)
      assert.ok(members >= 5 && members <= 7)
      for (const { kind, forMs } of steps) {
        const [from, to] = FAULTS[kind].lasts
        assert.ok(forMs >= 1000 * from && forMs <= 1000 * to, `${kind} for ${forMs} ms`)
      }
    })
  )
})

plans('a plan needs at least one kind', () => {
  assert.throws(() => generateChaosPlan({ seed: 1, minutes: 1, kinds: [] }), /no fault/)
})

plans.run()

const envelope = suite('limits of faults')

function step(kind: FaultKind, lots = [0.1, 0.5, 0.9]): Step {
  return { index: 0, kind, pauseMs: 0, forMs: 0, lots }
}

function scene(states: string, changes: Partial<Situation> = {}): Situation {
  const words: Record<string, HostState> = { u: 'up', a: 'away', m: 'moving', '-': 'free' }
  const hosts = new Map([...states].map((letter, index) => [`h${index}`, words[letter]!]))
  const calm = { deadMembers: 0, open: 0, openLoss: false, openAlone: false, isWhole: true }
  return { hosts, disks: new Set(['h0', 'h2', 'h4']), ...calm, ...changes }
}

const LOSSES = FAULT_KINDS.filter((kind) => FAULTS[kind].loses)
const OTHERS = FAULT_KINDS.filter((kind) => !FAULTS[kind].loses)

envelope('a store is lost only while the ring is whole, and while no other loss is pending', () => {
  assert.equal(new Set(LOSSES), new Set(['disk-full', 'clone', 'wiped-founder', 'wipe', 'damage', 'roll-back']))
  for (const kind of LOSSES) {
    assert.is(decide(step(kind), scene('uuuuu-')).do, 'go', kind)
    assert.is(decide(step(kind), scene('uuuuu-', { isWhole: false })).do, 'wait', kind)
    assert.is(decide(step(kind), scene('uuuuu-', { open: 1, openLoss: true })).do, 'wait', kind)
  }
})

envelope('kills, stops and partitions may come while a loss is pending, and on a ring that is not whole', () => {
  for (const kind of ['kill', 'restart', 'stop', 'partition', 'cut', 'kill-all'] as const) {
    assert.is(decide(step(kind), scene('uuuuu-', { open: 1, openLoss: true, isWhole: false })).do, 'go', kind)
  }
})

envelope('an exclusive fault waits for all others, and all others wait for it', () => {
  for (const kind of ['damage', 'roll-back'] as const) {
    assert.is(decide(step(kind), scene('uuuuu-', { open: 1 })).do, 'wait', kind)
  }
  for (const kind of FAULT_KINDS) {
    assert.is(decide(step(kind), scene('uuuuu-', { open: 1, openAlone: true })).do, 'wait', kind)
  }
})

envelope('members that are down or removed count, so that a majority stays', () => {
  assert.is(decide(step('kill'), scene('uuuua')).do, 'go')
  assert.is(decide(step('kill'), scene('uuuaa')).do, 'skip')
  assert.is(decide(step('kill'), scene('uuuua', { deadMembers: 1 })).do, 'skip')
  assert.is(decide(step('stop'), scene('uuuam')).do, 'skip')
})

envelope('a fault strikes only members in a fitting state', () => {
  const targets = (kind: FaultKind, states: string) => {
    const decision = decide(step(kind), scene(states))
    return decision.do === 'go' ? decision.targets : []
  }
  assert.equal(targets('join', 'uuuuu-'), ['h5'])
  assert.equal(targets('join', 'uuuuuu'), [])
  assert.equal(targets('leave', 'uuuu-'), [])
  assert.equal(targets('disk-full', 'auaua'), [])
  assert.equal(targets('kill-all', 'uaumu'), ['h0', 'h2', 'h4'])
})

envelope('no plan takes a majority away, strikes a member twice at once, or loses two stores at once', () => {
  const states = fc.array(fc.constantFrom('u', 'u', 'u', 'a', 'm', '-'), { minLength: 1, maxLength: 9 })
  const lots = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 3, maxLength: 3 })
  const flags = fc.record({ openLoss: fc.boolean(), openAlone: fc.boolean(), isWhole: fc.boolean() })
  fc.assert(
    fc.property(
      states,
      lots,
      flags,
      fc.nat(2),
      fc.constantFrom(...FAULT_KINDS),
      (letters, drawn, given, deadMembers, kind) => {
        const now = scene(letters.join(''), { ...given, deadMembers, open: given.openLoss || given.openAlone ? 1 : 0 })
        const decision = decide(step(kind, drawn), now)
        if (decision.do !== 'go') return
        const { targets } = decision
        assert.is(new Set(targets).size, targets.length)
        // A clone is made of a daemon that is up, on a host that is free.
        const stateAt = (at: number) => (kind === 'join' || (kind === 'clone' && at === 1) ? 'free' : 'up')
        assert.ok(targets.every((name, at) => now.hosts.get(name) === stateAt(at)))
        assert.is(kind === 'clone' ? targets.length : 2, 2)
        assert.not.ok(LOSSES.includes(kind) && (now.openLoss || !now.isWhole))
        if ((OTHERS.includes(kind) || kind === 'clone') && FAULTS[kind].away === undefined) return
        if (kind === 'kill-all' || kind === 'disk-full') return
        const present = letters.filter((letter) => letter !== '-').length
        const serving = letters.filter((letter) => letter === 'u').length - targets.length
        assert.ok(serving > (present + deadMembers) / 2, `${serving} of ${present} and ${deadMembers} lost`)
      }
    )
  )
})

envelope.run()
