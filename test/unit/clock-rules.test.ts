// The rules of clocks as a model: peers with wall clocks that jump, the hybrid clocks of the project, and disks that
// are maps.
// Checks what lib/entry/clock.md promises: versions increase, acknowledged writes are never undone, no minority puts
// versions of the future on any disk, and writes are taken again when the clocks are right.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AgreedMoment, readAgreedMoment } from '../../lib/actors/replica/agreed-moment.js'
import { type Bytes, compareBytes } from '../../lib/bytes.js'
import { HybridClock, MAX_SKEW_MS, SKEW_MARGIN_MS } from '../../lib/entry/hybrid-clock.js'
import { RingTime } from '../../lib/entry/ring-time.js'
import { type Version, versionMember, versionMs } from '../../lib/entry/version.js'
import type { MemberId } from '../../lib/member.js'
import { idOf } from '../sim/harness/ring-views.js'

const START = 1_735_689_600_000
const HOUR = 3_600_000
const LETTERS = 'abcde'

const test = suite('clock-rules')

interface Entry {
  readonly version: Version
  /** Writes count up in the order in which they were acknowledged. */
  readonly write: number
}

/** One peer: its wall clock, its disk, and the clocks of its present life. */
class Peer {
  readonly id: MemberId
  skewMs = 0
  readonly entries = new Map<string, Entry>()
  readonly records = new Map<string, Bytes>()
  ceilingMs = 0
  time!: RingTime
  hlc!: HybridClock
  #agreed!: AgreedMoment
  #last: Version | undefined
  readonly #ring: Ring

  constructor(ring: Ring, letter: string) {
    this.#ring = ring
    this.id = idOf(letter)
    this.start()
  }

  start(): void {
    const agreedMs = readAgreedMoment({ get: (name) => this.records.get(name) })
    this.time = new RingTime({ now: () => this.wallMs, elapsed: () => this.#ring.nowMs }, { agreedMs })
    this.#agreed = new AgreedMoment(this.time, () => this.#ring.nowMs)
    this.hlc = new HybridClock(
      { now: () => this.time.now(), agreedMs: () => this.time.agreedMs() },
      { member: versionMember(this.id), ceilingMs: this.ceilingMs }
    )
    if (this.#ring.members.size > 0) this.time.useMembers({ self: this.id, members: this.#ring.members })
  }

  get wallMs(): number {
    return START + this.#ring.nowMs + this.skewMs
  }

  /** As VersionMinter.mint, with a disk that takes no time. */
  mint(): Version | undefined {
    if (this.time.verdict.state !== 'right' || this.hlc.overreachMs > 0) return undefined
    const ceilingMs = this.hlc.needsCeiling()
    if (ceilingMs !== undefined) {
      this.#write()
      this.ceilingMs = Math.max(this.ceilingMs, ceilingMs)
      this.hlc.raiseCeiling(ceilingMs)
    }
    const version = this.hlc.next()
    if (version === undefined) return undefined
    assert.ok(this.#last === undefined || compareBytes(version, this.#last) > 0, 'a version does not increase')
    this.#last = version
    return version
  }

  /** Takes the entry as an owner does: undefined when it is stored, else the newer version or false. */
  apply(key: string, entry: Entry): undefined | Version | false {
    if (this.hlc.isTooFarAhead(entry.version)) return false
    this.hlc.accept(entry.version)
    const held = this.entries.get(key)
    if (held !== undefined && compareBytes(held.version, entry.version) > 0) return held.version
    this.#write()
    this.entries.set(key, entry)
    return undefined
  }

  /** As ClockWatch.look, once a second. */
  look(): void {
    if (this.#agreed.urgentMs !== undefined) this.#write()
  }

  #write(): void {
    const due = this.#agreed.due()
    if (due === undefined) return
    this.records.set(due.record.name, due.record.value!)
    due.stored()
  }
}

class Ring {
  nowMs = 0
  /** The majority's moment at the last pongs, less the time then. Until the next ones it is believed to run on. */
  #shownMs = 0
  readonly members = new Map<MemberId, string>()
  readonly peers: readonly Peer[]
  readonly acknowledged = new Map<string, number>()
  writes = 0

  constructor(size: number) {
    this.peers = Array.from(LETTERS.slice(0, size), (letter) => new Peer(this, letter))
    for (const { id } of this.peers) this.members.set(id, id)
    for (const { time, id } of this.peers) time.useMembers({ self: id, members: this.members })
    this.exchange()
  }

  get quorum(): number {
    return Math.floor(this.peers.length / 2) + 1
  }

  pass(ms: number): void {
    this.nowMs += ms
  }

  /** Every peer has a pong of every other one. */
  exchange(delayMs = 0): void {
    this.#shownMs = this.majorityMs - this.nowMs
    for (const asking of this.peers) for (const asked of this.peers) this.pong(asking, asked, delayMs)
    for (const peer of this.peers) peer.look()
  }

  pong(asking: Peer, asked: Peer, delayMs: number): void {
    const askedAt = this.nowMs - delayMs
    const { wallMs } = asked
    asking.time.heard(asked.id, { wallMs, agreedMs: asked.time.provenMs, askedAt, answeredAt: this.nowMs })
    const stamp = asked.hlc.stamp()
    asking.hlc.follow(stamp.ms, stamp.counter)
  }

  /** A write through the peer to all owners that `reaches` names. True: acknowledged. */
  write(router: Peer, key: string, reaches: readonly Peer[]): boolean {
    const write = ++this.writes
    for (let attempt = 0; attempt < 3; attempt++) {
      const version = router.mint()
      if (version === undefined) return false
      const answers = reaches.map((owner) => owner.apply(key, { version, write }))
      const applied = answers.filter((answer) => answer === undefined).length
      if (applied >= this.quorum) {
        this.acknowledged.set(key, write)
        return true
      }
      const newer = answers
        .filter((answer) => answer instanceof Uint8Array)
        .sort(compareBytes)
        .at(-1)
      if (newer === undefined || !router.hlc.moveBeyond(newer)) return false
    }
    return false
  }

  /** What a read through the peer of these owners finds; undefined: it fails. */
  read(router: Peer, key: string, owners: readonly Peer[]): number | undefined {
    const answers = owners.map((owner) => owner.entries.get(key))
    const counted = answers.filter((entry) => entry === undefined || !router.hlc.isTooFarAhead(entry.version))
    if (counted.length < this.quorum) return undefined
    let newest: Entry | undefined
    for (const entry of counted) {
      if (entry !== undefined && (newest === undefined || compareBytes(entry.version, newest.version) > 0))
        newest = entry
    }
    return newest?.write ?? 0
  }

  /** Repair between two owners. */
  repair(from: Peer, to: Peer): void {
    for (const [key, entry] of from.entries) to.apply(key, entry)
  }

  checkReads(): void {
    for (const [key, write] of this.acknowledged) {
      for (const router of this.peers) {
        for (const away of this.peers.length < 3 ? [undefined] : this.peers) {
          const found = this.read(
            router,
            key,
            this.peers.filter((owner) => owner !== away)
          )
          assert.ok(
            found === undefined || found >= write,
            `read write ${found} of ${key}, but ${write} is acknowledged`
          )
        }
      }
    }
  }

  /** Nothing lies further ahead than a majority of the clocks has ever shown. */
  checkFuture(highestMs: number): void {
    for (const { entries } of this.peers) {
      for (const { version } of entries.values()) {
        const ahead = versionMs(version) - highestMs
        assert.ok(ahead <= MAX_SKEW_MS + SKEW_MARGIN_MS, `an entry lies ${ahead} ms ahead of what a majority has shown`)
      }
    }
  }

  /** The latest moment that peers may take for that of the majority. */
  get believedMs(): number {
    return Math.max(this.majorityMs, this.#shownMs + this.nowMs)
  }

  /** The moment that a majority of the wall clocks has reached. */
  get majorityMs(): number {
    const walls = this.peers.map(({ wallMs }) => wallMs).sort((a, b) => b - a)
    return walls[this.quorum - 1]!
  }
}

type Step =
  | { readonly do: 'write'; readonly by: number; readonly key: number; readonly missing: number }
  | { readonly do: 'jump'; readonly by: number; readonly skewMs: number }
  | { readonly do: 'all'; readonly skewMs: number }
  | { readonly do: 'restart'; readonly by: number }
  | { readonly do: 'repair'; readonly by: number; readonly to: number }
  | { readonly do: 'exchange' }
  | { readonly do: 'pong'; readonly by: number; readonly to: number; readonly delayMs: number }
  | { readonly do: 'pass'; readonly ms: number }

const peerNumber = fc.nat(4)
const skew = fc.constantFrom(0, 0, 3000, 4000, -4000, 7000, -7000, 60_000, HOUR, -HOUR, 9 * HOUR)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('write' as const), by: peerNumber, key: fc.nat(2), missing: peerNumber })
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('jump' as const), by: peerNumber, skewMs: skew }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('all' as const), skewMs: skew }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const), by: peerNumber }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('repair' as const), by: peerNumber, to: peerNumber }) },
  { weight: 4, arbitrary: fc.constant({ do: 'exchange' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('pong' as const), by: peerNumber, to: peerNumber, delayMs: fc.nat(400) })
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(5000) }) }
)

