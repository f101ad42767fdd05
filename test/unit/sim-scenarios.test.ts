// Every directed scenario on the unchanged code: each one reaches its moment, and no promise is broken.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import { SCENARIOS } from '../sim/scenarios/all.js'
import { play } from '../sim/scenarios/scenario-cluster.js'

const test = suite('sim scenarios')

for (const scenario of SCENARIOS) test(`${scenario.name}: ${scenario.summary}`, () => play(scenario))

test.run()
