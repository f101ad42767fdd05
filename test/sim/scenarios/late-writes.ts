// A copy of a write reaches an owner around the moment of its pull. The writer is n0, which stays behind at the view of
// three; n3, n4 and n5 join and take over slots. Nothing that is acknowledged may be missing at who pulled.
import type { SentMessage } from '../seams/memory-network.js'
import { message } from '../seams/steering.js'
import { asksFor, type Scenario, type Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

/** Three members; n0 hears nothing of what follows. */
async function begin(stage: Stage): Promise<void> {
  stage.keepCopies()
  await stage.grow(OLD)
  stage.steering.deafen('n0')
}

/** A key of the joiners alone, for which they have all pulled: from n1 and n2, since n0 is behind. */
async function joinersReady(stage: Stage): Promise<string> {
  await stage.join(NEW, 'n1')
  const key = stage.pickKey('n3', (owners) => owners.join() === NEW.join())
  await stage.when(() => NEW.every((name) => stage.isReady(name, key, 'n3')), 'the joiners are ready')
  stage.reached(stage.viewNumber('n0') === 2, 'n0 is behind')
  return key
}

/** Whatever was acknowledged is read through a joiner, and again when all is well. */
async function judge(stage: Stage, key: string, write: { state: string }): Promise<void> {
  await stage.advance(1000)
  if (write.state === 'done') await stage.mustRead('n3', key, 'late')
  await stage.heal(6)
}

const lateWriteAfter: Scenario = {
  name: 'lateWriteAfter',
  story: 'a copy of a write of the former view reaches an owner after the joiners have pulled from it',
  async run(stage) {
    await begin(stage)
    const late = stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    const key = await joinersReady(stage)
    const write = stage.put('n0', key, 'late')
    await stage.when(() => late.caught.length === 2 && stage.holds('n0', key) === 'late', 'the write is at n0 alone')
    stage.reached(write.state === 'open' && stage.viewNumber('n1') === 3, 'n1 knows the view of the joiners')
    late.release()
    await judge(stage, key, write)
  }
}

/**
 * n1 grants the view of the joiners and does not hear that it was chosen. n3 pulls from n1 and n2 alone; its request
 * for the slot of the key waits before n1, and so does the write.
 */
async function beginBehind(stage: Stage) {
  const { steering, ring } = stage
  await begin(stage)
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
  await stage.join(NEW, 'n2')
  theirs = stage.keys.filter((key) => stage.owners('n3', key).join() === NEW.join())
  pull.letGo((sent) => !isForThem(sent))
  const asked = () => theirs.find((key) => stage.asksFor(pull, key))
  await stage.when(() => asked() !== undefined, 'n3 asks n1 for a slot of the joiners')
  const key = asked()!
  const write = stage.put('n0', key, 'late')
  await stage.when(() => late.caught.length === 1, 'the write is on its way to n1')
  stage.reached(stage.viewNumber('n1') === 2, 'n1 is behind')
  return { late, pull, key, write }
}

const lateWriteMid: Scenario = {
  name: 'lateWriteMid',
  story: 'a write of the former view reaches an owner after the request of a pull and before it learns the newer view',
  async run(stage) {
    const { late, pull, key, write } = await beginBehind(stage)
    pull.release()
    await stage.advance(20)
    late.release()
    await stage.answered(write)
    stage.reached(write.state === 'done' && stage.viewNumber('n1') === 2, 'n1 has taken the write under its old view')
    stage.reached(!stage.isReady('n3', key), 'n3 waits for n1')
    stage.steering.hear('n1')
    await stage.when(() => stage.isReady('n3', key), 'n3 is ready')
    stage.mustHold('n3', key, 'late')
    await judge(stage, key, write)
  }
}

const lateWriteAdmitted: Scenario = {
  name: 'lateWriteAdmitted',
  story: 'a write that passed the fence before the newer view waits for the disk while a pull arrives',
  async run(stage) {
    const { late, pull, key, write } = await beginBehind(stage)
    const disk = stage.disk('n1')
    disk.hold()
    stage.steering.hear('n1')
    await stage.when(() => disk.isWriting('view/0000000003'), 'n1 writes the newer view')
    late.release()
    await stage.advance(20)
    disk.release(true)
    await stage.when(
      () => stage.viewNumber('n1') === 3 && disk.isWriting(key),
      'n1 knows the view, and writes the write'
    )
    pull.release()
    await stage.advance(200)
    stage.mustHold('n3', key, 'late')
    disk.release()
    await stage.answered(write)
    stage.reached(write.state === 'done', 'the write is acknowledged')
    await stage.when(() => stage.isReady('n3', key), 'n3 is ready')
    stage.mustHold('n3', key, 'late')
    await judge(stage, key, write)
  }
}

const lateWriteRestart: Scenario = {
  name: 'lateWriteRestart',
  story: 'an owner restarts after the joiners have pulled from it, and gets a write of the former view',
  async run(stage) {
    await begin(stage)
    const late = stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    const key = await joinersReady(stage)
    stage.kill('n1')
    stage.steering.deafen('n1')
    await stage.start('n1', { join: stage.node('n0').network.addresses() })
    const linked = () => stage.node('n0').network.link('n1') !== undefined
    await stage.when(() => linked() && stage.viewNumber('n1') > 0, 'n1 is back')
    // Until others have told it that its disk is what they knew of it, it serves nothing.
    await stage.advance(3000)
    const write = stage.put('n0', key, 'late')
    await stage.when(() => late.caught.length === 2 && stage.holds('n0', key) === 'late', 'the write is at n0 alone')
    late.release()
    await judge(stage, key, write)
  }
}

export const LATE_WRITES: readonly Scenario[] = [lateWriteAfter, lateWriteMid, lateWriteAdmitted, lateWriteRestart]
