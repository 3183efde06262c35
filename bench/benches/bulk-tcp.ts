import { argv } from '../../lab/argv.ts'
import { waitFor } from '../../test/support/wait.ts'
import type { Bench, Figure } from '../bench.ts'
import { interleaved } from '../rounds.ts'
import type { Subject } from '../subjects/subject.ts'

interface Report {
  readonly end: { readonly sum_received: { readonly bits_per_second: number } }
}

export const bulkTcp: Bench = {
  name: 'tcp',
  title: 'Bulk TCP across hosts',
  about:
    'iperf3 between containers on two hosts, the first second left out. The underlay is a veth pair, which carries ' +
    "the kernel's 64 KB super-frames uncut: the best case of the kernel's vxlan device.",
  async run(stage) {
    await using _servers = await serving(stage.subjects)
    const figures: Figure[] = []
    for (const streams of [1, 4]) {
      const measure = async ({ client, server }: Subject): Promise<{ gbit: number }> => {
        const words = argv`iperf3 -J -c ${server.ip} -O 1 -t ${stage.seconds} -P ${streams}`
        const { end } = JSON.parse(await client.run(...words)) as Report
        return { gbit: end.sum_received.bits_per_second / 1e9 }
      }
      const what = streams === 1 ? 'TCP, 1 stream' : `TCP, ${streams} streams`
      const target = { of: 'ratio', atLeast: 0.5 } as const
      figures.push(
        ...(await interleaved(stage, measure, { gbit: { what, unit: 'Gbit/s', target } })),
      )
    }
    return figures
  },
}

async function serving(subjects: readonly Subject[]): Promise<AsyncDisposableStack> {
  const servers = new AsyncDisposableStack()
  for (const { client, server } of subjects) {
    servers.use(server.serve('iperf3', '-s'))
    await waitFor(() => client.run(...argv`iperf3 -c ${server.ip} -n 1K`), {
      what: 'iperf3 to serve',
      timeout: 30_000,
    })
  }
  return servers
}
