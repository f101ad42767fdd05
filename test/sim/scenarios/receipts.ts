// Receipts of transfers: they count what both ends have compared, and nothing else.
import { zstdDecompressSync } from 'node:zlib'
import { headOf, toFrame } from '../../../lib/actors/migration/pull-frames.js'
import type { TransfersReport } from '../../../lib/client/reports.js'
import { BlockWriter, FORMAT_LIMITS, readBlock } from '../../../lib/entry/block.js'
import { MiB } from '../../../lib/limits.js'
import type { BlockFrame } from '../../../lib/network/network.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']

/** The part without its last entry. Its head says so, too. */
function shortened(frame: BlockFrame): BlockFrame {
  const part = headOf(frame).part!
  const block = part.holds > 0 ? zstdDecompressSync(frame.body) : frame.body
  const { entries } = readBlock(block, undefined, FORMAT_LIMITS)
  const writer = new BlockWriter(MiB)
  for (const { dataKey, envelope } of entries.slice(0, -1)) writer.add(dataKey, envelope)
  return toFrame({ part: { ...part, entries: entries.length - 1, holds: 0 } }, writer.take().block)
}

/** One part that n3 is sent loses its last entry. Counts the entries that come in the same ask. */
function loseOneEntry(cluster: ScenarioCluster): () => number {
  let broken: string | undefined
  const came = new Map<string, number>()
  cluster.steering.alter = ({ from, to }, frame) => {
    const { part } = headOf(frame)
    if (to !== 'n3' || part === undefined) return frame
    const ask = `${from} ${part.ask}`
    const isBroken = broken === undefined && part.entries > 1
    if (isBroken) broken = ask
    came.set(ask, (came.get(ask) ?? 0) + part.entries - (isBroken ? 1 : 0))
    return isBroken ? shortened(frame) : frame
  }
  return () => came.get(broken ?? '') ?? 0
}

const lostInTransit: Scenario = {
  name: 'lostInTransit',
  summary: 'a part loses an entry on its way, so the counts of the two ends of an ask differ; the job is done again',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'value')
    const inBrokenAsk = loseOneEntry(cluster)
    await cluster.join(['n3'], 'n1')
    await cluster.heal(4)
    cluster.reached(inBrokenAsk() > 0, 'a part with several entries has lost one')
    for (const key of cluster.keys) if (cluster.owners('n3', key).includes('n3')) cluster.mustHold('n3', key, 'value')
    const told = cluster.node('n0').node.report('transfers', Buffer.alloc(0))
    const { running, ended, failures } = (await cluster.ring.wait(told)) as TransfersReport
    cluster.reached(running.length === 0 && failures.length === 0, 'all transfers have ended, and every member tells')
    const mine = ended.filter(({ to, why }) => to === cluster.member('n3') && why === 'join')
    const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)
    const came = sum(mine.map(({ entries }) => entries))
    const compared = sum(mine.map(({ receipt }) => receipt.entries))
    cluster.promise(
      came - compared === inBrokenAsk(),
      `receipts count ${compared} of ${came} entries, but ${inBrokenAsk()} came in an answer whose counts differed`
    )
  }
}

export const RECEIPTS: readonly Scenario[] = [lostInTransit]
