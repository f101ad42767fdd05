// The daemon's metrics: a scrape must look as prom-client's own metrics would.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createMetrics } from '../../daemon/metrics.js'

const test = suite('metrics registry')
const BUCKETS = Array.from({ length: 14 }, (_, at) => 0.1 * 4 ** at)
const OBSERVED = [0, 0.1, 0.100001, 3, 7, 100, 0.1 * 4 ** 13, 1e9]

test('a scrape reads as if prom-client had counted', async () => {
  const mine = createMetrics()
  const registry = new Registry()
  const registers = [registry]
  const counter = new Counter({ name: 'ringd_a', help: 'a', registers })
  const gauge = new Gauge({ name: 'ringd_b', help: 'b "quoted"\n', labelNames: ['actor'], registers })
  const labelNames = ['kind', 'zone']
  const histogram = new Histogram({ name: 'ringd_c_ms', help: 'c', labelNames, buckets: BUCKETS, registers })
  counter.inc()
  counter.inc(4)
  mine.counter('ringd_a', 'a').add()
  mine.counter('ringd_a', 'a').add(4)
  for (const actor of ['x', 'y"\\']) {
    gauge.set({ actor }, 2.5)
    mine.gauge('ringd_b', 'b "quoted"\n', { actor }).set(2.5)
  }
  for (const kind of ['get', 'put']) {
    const series = mine.histogram('ringd_c_ms', 'c', { kind, zone: 'z' })
    for (const value of OBSERVED) {
      histogram.observe({ kind, zone: 'z' }, value)
      series.observe(value)
    }
  }
  assert.is(await mine.registry.metrics(), await registry.metrics())
})

test('the same name and labels give the same series, in any order of the labels', () => {
  const metrics = createMetrics()
  const one = metrics.histogram('ringd_d', 'd', { kind: 'get', zone: 'z' })
  assert.is(metrics.histogram('ringd_d', 'd', { zone: 'z', kind: 'get' }), one)
  assert.is.not(metrics.histogram('ringd_d', 'd', { zone: 'z', kind: 'put' }), one)
})

test.run()
