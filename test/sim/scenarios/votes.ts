// Two values for one view: what acceptors and proposers must keep over a crash, and what they must push.
// Two strangers want to join, each known to one member only, so that two members want different views.
import { compareBallots } from '../../../lib/views/paxos.js'
import { ballotFromWire } from '../../../lib/views/wire-forms.js'
import type { SentMessage } from '../seams/memory-network.js'
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']

/**
 * Three members; the stranger `first` can only meet `one`, and `second` only n2, so that these two want different
 * views. Of members only votes and pings reach members, so that wishes do not spread.
 */
async function begin(stage: Stage, one = 'n0'): Promise<void> {
  await stage.grow(OLD)
  const isNews = ({ from, to, body }: SentMessage) =>
    OLD.includes(from) && OLD.includes(to) && (body.learn !== undefined || body.exchange !== undefined)
  stage.steering.lose(isNews)
  stage.steering.loseRumors((from, to) => OLD.includes(from) && OLD.includes(to))
  for (const [stranger, friend] of [
    ['first', one],
    ['second', 'n2']
  ] as const) {
    stage.ring.hub.partition(
      [stranger],
      [...OLD, 'first', 'second'].filter((name) => name !== friend && name !== stranger)
    )
  }
}

/** n0's view 3 is accepted by n0 and n1; n1 is then gone for a moment; n2 proposes another view to n1. */
const forgetfulAcceptor: Scenario = {
  name: 'forgetfulAcceptor',
  story: 'an acceptor accepts a view and restarts; another member proposes another view to it',
  async run(stage) {
    await begin(stage)
    const toThird = stage.steering.lose(message('accept', ['n0'], ['n2']))
    await stage.start('first', { join: stage.node('n0').network.addresses() })
    await stage.when(() => stage.viewNumber('n0') === 3, 'n0 has its view chosen by n1')
    stage.reached(toThird.caught.length > 0 && stage.viewNumber('n1') === 2, 'n1 accepted and was told nothing')
    await another(stage, 'n1')
  }
}

const hastyAcceptor: Scenario = {
  name: 'hastyAcceptor',
  story: 'an acceptor whose disk is slow is asked to accept a view, and dies before the disk has written it',
  async run(stage) {
    await begin(stage)
    stage.steering.lose(message('accept', ['n0'], ['n2']))
    const accept = stage.steering.hold(message('accept', ['n0'], ['n1']))
    await stage.start('first', { join: stage.node('n0').network.addresses() })
    await stage.when(() => accept.caught.length > 0, 'n0 asks n1 to accept')
    stage.disk('n1').hold()
    accept.release()
    await stage.when(() => stage.disk('n1').isWriting('acceptor'), 'n1 writes its acceptance')
    await stage.advance(100)
    await another(stage, 'n1')
  }
}

const hastyPromise: Scenario = {
  name: 'hastyPromise',
  story: 'an acceptor whose disk is slow promises a higher ballot and dies; back, it is asked to accept the lower one',
  async run(stage) {
    await begin(stage, 'n1')
    const { steering } = stage
    const sides = ['n1', 'n2']
    for (const kind of ['prepare', 'accept'] as const) steering.lose(message(kind, sides, sides))
    const silence = steering.lose(message('ping', undefined, ['first', 'second']))
    const asked = new Map(sides.map((name) => [name, steering.hold(message('prepare', [name], ['n0']))]))
    const answers = new Map(sides.map((name) => [name, steering.holdAnswers(message('prepare', [name], ['n0']))]))
    await stage.start('first', { join: stage.node('n1').network.addresses() })
    await stage.start('second', { join: stage.node('n2').network.addresses() })
    await stage.advance(3000)
    silence.release()
    await stage.when(() => sides.every((name) => asked.get(name)!.caught.length > 0), 'both ask for promises')
    const ballot = (name: string) => ballotFromWire(asked.get(name)!.caught[0]!.body.prepare!.ballot)
    const [low, high] = sides.sort((one, other) => compareBallots(ballot(one), ballot(other))) as [string, string]
    asked.get(low)!.release()
    await stage.when(() => answers.get(low)!.caught.length > 0, 'n0 promises the lower ballot')
    stage.disk('n0').hold()
    asked.get(high)!.release()
    await stage.when(() => stage.disk('n0').isWriting('acceptor'), 'n0 writes the higher promise')
    await stage.advance(20)
    stage.kill('n0')
    await stage.when(
      () => sides.every((name) => stage.node(name).network.link('n0') === undefined),
      'its links are gone'
    )
    await stage.start('n0', { join: [] })
    await stage.when(() => sides.every((name) => stage.isLinked(name, 'n0')), 'n0 is back', 1000)
    answers.get(low)!.release()
    await stage.when(() => stage.viewNumber(low) === 3, 'the view of the lower ballot is chosen', 500)
    answers.get(high)!.release()
    await stage.advance(500)
    stage.mustAgreeOn('view/0000000003')
  }
}

/** `acceptor` restarts; the proposer dies; n2 proposes its own view, which n0's must survive. */
async function another(stage: Stage, acceptor: string): Promise<void> {
  stage.kill(acceptor)
  await stage.start(acceptor, { join: [] })
  stage.ring.hub.partition(['n0', 'first'], ['n1', 'n2', 'second'])
  await proposedBySecond(stage)
  stage.mustAgreeOn('view/0000000003')
}

async function proposedBySecond(stage: Stage): Promise<void> {
  await stage.start('second', { join: stage.node('n2').network.addresses() })
  await stage.when(() => stage.viewNumber('n2') >= 3, 'n2 has a view 3')
  await stage.advance(100)
}

const secondProposer: Scenario = {
  name: 'secondProposer',
  story: 'a member proposes its own view after another one was accepted by a majority',
  async run(stage) {
    await begin(stage)
    stage.steering.lose(message('accept', ['n0'], ['n2']))
    await stage.start('first', { join: stage.node('n0').network.addresses() })
    await stage.when(() => stage.viewNumber('n0') === 3, 'n0 has its view chosen by n1')
    stage.reached(stage.viewNumber('n2') === 2, 'n2 does not know it')
    stage.ring.hub.partition(['n0', 'first'], ['n1', 'n2', 'second'])
    await proposedBySecond(stage)
    stage.mustAgreeOn('view/0000000003')
  }
}

export const VOTES: readonly Scenario[] = [forgetfulAcceptor, hastyAcceptor, hastyPromise, secondProposer]