function perform(ring: Ring, now: Step): void {
  // What clocks show lasts for a round of pongs at least.
  if (now.do === 'jump' || now.do === 'all') ring.exchange()
  const at = (number: number) => ring.peers[number % ring.peers.length]!
  if (now.do === 'write') {
    const missing = ring.peers.length < 3 ? undefined : ring.peers[now.missing]
    ring.write(
      at(now.by),
      `k${now.key}`,
      ring.peers.filter((peer) => peer !== missing)
    )
  } else if (now.do === 'jump') at(now.by).skewMs = now.skewMs
  else if (now.do === 'all') for (const peer of ring.peers) peer.skewMs = now.skewMs
  else if (now.do === 'restart') at(now.by).start()
  else if (now.do === 'repair') ring.repair(at(now.by), at(now.to))
  else if (now.do === 'exchange') ring.exchange()
  else if (now.do === 'pong') ring.pong(at(now.by), at(now.to), now.delayMs)
  else ring.pass(now.ms)
}

test('whatever clocks do: versions increase, no write is undone, and no minority leaves versions of the future', () => {
  const seed = process.env['SEED']
  const runs = Number(process.env['SEEDS'] ?? 400)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 60 }), (size, steps) => {
      const ring = new Ring(size)
      let highestMs = ring.majorityMs
      for (const now of steps) {
        perform(ring, now)
        highestMs = Math.max(highestMs, ring.believedMs)
        ring.checkReads()
        ring.checkFuture(highestMs)
      }
      // All clocks are set right. Within seconds each peer takes writes again, and each write wins.
      ring.exchange()
      for (const peer of ring.peers) peer.skewMs = 0
      for (let second = 0; second < 12; second++) {
        ring.exchange()
        ring.pass(1000)
      }
      ring.exchange()
      for (const router of ring.peers) {
        for (const key of ['k0', 'k1', 'k2']) {
          assert.ok(ring.write(router, key, ring.peers), 'a write is refused though all clocks are right')
        }
        ring.checkReads()
      }
    }),
    { numRuns: runs, includeErrorInReport: true, ...(seed !== undefined && { seed: Number(seed) }) }
  )
})

test.run()
