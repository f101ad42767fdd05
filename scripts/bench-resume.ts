// Benchmark `resume`: how much is sent twice when a process is killed during a move. A fourth peer joins three that
// hold data. In the first part the joiner is killed at random moments and started again each time. In the second part,
// with another joiner, one of its sources is. Afterwards all owners of all slots are compared.
import type { TransfersReport } from '../lib/client/reports.js'
import { toRingdError } from '../lib/errors.js'
import { SLOTS } from '../lib/ring/slots.js'
import { systemClock } from '../lib/system-clock.js'
import { load, randomValues, VALUE_BYTES } from './bench-load.js'
import { type BenchPeer, BenchRing, ownedBy, pause } from './bench-peers.js'
import { markdown, metricSum, quotient, shown } from './bench-statistics.js'

export interface ResumeOptions {
  /** Keys of VALUE_BYTES random bytes in the ring. */
  readonly keys: number
  readonly kills: number
}

export interface ResumePart {
  readonly killed: 'joiner' | 'source'
  readonly kills: number
  /** From the first start of the joiner until it has everything. */
  readonly seconds: number
  /** Entries that sources sent, as far as they lived to tell; and those that the joiner holds at the end. */
  readonly sentEntries: number
  readonly heldEntries: number
  /** Bytes sent above those of the held entries, for each kill and each of three streams. */
  readonly twiceBytes: number
  /** Slots that a comparison of all owners found to differ, and slots that it could not compare. */
  readonly differing: number
  readonly unanswered: number
  /** By the last 100 transfers to the joiner. */
  readonly receipts: { readonly done: number; readonly cut: number; readonly overtaken: number }
}

const MEMBERS = 3
const IDLE_MS_MAX = 120_000
const WHOLE_MS_MAX = 300_000
const VERIFIED_MS_MAX = 120_000
const POLL_MS = 100
/** A process is killed so long after the move goes on. */
const KILL_MS_MIN = 100
const KILL_MS_MAX = 1000

export async function benchResume(print: (line: string) => void, options: ResumeOptions): Promise<ResumePart[]> {
  const parts = [await measure('joiner', options), await measure('source', options)]
  print(tableOf(parts))
  return parts
}

async function measure(killed: ResumePart['killed'], { keys, kills }: ResumeOptions): Promise<ResumePart> {
  const ring = await BenchRing.start(MEMBERS, ['--evict-after', '0'])
  try {
    await load(ring.peers, keys, randomValues(VALUE_BYTES))
    await ring.idle(IDLE_MS_MAX)
    const startedAt = systemClock.elapsed()
    await answering(await ring.add())
    const told = new Told()
    let done = 0
    for (; done < kills && !(await isWhole(joinerOf(ring))); done++) {
      await moving(joinerOf(ring))
      await pause(KILL_MS_MIN + Math.random() * (KILL_MS_MAX - KILL_MS_MIN))
      const victim = killed === 'joiner' ? MEMBERS : Math.floor(Math.random() * MEMBERS)
      await told.look(ring.peers.slice(0, MEMBERS))
      await ring.crash(victim)
      await answering(await ring.restart(victim))
    }
    await whole(joinerOf(ring))
    const seconds = (systemClock.elapsed() - startedAt) / 1000
    await told.look(ring.peers.slice(0, MEMBERS))
    const held = await heldBy(joinerOf(ring))
    const verified = await verify(joinerOf(ring))
    const receipts = receiptsOf(await joinerOf(ring).client.transfers(), (await joinerOf(ring).client.id()).storeId)
    const entryBytes = quotient(held.bytes, held.entries) ?? 0
    const twice = Math.max(0, told.entries - held.entries) * entryBytes
    return {
      killed,
      kills: done,
      seconds,
      sentEntries: told.entries,
      heldEntries: held.entries,
      twiceBytes: twice / Math.max(1, done) / MEMBERS,
      ...verified,
      receipts
    }
  } finally {
    await ring.stop()
  }
}

function joinerOf(ring: BenchRing): BenchPeer {
  return ring.peers[MEMBERS]!
}

/** Entries that sources have sent, added up over their lives. */
class Told {
  readonly #before = new Map<string, number>()
  entries = 0

