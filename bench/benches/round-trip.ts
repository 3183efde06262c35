import { keepAwake } from '../awake.ts'
import type { ComparedBench } from '../bench.ts'
import type { Figure } from '../figure.ts'
import { roundTrips, serveRoundTrips } from '../sockperf.ts'

const figuresOf = (id: string, when: string): Figure[] =>
  ([50, 99, 99.9] as const).map((percent) => ({
    id: `${id}-p${percent}`,
    what: `p${percent}, ${when}`,
    unit: 'µs',
    better: 'less',
  }))

export const roundTrip: ComparedBench = {
  kind: 'compared',
  name: 'rtt',
  title: 'Round trips',
  about:
    'sockperf ping-pong, UDP datagrams of 64 bytes, the next one when the last one is answered: request and answer together, on an otherwise idle machine. ' +
    "A round trip through a userspace forwarder passes four processes, each of which the kernel must wake unless it looks for packets itself, where the kernel's own device works in the context of the " +
    'sender. An idle core falls asleep between two packets, and waking it takes longer than all else on a virtual machine; so measured with cores kept awake, too.',
  figures: [...figuresOf('rtt', 'idle'), ...figuresOf('awake', 'cores kept awake')],
  async begin(subject, { seconds }) {
    const serving = await serveRoundTrips(subject)
    return {
      async measure() {
        const idle = await roundTrips(subject, seconds)
        await using _awake = keepAwake()
        const awake = await roundTrips(subject, Math.ceil(seconds / 2))
        return {
          'rtt-p50': idle.p50,
          'rtt-p99': idle.p99,
          'rtt-p99.9': idle.p999,
          'awake-p50': awake.p50,
          'awake-p99': awake.p99,
          'awake-p99.9': awake.p999,
        }
      },
      [Symbol.asyncDispose]: () => Promise.resolve(serving[Symbol.asyncDispose]()),
    }
  },
}
