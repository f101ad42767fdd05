// Directed scenarios with two configs, and with a purge. Config 1 is n0, n1, n2 unless said.
import { MS_STEP } from './entries.js'
import type { Scenario } from './scenarios.js'
import { isNoWrite, isWrite, of, Stage, X, Y } from './stage.js'

const XY = X | Y
const ALL = [0, 1, 2]
const ROUTERS = [0, 1, 2, 3]

/** Pulls until the node is Ready; a round settles the keys that it waits for. */
function makeReady(stage: Stage, id: number, sources: readonly number[], config: number): void {
  const node = stage.node(id)
  for (let time = 0; time < 3 && !node.ready.has(config); time++) {
    stage.pull(id, sources)
    const due = stage.ring.dueKeys(node)
    if (due === 0) continue
    for (const router of ROUTERS) stage.ring.learn(stage.router(router), config, 0)
    const settle = stage.ring.start(stage.router(3), 'settle', due, true)
    stage.go([...ALL, id], of(settle))
    for (let retry = 0; retry < 8 && settle.status === 'pending'; retry++) {
      stage.ring.driver.retry(settle)
      stage.go([...ALL, id], of(settle))
    }
  }
  if (!node.ready.has(config)) throw new Error(`n${id} is not Ready`)
}

export const MOVE_SCENARIOS: readonly Scenario[] = [
  {
    // G is on n0 and n2, and was read. A SET of Y above it, which nobody has acknowledged, is on n1. The puller takes
    // n1's entry first, and then refuses G.
    name: 'refusedGroupIsWaitedFor',
    finds: ['pullSkipsRefused'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const set = stage.start(1, 'set', Y, 60)
      stage.arrive(1)
      stage.drop()
      const group = stage.start(0, 'appendAll', XY, 40)
      stage.go([0, 2], isNoWrite)
      stage.arrive(0, isWrite)
      stage.arrive(2, isWrite)
      stage.drop()
      const read = stage.start(2, 'get', X)
      stage.go([0, 2], of(read))
      stage.drop()
      stage.giveUp(group)
      stage.giveUp(set)
      const config = stage.config([3], stage.node(3))
      makeReady(stage, 3, [1, 0], config)
      stage.narrow(config)
      stage.end([3])
    }
  },
  {
    // G is on n0 only. The puller has heard of Y there, and not of X yet, when a reader of Y asks it, n1 and n2.
    name: 'pageOfOneKey',
    finds: ['pullOneKey'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const { ring } = stage
      const group = stage.start(0, 'appendAll', XY, 40)
      stage.go([0, 2], isNoWrite)
      stage.arrive(0, isWrite)
      stage.drop()
      stage.giveUp(group)
      const config = stage.config([3], stage.node(3), ...ROUTERS.map((id) => stage.router(id)))
      ring.startPull(stage.node(3))
      ring.pump(({ to, message }) => message.kind === 'pull' && to.id === 0)
      ring.pump(({ message }) => message.kind === 'took' || (message.kind === 'page' && message.key === 1))
      stage.drop()
      stage.whole(1, 'get', Y, [1, 2, 3])
      stage.whole(1, 'get', X, [1, 2, 3])
      makeReady(stage, 3, [0, 1, 2], config)
      stage.narrow(config)
      stage.end([3])
    }
  },
  {
    // n0 and n1 promised G, n0 has it. The puller hears n1 and n2. A SET of X below G is done there. Then n0 hands G
    // over.
    name: 'promiseLeftBehind',
    finds: ['pullForgetsPromise'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const group = stage.start(0, 'appendAll', XY, 40)
      stage.go([0, 1], isNoWrite)
      stage.arrive(0, isWrite)
      stage.drop()
      stage.giveUp(group)
      const config = stage.config([3], stage.node(3))
      makeReady(stage, 3, [1, 2], config)
      stage.narrow(config)
      stage.whole(1, 'set', X, [3], 30)
      stage.push(0, 3, 0)
      stage.end([3])
    }
  },
  {
    // A SET of X comes to n0 and n1 after they were pulled from.
    name: 'lateSet',
    finds: ['noFence'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      stage.start(0, 'set', X, 40)
      const late = stage.take()
      const config = stage.config([3], stage.node(3))
      makeReady(stage, 3, [0, 1], config)
      stage.put(late)
      stage.go([0, 1])
      stage.narrow(config, [1, 2, 3])
      stage.end([3])
    }
  },
  {
    // G is refused in config 1, and lands on an owner of config 2 that has not pulled yet.
    name: 'hadBeforeReady',
    finds: ['hadBeforeReady'],
    run: (deviations) => {
      const stage = new Stage(deviations, [0])
      const group = stage.start(0, 'appendAll', XY, 40)
      stage.go([0], isNoWrite)
      stage.drop()
      stage.whole(1, 'appendAll', XY, [0], 60)
      const config = stage.config([1], stage.node(1), stage.router(0))
      stage.ring.driver.retry(group)
      stage.go([1])
      stage.drop()
      makeReady(stage, 1, [0], config)
      stage.narrow(config)
      stage.again(group, [1], 12)
      stage.end([1])
    }
  },
  {
    // n2 promised G, whose write to n0 is late. All owners seal. n0 forgets its seal, the others purge. Then the write
    // comes.
    name: 'purgeOfPromisedGroup',
    finds: ['purgeOpen'],
    run: (deviations) => {
      const stage = new Stage(deviations)
      const { ring } = stage
      stage.whole(1, 'delete', X, ALL, 30)
      const group = stage.start(0, 'appendAll', XY, 40)
      stage.go([0, 2], isNoWrite)
      const late = stage.take((packet) => isWrite(packet) && packet.to.id === 0)
      stage.drop()
      stage.giveUp(group)
      ring.startPurge(50 * MS_STEP)
      ring.pump(({ message }) => message.kind === 'seal' || message.kind === 'sealed')
      stage.restart(0)
      ring.pump(({ message }) => message.kind === 'endPurge')
      stage.put(late)
      stage.arrive(0)
      stage.whole(1, 'set', Y, [1, 2], 60)
      stage.whole(2, 'get', X, [1, 2])
      stage.whole(2, 'get', X, [0, 1])
      stage.end([1, 2])
    }
  }
]