  async look(sources: readonly BenchPeer[]): Promise<void> {
    for (const { process, client } of sources) {
      const life = `${process.plan.name} ${process.pid}`
      const sent = metricSum(await client.metrics(), 'ringd_migration_sent_entries')
      this.entries += sent - (this.#before.get(life) ?? 0)
      this.#before.set(life, sent)
    }
  }
}

/** Resolves when the peer answers questions about its ring: a peer that has just started may not yet. */
async function answering({ client }: BenchPeer): Promise<void> {
  const deadline = systemClock.elapsed() + WHOLE_MS_MAX
  for (;;) {
    try {
      await Promise.all([client.status(), client.metrics(), client.id()])
      return
    } catch (thrown) {
      if (toRingdError(thrown).code !== 'NOT_SERVING' || systemClock.elapsed() > deadline) throw thrown
    }
    await pause(POLL_MS)
  }
}

/** Slots settle before the joiner has them, as a quorum of other owners is enough: every owner must be ready. */
async function isWhole({ client }: BenchPeer): Promise<boolean> {
  const status = await client.status()
  const { storeId } = await client.id()
  const owns = status.members.find((member) => member.storeId === storeId)?.owns ?? 0
  return owns > 0 && status.move.copies === 0
}

async function whole(joiner: BenchPeer): Promise<void> {
  const deadline = systemClock.elapsed() + WHOLE_MS_MAX
  while (!(await isWhole(joiner))) {
    if (systemClock.elapsed() > deadline) throw new Error(`the joiner was not whole after ${WHOLE_MS_MAX / 1000} s`)
    await pause(POLL_MS)
  }
}

/** Resolves when something has come since the process began, or everything is there. */
async function moving(joiner: BenchPeer): Promise<void> {
  const deadline = systemClock.elapsed() + WHOLE_MS_MAX
  while (metricSum(await joiner.client.metrics(), 'ringd_migration_received_entries') === 0) {
    if (await isWhole(joiner)) return
    if (systemClock.elapsed() > deadline) throw new Error(`nothing has come for ${WHOLE_MS_MAX / 1000} s`)
    await pause(POLL_MS)
  }
}

async function heldBy(joiner: BenchPeer): Promise<{ entries: number; bytes: number }> {
  const { storeId } = await joiner.client.id()
  const { members } = await joiner.client.status()
  if ((await ownedBy(joiner)).size === 0) throw new Error('the joiner owns nothing')
  const mine = members.find((member) => member.storeId === storeId)
  return { entries: mine?.keys ?? 0, bytes: mine?.bytes ?? 0 }
}

/** A peer that was just killed may not be linked with all others again; then everything is compared once more. */
async function verify({ client }: BenchPeer): Promise<Pick<ResumePart, 'differing' | 'unanswered'>> {
  const deadline = systemClock.elapsed() + VERIFIED_MS_MAX
  for (;;) {
    let report = await client.verify({ range: { first: 0, last: SLOTS - 1 }, once: false })
    while (report.running && systemClock.elapsed() < deadline) {
      await pause(POLL_MS)
      report = await client.verify()
    }
    const { slots, equal, differing } = report
    const unanswered = slots - equal - differing
    if (unanswered === 0 || systemClock.elapsed() > deadline) return { differing, unanswered }
  }
}

function receiptsOf({ ended }: TransfersReport, joiner: string): ResumePart['receipts'] {
  const count = (wanted: string) => ended.filter(({ to, state }) => to === joiner && state === wanted).length
  return { done: count('done'), cut: count('cut'), overtaken: count('overtaken') }
}

function tableOf(parts: readonly ResumePart[]): string {
  const row = (title: string, pick: (part: ResumePart) => number, digits = 0) => [
    title,
    ...parts.map((part) => shown(pick(part), digits))
  ]
  return markdown(
    ['killed during a move', ...parts.map(({ killed }) => killed)],
    [
      row('kills', ({ kills }) => kills),
      row('s until everything is there', ({ seconds }) => seconds, 1),
      row('entries sent', ({ sentEntries }) => sentEntries),
      row('entries held', ({ heldEntries }) => heldEntries),
      row('KiB sent twice, for each kill and stream', ({ twiceBytes }) => twiceBytes / 1024),
      row('slots that differ afterwards', ({ differing }) => differing),
      row('slots that could not be compared', ({ unanswered }) => unanswered),
      row('transfers done', ({ receipts }) => receipts.done),
      row('transfers cut off', ({ receipts }) => receipts.cut)
    ]
  )
}
