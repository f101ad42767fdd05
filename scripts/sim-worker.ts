// A worker process of `npm run sim`. It receives one job at a time as a message, and answers with its result. It exits
// when its parent disconnects.
import { allCheckers, type CheckersOptions } from '../test/sim/checkers/checkers.js'
import type { Plan } from '../test/sim/run/plan.js'
import { generatePlan } from '../test/sim/run/plan-generator.js'
import { type RunReport, runPlan } from '../test/sim/run/run.js'
import { shrink } from '../test/sim/run/shrink.js'

export type Job =
  | ({ readonly type: 'run'; readonly seed: number } & Pick<CheckersOptions, 'linearizable'>)
  /** Finds a smaller plan that breaks the same rule. */
  | ({
      readonly type: 'shrink'
      readonly plan: Plan
      readonly rule: string
      readonly runsMax: number
    } & Pick<CheckersOptions, 'linearizable'>)

export type JobResult =
  | { readonly type: 'ran'; readonly report: RunReport; readonly cpuMs: number }
  | { readonly type: 'shrunk'; readonly plan: Plan }

async function perform(job: Job): Promise<JobResult> {
  const checkers = () => allCheckers({ linearizable: job.linearizable })
  if (job.type === 'run') {
    const before = process.cpuUsage()
    const report = await runPlan(generatePlan(job.seed), { checkers })
    const { user, system } = process.cpuUsage(before)
    return { type: 'ran', report, cpuMs: (user + system) / 1000 }
  }
  const { rule, runsMax } = job
  const fails = async (plan: Plan) => {
    const { violations } = await runPlan(plan, { checkers })
    return violations.some((violation) => violation.rule === rule)
  }
  return { type: 'shrunk', plan: await shrink(job.plan, fails, { runsMax }) }
}

// Every run has many refusals. Capturing their full stacks would take more time than the refusals themselves.
Error.stackTraceLimit = 2

process.on('message', (job: Job) => {
  perform(job).then(
    (result) => process.send!(result),
    (thrown) => {
      console.error(thrown)
      process.exit(1)
    }
  )
})
process.on('disconnect', () => process.exit(0))
