// Rounds that meet each other, and writes that reached one owner only. Three owners hold the key; the routers are
// members that own no copy, so that every message between them can be held. Source: rules A7 and A8 of
// lib/views/README.md.

import { ABSENT, append, writeIf } from '../../../lib/decisions.js'
import type { Decide } from '../../../lib/key-value.js'
import { message } from '../seams/steering.js'
import { type Attempt, NotReached, type Scenario, type ScenarioCluster } from './scenario-cluster.js'

const NAMES = ['n0', 'n1', 'n2', 'n3', 'n4']

interface Stage {
  readonly key: string
  /** Names of the owners. */
  readonly owners: readonly [string, string, string]
  /** Members that are no owners. */
  readonly routers: readonly [string, string]
}

async function stage(cluster: ScenarioCluster): Promise<Stage> {
  await cluster.grow(NAMES)
  const [key] = cluster.keys as [string]
  const owners = cluster.owners('n0', key)
  const routers = NAMES.filter((name) => !owners.includes(name))
  if (owners.length !== 3 || routers.length !== 2) throw new NotReached('the key has three of five members as owners')
  return { key, owners: owners as [string, string, string], routers: routers as [string, string] }
}

function appendTo(cluster: ScenarioCluster, router: string, key: string, text: string): Attempt {
  return cluster.update(router, key, append(Buffer.from(text), 1000))
}

const putIfAbsent: Decide<string> = (found) => {
  const { change, result } = writeIf(ABSENT, Buffer.from('mine'), undefined)(found)
  return { change, result: result instanceof Error ? result : String(result.isDone) }
}

/** The value that the key holds in the end, read through both routers. */
async function mustBe(cluster: ScenarioCluster, { key, routers }: Stage, values: readonly string[]): Promise<void> {
  cluster.steering.releaseAll()
  await cluster.advance(15_000)
  for (const router of routers) {
    const read = await cluster.answered(cluster.get(router, key))
    cluster.promise(read.state === 'done', `the read through ${router} fails: ${read.error}`)
    cluster.promise(values.includes(`${read.value}`), `${key} is ${read.value}, not one of ${values}`)
  }
}

const appendOnHalf: Scenario = {
  name: 'appendOnHalf',
  summary:
    'an append reaches one owner, another one is built on it, and the first router asks owners that lacked the first',
  async run(cluster) {
    const at = await stage(cluster)
    const { key, owners, routers } = at
    const [a, b, c] = owners
    const [first, second] = routers
    const late = cluster.steering.hold(message('write', [first], [b]))
    const gone = cluster.steering.lose(message('write', [first], [c]))
    cluster.steering.holdAnswers(message('write', [first], [a]))
    const one = appendTo(cluster, first, key, 'A')
    await cluster.when(() => cluster.holds(a, key) === 'A', 'the first append is at one owner')
    const away = cluster.steering.lose(message('prepareKey', [second], [c]))
    const unwritten = cluster.steering.lose(message('write', [second], [c]))
    const two = await cluster.answered(appendTo(cluster, second, key, 'B'))
    cluster.reached(two.state === 'done', 'the second append is done')
    const deaf = cluster.steering.lose(message('prepareKey', [first], [a]))
    gone.release()
    late.release()
    await cluster.advance(1000)
    for (const gate of [away, unwritten, deaf]) gate.release()
    await cluster.answered(one)
    await mustBe(cluster, at, ['AB'])
  }
}

const setIfAbsentOnHalf: Scenario = {
  name: 'setIfAbsentOnHalf',
  summary:
    'a value reached one owner, a client is told that the key has a value, and the next one reads the other owners',
  async run(cluster) {
    const { key, owners, routers } = await stage(cluster)
    const [a, b, c] = owners
    const [first, second] = routers
    cluster.steering.lose(message('write', [first], [b, c]))
    cluster.put(first, key, 'theirs')
    await cluster.when(() => cluster.holds(a, key) === 'theirs', 'the value is at one owner')
    const away = cluster.steering.lose(message('prepareKey', [second], [c]))
    const told = await cluster.answered(cluster.update(second, key, putIfAbsent))
    cluster.reached(told.state === 'done', 'the conditional write is answered')
    away.release()
    for (const kind of ['read', 'prepareKey', 'write'] as const) cluster.steering.lose(message(kind, [second], [a]))
    const read = await cluster.answered(cluster.get(second, key))
    const expected = told.value === 'false' ? 'theirs' : 'mine'
    cluster.promise(read.value === expected, `the write was told ${told.value}, and then the key is ${read.value}`)
  }
}

const oneTwoOne: Scenario = {
  name: 'oneTwoOne',
  summary: 'a write reached one owner, was read and overwritten, and then its router finds that owners refuse it',
  async run(cluster) {
    const at = await stage(cluster)
    const { key, owners, routers } = at
    const [a, b, c] = owners
    const [first, second] = routers
    const late = cluster.steering.hold(message('write', [first], [b, c]))
    cluster.steering.holdAnswers(message('write', [first], [a]))
    const one = cluster.put(first, key, 'one')
    await cluster.when(() => cluster.holds(a, key) === 'one', 'the write is at one owner')
    const away = (['read', 'write'] as const).map((kind) => cluster.steering.lose(message(kind, [second], [c])))
    const seen = await cluster.answered(cluster.get(second, key))
    cluster.reached(seen.value === 'one' && cluster.holds(b, key) === 'one', 'the value was read and written back')
    for (const gate of away) gate.release()
    const two = await cluster.answered(cluster.put(second, key, 'two'))
    cluster.reached(two.state === 'done', 'the second write is done')
    late.release()
    await cluster.answered(one)
    await mustBe(cluster, at, ['two'])
  }
}

export const ROUNDS: readonly Scenario[] = [appendOnHalf, setIfAbsentOnHalf, oneTwoOne]
