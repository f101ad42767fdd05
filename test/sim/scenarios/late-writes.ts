// A copy of a write reaches an owner around the moment of its pull. The writer is n0, which stays behind at the view of
// three; n3, n4 and n5 join and take over slots. Nothing that is acknowledged may be missing at who pulled.
import type { SentMessage } from '../seams/memory-network.js'
import { message } from '../seams/steering.js'
import { asksFor, type Scenario, type ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

/** Three members; n0 hears nothing of what follows. */
async function begin(cluster: ScenarioCluster): Promise<void> {
  cluster.keepCopies()
  await cluster.grow(OLD)
  cluster.steering.deafen('n0')
}

/** A key of the joiners alone, for which they have all pulled: from n1 and n2, since n0 is behind. */
async function joinersReady(cluster: ScenarioCluster): Promise<string> {
  await cluster.join(NEW, 'n1')
  const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
  await cluster.when(() => NEW.every((name) => cluster.isReady(name, key, 'n3')), 'the joiners are ready')
  cluster.reached(cluster.viewNumber('n0') === 2, 'n0 is behind')
  return key
}

/** Whatever was acknowledged is read through a joiner, and again when all is well. */
async function judge(cluster: ScenarioCluster, key: string, write: { state: string }): Promise<void> {
  await cluster.advance(1000)
  if (write.state === 'done') await cluster.mustRead('n3', key, 'late')
  await cluster.heal(6)
}

const lateWriteAfter: Scenario = {
  name: 'lateWriteAfter',
  story: 'a copy of a write of the former view reaches an owner after the joiners have pulled from it',
  async run(cluster) {
    await begin(cluster)
    const late = cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    const key = await joinersReady(cluster)
    const write = cluster.put('n0', key, 'late')
    await cluster.when(
      () => late.caught.length === 2 && cluster.holds('n0', key) === 'late',
      'the write is at n0 alone'
    )
    cluster.reached(write.state === 'open' && cluster.viewNumber('n1') === 3, 'n1 knows the view of the joiners')
    late.release()
    await judge(cluster, key, write)
  }
}

/**
 * n1 grants the view of the joiners and does not hear that it was chosen. n3 pulls from n1 and n2 alone; its request
 * for the slot of the key waits before n1, and so does the write.
 */
async function beginBehind(cluster: ScenarioCluster) {
  const { steering, ring } = cluster
  await begin(cluster)
  steering.deafen('n1', { votes: true })
  const late = steering.hold(message('write', ['n0'], ['n1']))
  // A refusal of n2 would teach n0 the newer view.
  steering.hold(message('write', ['n0'], ['n2']))
  steering.hold(message('pull', ['n4', 'n5']))
  ring.hub.partition(['n3'], ['n0'])
  let theirs: string[] | undefined
  const isForThem = (sent: SentMessage) => theirs?.some((key) => asksFor(sent, key)) ?? true
  const toFirst = message('pull', ['n3'], ['n1'])
  const pull = steering.hold((sent) => toFirst(sent) && isForThem(sent))
  await cluster.join(NEW, 'n2')
  theirs = cluster.keys.filter((key) => cluster.owners('n3', key).join() === NEW.join())
  pull.letGo((sent) => !isForThem(sent))
  const asked = () => theirs.find((key) => cluster.asksFor(pull, key))
  await cluster.when(() => asked() !== undefined, 'n3 asks n1 for a slot of the joiners')
  const key = asked()!
  const write = cluster.put('n0', key, 'late')
  await cluster.when(() => late.caught.length === 1, 'the write is on its way to n1')
  cluster.reached(cluster.viewNumber('n1') === 2, 'n1 is behind')
  return { late, pull, key, write }
}

const lateWriteMid: Scenario = {
  name: 'lateWriteMid',
  story: 'a write of the former view reaches an owner after the request of a pull and before it learns the newer view',
  async run(cluster) {
    const { late, pull, key, write } = await beginBehind(cluster)
    pull.release()
    await cluster.advance(20)
    late.release()
    await cluster.answered(write)
    cluster.reached(
      write.state === 'done' && cluster.viewNumber('n1') === 2,
      'n1 has taken the write under its old view'
    )
    cluster.reached(!cluster.isReady('n3', key), 'n3 waits for n1')
    cluster.steering.hear('n1')
    await cluster.when(() => cluster.isReady('n3', key), 'n3 is ready')
    cluster.mustHold('n3', key, 'late')
    await judge(cluster, key, write)
  }
}

const lateWriteAdmitted: Scenario = {
  name: 'lateWriteAdmitted',
  story: 'a write that passed the fence before the newer view waits for the disk while a pull arrives',
  async run(cluster) {
    const { late, pull, key, write } = await beginBehind(cluster)
    const disk = cluster.disk('n1')
    disk.hold()
    cluster.steering.hear('n1')
    await cluster.when(() => disk.isWriting('view/0000000003'), 'n1 writes the newer view')
    late.release()
    await cluster.advance(20)
    disk.release(true)
    await cluster.when(
      () => cluster.viewNumber('n1') === 3 && disk.isWriting(key),
      'n1 knows the view, and writes the write'
    )
    pull.release()
    await cluster.advance(200)
    cluster.mustHold('n3', key, 'late')
    disk.release()
    await cluster.answered(write)
    cluster.reached(write.state === 'done', 'the write is acknowledged')
    await cluster.when(() => cluster.isReady('n3', key), 'n3 is ready')
    cluster.mustHold('n3', key, 'late')
    await judge(cluster, key, write)
  }
}

const lateWriteRestart: Scenario = {
  name: 'lateWriteRestart',
  story: 'an owner restarts after the joiners have pulled from it, and gets a write of the former view',
  async run(cluster) {
    await begin(cluster)
    const late = cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    const key = await joinersReady(cluster)
    cluster.kill('n1')
    cluster.steering.deafen('n1')
    await cluster.start('n1', { join: cluster.node('n0').network.addresses() })
    const linked = () => cluster.node('n0').network.link('n1') !== undefined
    await cluster.when(() => linked() && cluster.viewNumber('n1') > 0, 'n1 is back')
    // Until others have told it that its disk is what they knew of it, it serves nothing.
    await cluster.advance(3000)
    const write = cluster.put('n0', key, 'late')
    await cluster.when(
      () => late.caught.length === 2 && cluster.holds('n0', key) === 'late',
      'the write is at n0 alone'
    )
    late.release()
    await judge(cluster, key, write)
  }
}

export const LATE_WRITES: readonly Scenario[] = [lateWriteAfter, lateWriteMid, lateWriteAdmitted, lateWriteRestart]
