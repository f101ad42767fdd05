// Two values for one view: what acceptors and proposers must keep over a crash, and what they must push.
// Two strangers want to join, each known to one member only, so that two members want different views.
import { compareBallots } from '../../../lib/views/paxos.js'
import { ballotFromWire } from '../../../lib/views/wire-codec.js'
import type { SentMessage } from '../seams/memory-network.js'
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']

/**
 * Three members; the stranger `first` can only meet `one`, and `second` only n2, so that these two want different
 * views. Of members only votes and pings reach members, so that wishes do not spread.
 */
async function begin(cluster: ScenarioCluster, one = 'n0'): Promise<void> {
  await cluster.grow(OLD)
  const isNews = ({ from, to, body }: SentMessage) =>
    OLD.includes(from) && OLD.includes(to) && (body.learn !== undefined || body.exchange !== undefined)
  cluster.steering.lose(isNews)
  cluster.steering.loseRumors((from, to) => OLD.includes(from) && OLD.includes(to))
  for (const [stranger, friend] of [
    ['first', one],
    ['second', 'n2']
  ] as const) {
    cluster.ring.hub.partition(
      [stranger],
      [...OLD, 'first', 'second'].filter((name) => name !== friend && name !== stranger)
    )
  }
}

/** n0's view 3 is accepted by n0 and n1; n1 is then gone for a moment; n2 proposes another view to n1. */
const forgetfulAcceptor: Scenario = {
  name: 'forgetfulAcceptor',
  story: 'an acceptor accepts a view and restarts; another member proposes another view to it',
  async run(cluster) {
    await begin(cluster)
    const toThird = cluster.steering.lose(message('accept', ['n0'], ['n2']))
    await cluster.start('first', { join: cluster.node('n0').network.addresses() })
    await cluster.when(() => cluster.viewNumber('n0') === 3, 'n0 has its view chosen by n1')
    cluster.reached(toThird.caught.length > 0 && cluster.viewNumber('n1') === 2, 'n1 accepted and was told nothing')
    await another(cluster, 'n1')
  }
}

const hastyAcceptor: Scenario = {
  name: 'hastyAcceptor',
  story: 'an acceptor whose disk is slow is asked to accept a view, and dies before the disk has written it',
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
    await another(cluster, 'n1')
  }
}

const hastyPromise: Scenario = {
  name: 'hastyPromise',
  story: 'an acceptor whose disk is slow promises a higher ballot and dies; back, it is asked to accept the lower one',
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
      'its links are gone'
    )
    await cluster.start('n0', { join: [] })
    await cluster.when(() => sides.every((name) => cluster.isLinked(name, 'n0')), 'n0 is back', 1000)
    answers.get(low)!.release()
    await cluster.when(() => cluster.viewNumber(low) === 3, 'the view of the lower ballot is chosen', 500)
    answers.get(high)!.release()
    await cluster.advance(500)
    cluster.mustAgreeOn('view/0000000003')
  }
}

/** `acceptor` restarts; the proposer dies; n2 proposes its own view, which n0's must survive. */
async function another(cluster: ScenarioCluster, acceptor: string): Promise<void> {
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
  story: 'a member proposes its own view after another one was accepted by a majority',
  async run(cluster) {
    await begin(cluster)
    cluster.steering.lose(message('accept', ['n0'], ['n2']))
    await cluster.start('first', { join: cluster.node('n0').network.addresses() })
    await cluster.when(() => cluster.viewNumber('n0') === 3, 'n0 has its view chosen by n1')
    cluster.reached(cluster.viewNumber('n2') === 2, 'n2 does not know it')
    cluster.ring.hub.partition(['n0', 'first'], ['n1', 'n2', 'second'])
    await proposedBySecond(cluster)
    cluster.mustAgreeOn('view/0000000003')
  }
}

export const VOTES: readonly Scenario[] = [forgetfulAcceptor, hastyAcceptor, hastyPromise, secondProposer]
