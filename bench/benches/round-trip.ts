import { argv } from '../../lab/argv.ts'
import { OverlayError } from '../../src/errors.ts'
import { waitFor } from '../../test/support/wait.ts'
import { keepAwake } from '../awake.ts'
import type { Bench, Figure } from '../bench.ts'
import { interleaved, type Values } from '../rounds.ts'
import type { Subject } from '../subjects/subject.ts'

const PORT = 11_111

export const roundTrip: Bench = {
  name: 'rtt',
  title: 'Round trips across hosts',
  about:
    'sockperf ping-pong, UDP datagrams of 64 bytes, one at a time on an otherwise idle machine: request and answer together. ' +
    'A round trip passes four forwarders, each of which the kernel must wake, where its own device works in the context of the ' +
    'sender: that is the difference. An idle core falls asleep between two packets; so measured with cores kept awake, too.',
  async run(stage) {
    await using servers = new AsyncDisposableStack()
    for (const { server } of stage.subjects) {
      servers.use(server.serve(...argv`sockperf server -i ${server.ip} -p ${PORT}`))
    }
    for (const subject of stage.subjects) {
      await waitFor(() => measure(subject, 1), { what: 'sockperf to answer', timeout: 30_000 })
    }
    const figures: Figure[] = []
    for (const awake of [false, true]) {
      await using _ = awake ? keepAwake() : null
      const cores = awake ? ', cores kept awake' : ''
      figures.push(
        ...(await interleaved(stage, (subject) => measure(subject, stage.seconds), {
          p50: { what: `p50${cores}`, unit: 'µs', target: { of: 'ratio', atMost: 1.25 } },
          p99: { what: `p99${cores}`, unit: 'µs', target: null },
        })),
      )
    }
    return figures
  },
}

async function measure({ client, server }: Subject, seconds: number): Promise<Values> {
  const text = await client.run(
    ...argv`sockperf ping-pong -i ${server.ip} -p ${PORT} -t ${seconds} -m 64 --full-rtt`,
  )
  const of = (percent: string): number => {
    const found = new RegExp(`percentile ${percent} =\\s+([\\d.]+)`).exec(text)
    if (found) return Number(found[1])
    throw new OverlayError('host_state', `sockperf gave no percentile ${percent}: ${text}`)
  }
  return { p50: of('50.000'), p99: of('99.000') }
}
