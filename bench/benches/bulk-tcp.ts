import type { ComparedBench } from '../bench.ts'
import type { Figure } from '../figure.ts'
import { bulk, serveBulk } from '../iperf.ts'

const STREAMS = [1, 4, 16]

export const bulkTcp: ComparedBench = {
  kind: 'compared',
  name: 'tcp',
  title: 'Bulk TCP',
  about:
    'iperf3 between containers on two hosts, the first second left out. Sent again: segments that TCP had to repeat, for each Gbit.',
  figures: STREAMS.flatMap((streams): Figure[] => {
    const what = streams === 1 ? 'TCP, 1 stream' : `TCP, ${streams} streams`
    return [
      { id: `tcp-${streams}`, what, unit: 'Gbit/s', better: 'more' },
      { id: `tcp-${streams}-again`, what: 'sent again', unit: '', better: 'less', compares: false },
    ]
  }),
  async begin(subject, { seconds }) {
    const serving = await serveBulk(subject)
    return {
      async measure() {
        const values: Record<string, number> = {}
        for (const streams of STREAMS) {
          const sent = await bulk(subject, { streams, seconds })
          values[`tcp-${streams}`] = sent.gbitPerSecond
          values[`tcp-${streams}-again`] = sent.retransmits / sent.gbit
        }
        return values
      },
      [Symbol.asyncDispose]: () => Promise.resolve(serving[Symbol.asyncDispose]()),
    }
  },
}
