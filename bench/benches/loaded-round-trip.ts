import { setTimeout as sleep } from 'node:timers/promises'
import type { ComparedBench } from '../bench.ts'
import { bulk, serveBulk } from '../iperf.ts'
import { roundTrips, serveRoundTrips } from '../sockperf.ts'

/** Before the round trips: TCP has found its pace. */
const LEAD = 1

export const loadedRoundTrip: ComparedBench = {
  kind: 'compared',
  name: 'loaded',
  title: 'Round trips under load',
  about:
    'The same round trips while one stream of bulk TCP goes the same way, and what that stream gets meanwhile.',
  figures: [
    { id: 'loaded-p50', what: 'p50, under load', unit: 'µs', better: 'less' },
    { id: 'loaded-p99', what: 'p99, under load', unit: 'µs', better: 'less' },
    { id: 'loaded-p99.9', what: 'p99.9, under load', unit: 'µs', better: 'less' },
    { id: 'loaded-tcp', what: 'TCP meanwhile', unit: 'Gbit/s', better: 'more' },
  ],
  async begin(subject, { seconds }) {
    await using opened = new AsyncDisposableStack()
    opened.use(await serveRoundTrips(subject))
    opened.use(await serveBulk(subject))
    const serving = opened.move()
    return {
      async measure() {
        const load = bulk(subject, { streams: 1, seconds: seconds + 1 })
        const [sent, times] = await Promise.all([
          load,
          sleep(LEAD * 1000).then(() => roundTrips(subject, seconds)),
        ])
        return {
          'loaded-p50': times.p50,
          'loaded-p99': times.p99,
          'loaded-p99.9': times.p999,
          'loaded-tcp': sent.gbitPerSecond,
        }
      },
      [Symbol.asyncDispose]: () => serving.disposeAsync(),
    }
  },
}
