// Chains that are kept as a snapshot. A member that learns the ring from a snapshot must know the same configs as the
// other members.
import { message } from '../seams/steering.js'
import type { Scenario } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

const sleeper: Scenario = {
  name: 'sleeper',
  summary: 'a member is down while others join one after the other, and then learns the ring from a snapshot',
  async run(cluster) {
    cluster.options = { ...cluster.options, changesMax: 2 }
    await cluster.grow([...OLD, 'n3'])
    await cluster.fill('n0', cluster.keys, 'old')
    cluster.kill('n3')
    for (const [at, name] of ['n4', 'n5', 'n6'].entries()) {
      await cluster.join([name], 'n0')
      const hasSettled = () => cluster.view('n0').configs.windows.every((window) => window.length === 1)
      await cluster.when(() => cluster.ring.agrees(5 + at) && hasSettled(), `the slots of ${name} have settled`)
    }
    await cluster.when(() => cluster.fact('n0', 'snapshot') !== undefined, 'n0 keeps a snapshot')
    await cluster.start('n3')
    await cluster.heal(7)
  }
}

const movingSnapshot: Scenario = {
  name: 'movingSnapshot',
  summary: 'slots move while the chain is short, and a read goes through a peer that has just learned the ring',
  async run(cluster) {
    cluster.options = { ...cluster.options, changesMax: 1 }
    cluster.keepCopies()
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    const pulls = cluster.steering.hold(message('pull', NEW))
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n5', (owners) => owners.join() === NEW.join())
    await cluster.when(() => pulls.caught.length > 0 && cluster.viewNumber('n1') === 3, 'the joiners want to pull')
    await cluster.start('n6', { join: cluster.node('n1').network.addresses() })
    await cluster.when(() => cluster.viewNumber('n6') === 3, 'n6 knows the view')
    cluster.reached(!cluster.isReady('n4', key) && !cluster.isReady('n5', key), 'the new owners are not ready')
    await cluster.mustRead('n6', key, 'old')
    await cluster.heal(7)
  }
}

export const SHORT_CHAINS: readonly Scenario[] = [sleeper, movingSnapshot]
