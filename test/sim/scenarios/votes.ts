// Two proposals for one view: what acceptors and proposers must keep over a crash, and which proposal must win.
// Two peers want to join, and each of them is known to one member only, so two members propose different views.
import { compareBallots } from '../../../lib/views/ballot.js'
import { ballotFromWire } from '../../../lib/views/wire-codec.js'
import type { SentMessage } from '../seams/memory-network.js'
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']

/**
 * Makes a ring of three. Peer `first` can reach only `one`, and peer `second` only n2, so these two members propose
 * different views. Members exchange only votes and pings, so join requests do not spread.
 */
async function begin(cluster: ScenarioCluster, one = 'n0'): Promise<void> {
  await cluster.grow(OLD)
  const isNews = ({ from, to, body }: SentMessage) =>
    OLD.includes(from) && OLD.includes(to) && (body.learn !== undefined || body.exchange !== undefined)
  cluster.steering.lose(isNews)
  cluster.steering.loseRumors((from, to) => OLD.includes(from) && OLD.includes(to))
  for (const [joiner, friend] of [
    ['first', one],
    ['second', 'n2']
  ] as const) {
    cluster.ring.hub.partition(
      [joiner],
      [...OLD, 'first', 'second'].filter((name) => name !== friend && name !== joiner)
    )
  }
}

const forgetfulAcceptor: Scenario = {
  name: 'forgetfulAcceptor',
  summary: 'an acceptor accepts a view and restarts; then a second member proposes another view to it',
  async run(cluster) {
    await begin(cluster)
    const toThird = cluster.steering.lose(message('accept', ['n0'], ['n2']))
    await cluster.start('first', { join: cluster.node('n0').network.addresses() })
    await cluster.when(() => cluster.viewNumber('n0') === 3, 'n0 has its view chosen by n1')
    cluster.reached(
      toThird.caught.length > 0 && cluster.viewNumber('n1') === 2,
      'n1 has accepted, and does not know that the view is chosen'
    )
    await proposeAnother(cluster, 'n1')
  }
}

const hastyAcceptor: Scenario = {
  name: 'hastyAcceptor',
  summary: 'an acceptor with a slow disk dies before its acceptance of a view is on disk',
  async run(cluster) {
    await begin(cluster)
    cluster.steering.lose(message('accept', ['n0'], ['n2']))
    const accept = cluster.steering.hold(message('accept', ['n0'], ['n1']))
    await cluster.start('first', { join: cluster.node('n0').network.addresses() })
    await cluster.when(() => accept.caught.length > 0, 'n0 asks n1 to accept')
    cluster.disk('n1').hold()
    accept.release()
    await cluster.when(() => cluster.disk('n1').isWriting('acceptor'), 'n1 writes its acceptance')
    await cluster.advance(100)
    await proposeAnother(cluster, 'n1')
  }
}

const hastyPromise: Scenario = {
  name: 'hastyPromise',
  summary: 'an acceptor with a slow disk promises a higher ballot and dies; after its restart it gets the lower ballot',
  async run(cluster) {
    await begin(cluster, 'n1')
    const { steering } = cluster
    const sides = ['n1', 'n2']
    for (const kind of ['prepare', 'accept'] as const) steering.lose(message(kind, sides, sides))
    const silence = steering.lose(message('ping', undefined, ['first', 'second']))
    const asked = new Map(sides.map((name) => [name, steering.hold(message('prepare', [name], ['n0']))]))
    const answers = new Map(sides.map((name) => [name, steering.holdAnswers(message('prepare', [name], ['n0']))]))
    await cluster.start('first', { join: cluster.node('n1').network.addresses() })
    await cluster.start('second', { join: cluster.node('n2').network.addresses() })
    await cluster.advance(3000)
    silence.release()
    await cluster.when(() => sides.every((name) => asked.get(name)!.caught.length > 0), 'both ask for promises')
    const ballot = (name: string) => ballotFromWire(asked.get(name)!.caught[0]!.body.prepare!.ballot)
    const [low, high] = sides.sort((one, other) => compareBallots(ballot(one), ballot(other))) as [string, string]
    asked.get(low)!.release()
    await cluster.when(() => answers.get(low)!.caught.length > 0, 'n0 promises the lower ballot')
    cluster.disk('n0').hold()
    asked.get(high)!.release()
    await cluster.when(() => cluster.disk('n0').isWriting('acceptor'), 'n0 writes the higher promise')
    await cluster.advance(20)
    cluster.kill('n0')
    await cluster.when(
      () => sides.every((name) => cluster.node(name).network.link('n0') === undefined),
      'its links are closed'
    )
    await cluster.start('n0', { join: [] })
    await cluster.when(() => sides.every((name) => cluster.isLinked(name, 'n0')), 'n0 is back', 1000)
    // The others confirm that its store is no old copy; before that it votes on nothing.
    await cluster.advance(50)
    answers.get(low)!.release()
    await cluster.when(() => cluster.viewNumber(low) === 3, 'the view of the lower ballot is chosen', 500)
    answers.get(high)!.release()
    await cluster.advance(500)
    cluster.mustAgreeOn('view/0000000003')
  }
}

/** `acceptor` restarts, and n2 proposes another view. The view that n0 proposed must stay chosen. */
async function proposeAnother(cluster: ScenarioCluster, acceptor: string): Promise<void> {
  cluster.kill(acceptor)
  await cluster.start(acceptor, { join: [] })
  cluster.ring.hub.partition(['n0', 'first'], ['n1', 'n2', 'second'])
  await proposedBySecond(cluster)
  cluster.mustAgreeOn('view/0000000003')
}

async function proposedBySecond(cluster: ScenarioCluster): Promise<void> {
  await cluster.start('second', { join: cluster.node('n2').network.addresses() })
  await cluster.when(() => cluster.viewNumber('n2') >= 3, 'n2 has a view 3')
  await cluster.advance(100)
}

const secondProposer: Scenario = {
  name: 'secondProposer',
  summary: 'a member proposes its own view after a majority has accepted another one',
  async run(cluster) {
    await begin(cluster)
    cluster.steering.lose(message('accept', ['n0'], ['n2']))
    await cluster.start('first', { join: cluster.node('n0').network.addresses() })
    await cluster.when(() => cluster.viewNumber('n0') === 3, 'n0 has its view chosen by n1')
    cluster.reached(cluster.viewNumber('n2') === 2, 'n2 does not know that view')
    cluster.ring.hub.partition(['n0', 'first'], ['n1', 'n2', 'second'])
    await proposedBySecond(cluster)
    cluster.mustAgreeOn('view/0000000003')
  }
}

export const VOTES: readonly Scenario[] = [forgetfulAcceptor, hastyAcceptor, hastyPromise, secondProposer]
