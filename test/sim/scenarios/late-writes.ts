// A copy of a write reaches an owner around the moment of its pull. The writer is n0, which stays behind at the view of
// three; n3, n4 and n5 join and take over slots. Nothing that is acknowledged may be missing at who pulled.
import { message } from '../steering.js'
import type { Scenario, Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

/** Three members; n0 hears nothing of what follows. */
async function begin(stage: Stage): Promise<void> {
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

export const LATE_WRITES: readonly Scenario[] = [lateWriteAfter]
