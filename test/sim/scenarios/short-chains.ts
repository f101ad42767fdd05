// Chains that are kept as a snapshot: who learns the ring from one must know the same configs as everybody else.
import { message } from '../seams/steering.js'
import type { Scenario } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

const sleeper: Scenario = {
  name: 'sleeper',
  story: 'a member sleeps while others join one after the other, and learns the ring from a snapshot',
  async run(stage) {
    stage.options = { ...stage.options, changesMax: 2 }
    await stage.grow([...OLD, 'n3'])
    await stage.fill('n0', stage.keys, 'old')
    stage.kill('n3')
    for (const [at, name] of ['n4', 'n5', 'n6'].entries()) {
      await stage.join([name], 'n0')
      const hasSettled = () => stage.view('n0').configs.windows.every((window) => window.length === 1)
      await stage.when(() => stage.ring.agrees(5 + at) && hasSettled(), `the slots of ${name} have settled`)
    }
    await stage.when(() => stage.fact('n0', 'snapshot') !== undefined, 'n0 keeps a snapshot')
    await stage.start('n3')
    await stage.heal(7)
  }
}

const movingSnapshot: Scenario = {
  name: 'movingSnapshot',
  story: 'slots move, chains are kept short, and a stranger that learns of the ring is asked for what moves',
  async run(stage) {
    stage.options = { ...stage.options, changesMax: 1 }
    stage.keepCopies()
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    const pulls = stage.steering.hold(message('pull', NEW))
    await stage.join(NEW, 'n1')
    const key = stage.pickKey('n5', (owners) => owners.join() === NEW.join())
    await stage.when(() => pulls.caught.length > 0 && stage.viewNumber('n1') === 3, 'the joiners want to pull')
    await stage.start('n6', { join: stage.node('n1').network.addresses() })
    await stage.when(() => stage.viewNumber('n6') === 3, 'n6 knows the view')
    stage.reached(!stage.isReady('n4', key) && !stage.isReady('n5', key), 'the new owners are not ready')
    await stage.mustRead('n6', key, 'old')
    await stage.heal(7)
  }
}

export const SHORT_CHAINS: readonly Scenario[] = [sleeper, movingSnapshot]
