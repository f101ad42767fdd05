// A write reaches an owner around the time of a pull from that owner. The router is n0, which stays at the view of
// three members. n3, n4 and n5 join and take over slots. A member that has pulled must not lack an acknowledged write.
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

/** Makes a ring of three. n0 learns no later view. */
async function begin(cluster: ScenarioCluster): Promise<void> {
  cluster.keepCopies()
  await cluster.grow(OLD)
  cluster.steering.deafen('n0')
}

/** Returns a key that only the joiners own and are ready for. They pulled from n1 and n2, because n0 is behind. */
async function joinersReady(cluster: ScenarioCluster): Promise<string> {
  await cluster.join(NEW, 'n1')
  const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
  await cluster.when(() => NEW.every((name) => cluster.isReady(name, key, 'n3')), 'the joiners are ready')
  cluster.reached(cluster.viewNumber('n0') === 2, 'n0 is behind')
  return key
}

/** If the write was acknowledged, a joiner must read it, now and after all faults have ended. */
async function checkWrite(cluster: ScenarioCluster, key: string, write: { state: string }, members = 6): Promise<void> {
  await cluster.advance(1000)
  if (write.state === 'done') await cluster.mustRead('n3', key, 'late')
  await cluster.heal(members)
}

const lateWriteAfter: Scenario = {
  name: 'lateWriteAfter',
  summary: 'a write of the former view reaches an owner after the joiners have pulled from it',
  async run(cluster) {
    await begin(cluster)
    const late = cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    const key = await joinersReady(cluster)
    const write = cluster.put('n0', key, 'late')
    await cluster.when(() => late.caught.length === 2 && cluster.holds('n0', key) === 'late', 'only n0 has the write')
    cluster.reached(write.state === 'open' && cluster.viewNumber('n1') === 3, 'n1 knows the view of the joiners')
    late.release()
    await checkWrite(cluster, key, write)
  }
}

/**
 * n3 joins alone. n1 votes for its view, and does not learn that it was chosen. n3 pulls from n1 and n2 only. Its pull
 * of the key's slot is held before n1, and so is the write.
 */
async function beginBehind(cluster: ScenarioCluster) {
  const { steering, ring } = cluster
  await begin(cluster)
  steering.deafen('n1', { votes: true })
  const late = steering.hold(message('write', ['n0'], ['n1']))
  // A refusal by n2 would tell n0 the newer view.
  steering.hold(message('write', ['n0'], ['n2']))
  // An owner that is ready would be copied, without n1.
  steering.hold(message('pull', ['n2']))
  ring.hub.partition(['n3'], ['n0'])
  // n1 serves one ask after the other, so the first one that n3 sends it must be for the key.
  const pull = steering.hold(message('pull', ['n3'], ['n1']))
  await cluster.join(['n3'], 'n2')
  await cluster.when(() => pull.caught.length > 0, 'n3 asks n1')
  const theirs = cluster.keys.filter((key) => cluster.owners('n3', key).includes('n3'))
  const asked = () => theirs.find((key) => cluster.asksFor(pull, key))
  cluster.reached(asked() !== undefined, 'n3 asks n1 for a slot of a key')
  const key = asked()!
  const write = cluster.put('n0', key, 'late')
  await cluster.when(() => late.caught.length === 1, 'the write is on its way to n1')
  cluster.reached(cluster.viewNumber('n1') === 2, 'n1 is behind')
  return { late, pull, key, write }
}

const lateWriteMid: Scenario = {
  name: 'lateWriteMid',
  summary: 'a write of the former view reaches an owner between a pull request and the newer view',
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
    await checkWrite(cluster, key, write, 4)
  }
}

const lateWriteAdmitted: Scenario = {
  name: 'lateWriteAdmitted',
  summary:
    'an owner has admitted a write before it learned the newer view, and a pull arrives before the write is on disk',
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
    await checkWrite(cluster, key, write, 4)
  }
}

const lateWriteRestart: Scenario = {
  name: 'lateWriteRestart',
  summary: 'an owner restarts after the joiners have pulled from it, and then gets a write of the former view',
  async run(cluster) {
    await begin(cluster)
    const late = cluster.steering.hold(message('write', ['n0'], ['n1']))
    // A refusal by n2 would tell n0 the newer view.
    cluster.steering.hold(message('write', ['n0'], ['n2']))
    const key = await joinersReady(cluster)
    cluster.kill('n1')
    cluster.steering.deafen('n1')
    // A refused pull, or a refused question for sums, would tell n1 the newer view.
    cluster.steering.lose(message('pull', ['n1']))
    cluster.steering.lose(message('tally', ['n1']))
    await cluster.start('n1', { join: cluster.node('n0').network.addresses() })
    const linked = () => cluster.node('n0').network.link('n1') !== undefined
    await cluster.when(() => linked() && cluster.viewNumber('n1') > 0, 'n1 is back')
    // n1 serves nothing until the others have confirmed that its disk is not an old copy.
    await cluster.advance(3000)
    const write = cluster.put('n0', key, 'late')
    await cluster.when(() => late.caught.length === 1 && cluster.holds('n0', key) === 'late', 'only n0 has the write')
    late.release()
    await checkWrite(cluster, key, write)
  }
}

export const LATE_WRITES: readonly Scenario[] = [lateWriteAfter, lateWriteMid, lateWriteAdmitted, lateWriteRestart]
